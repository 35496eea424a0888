// SPDX-License-Identifier: Apache-2.0
// DiscoPOP, the discovered log-ratio modulated loss. Lu et al. 2024, arXiv:2406.08414, eq. 5.
//   u = beta (h_w - h_l),   h = logp - ref_logp,   m = sigma(u / tau)
//   loss = (1-m) (-log sigma(u)) + m e^-u
//   slope in u: (m (1-m) / tau) (e^-u + log sigma(u)) - (1-m) sigma(-u) - m e^-u
//   reward of a branch: beta h
// m e^-u is evaluated as one power, bounded for tau <= 1; TRL multiplies 0 by infinity far below 0.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct DiscoPOP {
  static constexpr const char* name = "discopop";
  static constexpr const char* loss_type = "discopop";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts =
      Accepts::weighting | Accepts::divergence | Accepts::length | Accepts::average;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;
  double discopop_tau = 0.05;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("discopop_tau", self.discopop_tau, Range{.low = 0, .high = 1, .low_open = true},
          "temperature of the blend between logistic and exponential loss");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    using std::exp;
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T u = out.reward[0] - out.reward[1], tau = T(discopop_tau);
    const T m = sigmoid(u / tau), rest = sigmoid(-u / tau);
    // u >= 0: m e^-u as it stands. u < 0: m = e^(u/tau) (1-m), whose exponent absorbs the other.
    const T blended = u >= T(0) ? m * exp(-u) : rest * exp(u / tau - u);
    const ValueSlope<T> f{
        rest * neg_log_sigmoid(u) + blended,
        rest * (blended - m * neg_log_sigmoid(u)) / tau - rest * sigmoid(-u) - blended};
    add_pair(out, f, T(beta), -T(beta));
    return out;
  }
};

}  // namespace pref
