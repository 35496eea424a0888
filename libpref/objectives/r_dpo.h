// SPDX-License-Identifier: Apache-2.0
// R-DPO: DPO for a reward that charges alpha per token. Park et al. 2024, arXiv:2403.19159.
//   u    = beta (h_w - h_l) + alpha (n_w - n_l) - margin,   h = logp - ref_logp
//   loss = -log sigma(u);   dloss/dlogp_w = -beta sigma(-u),   dloss/dlogp_l = beta sigma(-u)
//   reward of a branch: beta h
// A longer chosen response starts with a higher logit, so its length earns no gradient. alpha = 0:
// DPO.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct RDPO {
  static constexpr const char* name = "r_dpo";
  static constexpr const char* loss_type = "r_dpo";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts =
      Accepts::margin | Accepts::weighting | Accepts::divergence | Accepts::length;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;
  double alpha = 0.01;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("alpha", self.alpha, at_least(0), "nats that a token of length costs in the reward");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T length = row.chosen().num_tokens - row.rejected().num_tokens;
    const T u = out.reward[0] - out.reward[1] + T(alpha) * length - row.margin;
    add_pair(out, smoothed_logistic(u, T(0)), T(beta), -T(beta));
    return out;
  }
};

}  // namespace pref
