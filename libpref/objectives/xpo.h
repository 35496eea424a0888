// SPDX-License-Identifier: Apache-2.0
// XPO: DPO on a judged pair of one response of the policy and one, y, of the reference, that also
// lowers the likelihood of y. Xie et al. 2024, arXiv:2405.21046, algorithm 1. Branch 2 is y again.
//   loss = -log sigma(u) + alpha logp_y,   u = beta (h_w - h_l) - margin,   h = logp - ref_logp
//   dloss/dlogp_w, dloss/dlogp_l: as dpo;   dloss/dlogp_y = alpha
//   reward of a branch: beta h;   exploration: alpha logp_y
// SELM without beta on the exploration part and without the constant -ref_logp_y; no lower bound
// either. TRL's default of alpha; the sum over the completion, as in TRL.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/dpo.h"

namespace pref {

struct XPO {
  static constexpr const char* name = "xpo";
  static constexpr const char* loss_type = "xpo";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts = Accepts::margin;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 3;

  double beta = 0.1;
  double alpha = 1e-5;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("alpha", self.alpha, at_least(0), "strength of the exploration");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = DPO{.beta = beta}(row);
    out.exploration = T(alpha) * row.branch[2].logp;
    add_branch(out, 2, {out.exploration, T(alpha)}, T(1));
    return out;
  }
};

}  // namespace pref
