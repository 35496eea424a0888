// SPDX-License-Identifier: Apache-2.0
// APO-zero, for chosen responses better than the model's own: raises them and lowers the rejected
// ones. D'Oosterlinck et al. 2024, arXiv:2408.06266, eq. 7.
//   loss = 1 - sigma(r_w) + sigma(r_l),   r = beta h,   h = logp - ref_logp
//   dloss/dlogp_w = -beta sigma'(r_w),   dloss/dlogp_l = beta sigma'(r_l)
//   reward of a branch: r
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct APOZero {
  static constexpr const char* name = "apo_zero";
  static constexpr const char* loss_type = "apo_zero";
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
    const auto w = logistic(-out.reward[0]), l = logistic(out.reward[1]);
    add_branch(out, 0, {w.value, -w.slope}, T(beta));
    add_branch(out, 1, l, T(beta));
    return out;
  }
};

}  // namespace pref
