// SPDX-License-Identifier: Apache-2.0
// Tolerance as a budget: a kernel may be off by twice what a plain program of the same number type
// is off, plus a floor.
#pragma once
#include <algorithm>
#include <cmath>

namespace pref::reference {

/// Distance from `plain` and `kernel` to the double oracle, held as the largest seen.
struct Budget {
  double kernel = 0, plain = 0;
  void see(double kernel_value, double plain_value, double oracle) {
    // A NaN must not pass as a small difference.
    const double distance = std::abs(kernel_value - oracle);
    kernel = std::isnan(distance) ? INFINITY : std::max(kernel, distance);
    plain = std::max(plain, std::abs(plain_value - oracle));
  }
  bool kept(double floor) const { return kernel <= 2 * plain + floor; }
};

}  // namespace pref::reference
