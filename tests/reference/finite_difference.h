// SPDX-License-Identifier: Apache-2.0
// Central differences in double: what an analytic gradient is compared with.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

namespace pref::reference {

/// d f / d x_i at x by (f(x + h) - f(x - h)) / 2h; f takes the whole vector. Error O(h^2) + O(1e-16
/// |f| / h).
template <class F>
double central_difference(const F& f, std::vector<double> x, size_t i) {
  const double h = 1e-5 * std::max(1.0, std::abs(x[i]));
  const double at = x[i];
  x[i] = at + h;
  const double above = f(x);
  x[i] = at - h;
  return (above - f(x)) / (2 * h);
}

/// d f / d x_i at x by the five-point stencil of step h: error O(h^4) + O(1e-16 |f| / h), for
/// functions that bend sharply.
template <class F>
double five_point_difference(const F& f, std::vector<double> x, size_t i, double h) {
  const double at = x[i];
  const auto value = [&](double step) {
    x[i] = at + step;
    return f(x);
  };
  return (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h);
}

template <class F>
std::vector<double> central_differences(const F& f, const std::vector<double>& x) {
  std::vector<double> out(x.size());
  for (size_t i = 0; i < x.size(); ++i) out[i] = central_difference(f, x, i);
  return out;
}

}  // namespace pref::reference
