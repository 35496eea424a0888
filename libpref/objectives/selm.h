// SPDX-License-Identifier: Apache-2.0
// SELM: DPO that also lowers the likelihood of a response y of the reference's own (branch 2).
// Zhang et al. 2024, arXiv:2405.19332, eq. 4.2, as the authors' code writes it.
//   loss = -log sigma(u) + alpha beta h_y,   u = beta (h_w - h_l) - margin,   h = logp - ref_logp
//   dloss/dlogp_w, dloss/dlogp_l: as dpo;   dloss/dlogp_y = alpha beta
//   reward of a branch: beta h;   exploration: alpha beta h_y
// No lower bound: the exploration part falls with log p(y) for ever, negative losses are normal.
// Algorithm 1 of the paper prints alpha, its eq. 4.2 and the code alpha beta. The paper samples y,
// the code takes the greedy answer of the model that starts the iteration; here y is data.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/dpo.h"

namespace pref {

struct SELM {
  static constexpr const char* name = "selm";
  static constexpr const char* loss_type = "selm";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts = Accepts::margin;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 3;

  double beta = 0.1;
  double alpha = 1e-3;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("alpha", self.alpha, at_least(0), "strength of the exploration, times beta");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = DPO{.beta = beta}(row);
    const T strength = T(alpha) * T(beta);
    out.exploration = strength * log_ratio(row.branch[2]);
    add_branch(out, 2, {out.exploration, strength}, T(1));
    return out;
  }
};

}  // namespace pref
