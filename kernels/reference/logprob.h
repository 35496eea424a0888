// SPDX-License-Identifier: Apache-2.0
// Oracle of kernels/logprob.h for one row: every quantity from its definition, in double, one loop
// each. And log-softmax as a plain fp32 program computes it, to know what fp32 costs.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace pref::reference {

struct RowStatistics {
  double logp, lse, collision, entropy, max_logp, hit, mean_logit;
};

inline std::vector<double> transform_logits(const std::vector<double>& z, double scale,
                                            double soft_cap) {
  std::vector<double> y;
  for (const double v : z)
    y.push_back(soft_cap > 0 ? soft_cap * std::tanh(scale * v / soft_cap) : scale * v);
  return y;
}

/// Of y, the logits after their transform.
inline RowStatistics row_statistics(const std::vector<double>& y, int64_t label) {
  const double max = *std::max_element(y.begin(), y.end());
  double sum = 0, others = 0, mean = 0;
  bool top_seen = false;
  for (const double v : y) {
    sum += std::exp(v - max);
    if (v == max && !top_seen) {
      top_seen = true;
    } else {
      others += std::exp(v - max);
    }
    mean += v / static_cast<double>(y.size());
  }
  const double log_sum = std::log1p(others);
  double squares = 0, entropy = 0;
  for (const double v : y) {
    const double log_p = v - max - log_sum;
    squares += std::exp(2 * log_p);
    entropy -= std::exp(log_p) * log_p;
  }
  const double at_label = y[static_cast<size_t>(label)];
  return {.logp = at_label - max - log_sum,
          .lse = max + std::log(sum),
          .collision = std::log(squares),
          .entropy = entropy,
          .max_logp = -log_sum,
          .hit = at_label == max ? 1.0 : 0.0,
          .mean_logit = mean};
}

/// d_logp dlogp/dz of the untransformed logits z.
inline std::vector<double> row_gradient(const std::vector<double>& z, int64_t label, double d_logp,
                                        double scale, double soft_cap) {
  const std::vector<double> y = transform_logits(z, scale, soft_cap);
  const RowStatistics row = row_statistics(y, label);
  const double at_label = y[static_cast<size_t>(label)];
  std::vector<double> out(z.size());
  for (size_t v = 0; v < z.size(); ++v) {
    const bool is_label = static_cast<int64_t>(v) == label;
    const double through_softmax =
        is_label ? -std::expm1(row.logp) : -std::exp(y[v] - at_label + row.logp);
    const double cosh = soft_cap > 0 ? std::cosh(scale * z[v] / soft_cap) : 1;
    out[v] = d_logp * through_softmax * scale / (cosh * cosh);
  }
  return out;
}

/// log p(label) as a plain program in fp32 has it: maximum, sum of exponents in eight lanes as a
/// vector unit would.
inline float plain_logp(const std::vector<float>& y, int64_t label) {
  const float max = *std::max_element(y.begin(), y.end());
  std::array<float, 8> lanes = {};
  for (size_t i = 0; i < y.size(); ++i) lanes[i % 8] += std::exp(y[i] - max);
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return y[static_cast<size_t>(label)] - max - std::log(sum);
}

}  // namespace pref::reference
