// SPDX-License-Identifier: Apache-2.0
// DPO. Rafailov et al. 2023, arXiv:2305.18290, eq. 7; label_smoothing e as conservative DPO (its
// note by E. Mitchell, eq. 3).
//   u    = beta ((logp_w - ref_w) - (logp_l - ref_l)) - margin      sums over the completion, nats
//   loss = -(1-e) log sigma(u) - e log sigma(-u)
//   dloss/dlogp_w = beta (sigma(u) - (1-e)),  dloss/dlogp_l = -dloss/dlogp_w
//   reward of a branch: beta (logp - ref_logp)
// TRL 1.9 ignores label_smoothing here (loss_type sigmoid); libpref applies it, and 0 is TRL's
// behaviour.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct DPO {
  static constexpr const char* name = "dpo";
  static constexpr const char* loss_type = "sigmoid";
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
          "probability that a label is flipped (cDPO)");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T u = out.reward[0] - out.reward[1] - row.margin;
    add_pair(out, smoothed_logistic(u, T(label_smoothing)), T(beta), -T(beta));
    return out;
  }
};

}  // namespace pref
