// SPDX-License-Identifier: Apache-2.0
// log(1 - p) of a token from its log p, for objectives that make tokens unlikely. Host and device.
#pragma once
#include <cmath>

#if defined(__CUDACC__)
#define PREF_COMPLEMENT_HD __host__ __device__
#else
#define PREF_COMPLEMENT_HD
#endif

namespace pref::kernels {

struct LogComplement {
  double value, slope;  ///< log(1 - p), nats; its derivative by log p, -p / (1 - p)
};

/// 1 - p counts as 1e-6 where it is less, with no slope: f32 log-probs tell no difference there.
PREF_COMPLEMENT_HD inline LogComplement log_complement(double logp) {
  constexpr double kLeast = 1e-6;
  const double complement = -std::expm1(logp);
  if (complement < kLeast) return {std::log(kLeast), 0};
  return {std::log(complement), -std::exp(logp) / complement};
}

}  // namespace pref::kernels
