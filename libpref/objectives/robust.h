// SPDX-License-Identifier: Apache-2.0
// Robust DPO, unbiased under labels flipped with probability e. Chowdhury et al. 2024,
// arXiv:2403.00409.
//   u    = beta (h_w - h_l) - margin,   h = logp - ref_logp
//   loss = (-(1-e) log sigma(u) + e log sigma(-u)) / (1 - 2e)
//   dloss/dlogp_w = -beta ((1-e) sigma(-u) + e sigma(u)) / (1 - 2e),  l: its negative
//   reward of a branch: beta h
// The loss is negative where u is large; e = 0 is DPO. As TRL, which only warns for e >= 1/2.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct RobustDPO {
  static constexpr const char* name = "robust";
  static constexpr const char* loss_type = "robust";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts = Accepts::margin | Accepts::weighting | Accepts::divergence |
                                     Accepts::length | Accepts::average;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;
  double label_smoothing = 0;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("label_smoothing", self.label_smoothing, half_open(0, 0.5),
          "probability that a label is flipped");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T u = out.reward[0] - out.reward[1] - row.margin, e = T(label_smoothing);
    const ValueSlope<T> f{
        ((T(1) - e) * neg_log_sigmoid(u) - e * neg_log_sigmoid(-u)) / (T(1) - T(2) * e),
        -((T(1) - e) * sigmoid(-u) + e * sigmoid(u)) / (T(1) - T(2) * e)};
    add_pair(out, f, T(beta), -T(beta));
    return out;
  }
};

}  // namespace pref
