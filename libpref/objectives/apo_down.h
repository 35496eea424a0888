// SPDX-License-Identifier: Apache-2.0
// APO-down, for chosen responses worse than the model's own: lowers both, the rejected one more.
// D'Oosterlinck et al. 2024, arXiv:2408.06266, eq. 8.
//   loss = sigma(r_w) + 1 - sigma(r_w - r_l),   r = beta h,   h = logp - ref_logp
//   dloss/dlogp_w = beta (sigma'(r_w) - sigma'(r_w - r_l)),  dloss/dlogp_l = beta sigma'(r_w - r_l)
//   reward of a branch: r
// TRL 1.9 lets an f-divergence into the second half only; libpref refuses one here.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct APODown {
  static constexpr const char* name = "apo_down";
  static constexpr const char* loss_type = "apo_down";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts = Accepts::weighting | Accepts::length | Accepts::average;
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
    const auto order = logistic(out.reward[1] - out.reward[0]);  // 1 - sigma(r_w - r_l)
    add_branch(out, 0, logistic(out.reward[0]), T(beta));
    add_pair(out, order, -T(beta), T(beta));
    return out;
  }
};

}  // namespace pref
