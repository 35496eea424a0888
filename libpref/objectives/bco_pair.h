// SPDX-License-Identifier: Apache-2.0
// BCO for pairs without its reward shift: binary cross-entropy of "good" for the chosen, "bad" for
// the rejected response. Jung et al. 2024, arXiv:2404.04656, with delta = 0.
//   r = beta h,   h = logp - ref_logp
//   loss = -log sigma(r_w) - log sigma(-r_l)
//   dloss/dlogp_w = -beta sigma(-r_w),   dloss/dlogp_l = beta sigma(r_l)
//   reward of a branch: r
// As TRL 1.9. The paper, and TRL up to 0.28, subtract a running mean of the rewards of all batches
// from each r, which is no function of a row.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct BCOPair {
  static constexpr const char* name = "bco_pair";
  static constexpr const char* loss_type = "bco_pair";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts = Accepts::weighting;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T r_w = out.reward[0], r_l = out.reward[1];
    add_branch(out, 0, {neg_log_sigmoid(r_w), -sigmoid(-r_w)}, T(beta));
    add_branch(out, 1, {neg_log_sigmoid(-r_l), sigmoid(r_l)}, T(beta));
    return out;
  }
};

}  // namespace pref
