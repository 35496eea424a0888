// SPDX-License-Identifier: Apache-2.0
// bfloat16 by arithmetic rather than by bits: eight significant binary digits, ties to even.
#pragma once
#include <cmath>

namespace pref::reference {

/// The nearest bf16 of a finite x in its normal range.
inline double rounded_to_bf16(double x) {
  int exponent = 0;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8);
}

}  // namespace pref::reference
