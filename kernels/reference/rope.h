// SPDX-License-Identifier: Apache-2.0
// Oracle of kernels/rope.h: the pair (i, i + h/2) as a complex number turned by its angle, in
// double (arXiv:2104.09864).
#pragma once
#include <cmath>
#include <complex>
#include <cstdint>
#include <vector>

namespace pref::reference {

inline double rope_angle(int64_t position, int64_t i, int64_t head_dim, double theta) {
  return static_cast<double>(position) *
         std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
}

/// One head of one token, turned by `direction` times its angles.
inline std::vector<double> rope(const std::vector<double>& head, int64_t position, double theta,
                                double direction) {
  const size_t half = head.size() / 2;
  std::vector<double> out(head.size());
  for (size_t i = 0; i < half; ++i) {
    const double angle = direction * rope_angle(position, static_cast<int64_t>(i),
                                                static_cast<int64_t>(head.size()), theta);
    const std::complex<double> turned =
        std::complex<double>(head[i], head[i + half]) * std::polar(1.0, angle);
    out[i] = turned.real();
    out[i + half] = turned.imag();
  }
  return out;
}

}  // namespace pref::reference
