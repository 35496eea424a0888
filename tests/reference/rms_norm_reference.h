// SPDX-License-Identifier: Apache-2.0
// Oracle of kernels/rms_norm.h for one row, in the number type asked for (arXiv:1910.07467).
#pragma once
#include <cmath>
#include <vector>

namespace pref::reference {

template <class Number>
std::vector<Number> rms_norm(const std::vector<Number>& x, const std::vector<Number>& weight,
                             Number eps) {
  Number squares = 0;
  for (const Number v : x) squares += v * v;
  const Number rms = std::sqrt(squares / static_cast<Number>(x.size()) + eps);
  std::vector<Number> y;
  for (size_t i = 0; i < x.size(); ++i) y.push_back(x[i] / rms * weight[i]);
  return y;
}

}  // namespace pref::reference
