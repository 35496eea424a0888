// SPDX-License-Identifier: Apache-2.0
// SLiC-HF: a margin on sequence log-probs. Zhao et al. 2023, arXiv:2305.10425, with the chosen
// response as regularization target. No reference.
//   loss = max(0, delta - logp_w + logp_l) - nll_weight logp_w
//   dloss/dlogp_w = -1[logp_w - logp_l < delta] - nll_weight,   dloss/dlogp_l = 1[...]
//   reward of a branch: logp
// The likelihood part is a sum over the completion, so it is inside, not the term sft.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct SLiC {
  static constexpr const char* name = "slic";
  static constexpr const char* loss_type = "slic";
  static constexpr Needs needs = Needs::nothing;
  static constexpr Accepts accepts = Accepts::nothing;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double delta = 1;
  double nll_weight = 1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("delta", self.delta, above(0), "margin between the two log-probs, nats");
    visit("nll_weight", self.nll_weight, at_least(0),
          "weight of the chosen response's summed negative log-likelihood");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out;
    for (int k = 0; k < row.branches; ++k) out.reward[k] = row.branch[k].logp;
    add_pair(out, hinge_at(T(delta), row.chosen().logp - row.rejected().logp), T(1), T(-1));
    add_branch(out, 0, {-T(nll_weight) * row.chosen().logp, -T(nll_weight)}, T(1));
    return out;
  }
};

}  // namespace pref
