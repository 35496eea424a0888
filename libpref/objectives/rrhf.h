// SPDX-License-Identifier: Apache-2.0
// RRHF: responses ranked by their mean log-prob. Yuan et al. 2023, arXiv:2304.05302.
// Branches come best first; all pairs count. No reference.
//   loss = sum_{i<j} max(0, a_j - a_i) - nll_weight logp_0,   a = logp / n
//   dloss/dlogp_k = (better ones below a_k - worse ones above a_k) / n_k;  0 also -nll_weight
//   reward of a branch: a
// The likelihood part is a sum over the best completion, so it is inside, not the term sft.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct RRHF {
  static constexpr const char* name = "rrhf";
  static constexpr const char* loss_type = "rrhf";
  static constexpr Needs needs = Needs::nothing;
  static constexpr Accepts accepts = Accepts::nothing;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;
  static constexpr int max_branches = kMaxBranches;

  double nll_weight = 1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("nll_weight", self.nll_weight, at_least(0),
          "weight of the best response's summed negative log-likelihood");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = mean_logp_rewards(row, T(1));
    for (int i = 0; i < row.branches; ++i) {
      for (int j = i + 1; j < row.branches; ++j) {
        const auto f = hinge_at(T(0), out.reward[i] - out.reward[j]);
        out.loss += f.value;
        out.d_logp[i] += f.slope / row.branch[i].num_tokens;
        out.d_logp[j] -= f.slope / row.branch[j].num_tokens;
      }
    }
    add_branch(out, 0, {-T(nll_weight) * row.chosen().logp, -T(nll_weight)}, T(1));
    return out;
  }
};

}  // namespace pref
