// SPDX-License-Identifier: Apache-2.0
// SPPO with hard labels: the winner's win probability is 1, the loser's 0. Wu et al. 2024,
// arXiv:2405.00675, eq. 4.7, as TRL writes it; beta is the paper's 1 / eta.
//   loss = (h_w - 1 / (2 beta))^2 + (h_l + 1 / (2 beta))^2,   h = logp - ref_logp
//   dloss/dlogp_w = 2 (h_w - 1 / (2 beta)),   dloss/dlogp_l = 2 (h_l + 1 / (2 beta))
//   reward of a branch: beta h
// The paper's authors halve the sum; TRL does not, and neither does this. sppo.h has the soft form.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct SPPOHard {
  static constexpr const char* name = "sppo_hard";
  static constexpr const char* loss_type = "sppo_hard";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts =
      Accepts::weighting | Accepts::length | Accepts::average | Accepts::divergence_constant;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse of the paper's eta: the targets are +-1/(2 beta)");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T target = T(0.5) / T(beta);
    add_branch(out, 0, square_at(target, log_ratio(row.chosen())), T(1));
    add_branch(out, 1, square_at(-target, log_ratio(row.rejected())), T(1));
    return out;
  }
};

}  // namespace pref
