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

/// dL/dx of the row for dL/dy, and n = x / rms, by which the weight's gradient is dL/dy n.
struct RmsNormGradient {
  std::vector<double> dx, normalised;
};
inline RmsNormGradient rms_norm_gradient(const std::vector<double>& dy,
                                         const std::vector<double>& x,
                                         const std::vector<double>& weight, double eps) {
  const auto width = static_cast<double>(x.size());
  double squares = 0, along = 0;
  for (const double v : x) squares += v * v;
  const double factor = 1 / std::sqrt(squares / width + eps);
  for (size_t i = 0; i < x.size(); ++i) along += dy[i] * weight[i] * x[i];
  along *= factor * factor / width;
  RmsNormGradient out;
  for (size_t i = 0; i < x.size(); ++i) {
    out.dx.push_back(factor * (dy[i] * weight[i] - x[i] * along));
    out.normalised.push_back(x[i] * factor);
  }
  return out;
}

}  // namespace pref::reference
