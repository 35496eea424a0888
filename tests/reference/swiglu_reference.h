// SPDX-License-Identifier: Apache-2.0
// Oracle of kernels/swiglu.h for one element (arXiv:2002.05202).
#pragma once
#include <cmath>

namespace pref::reference {

template <class Number>
Number swiglu(Number gate, Number up) {
  return gate / (1 + std::exp(-gate)) * up;
}

}  // namespace pref::reference
