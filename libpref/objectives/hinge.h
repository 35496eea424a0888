// SPDX-License-Identifier: Apache-2.0
// Hinge on DPO's logit: the loss of SLiC normalized by a reference, as TRL's "hinge". Liu et al.
// 2023 (RSO), arXiv:2309.06657.
//   u    = beta (h_w - h_l) - margin,   h = logp - ref_logp
//   loss = max(0, 1 - u);   dloss/dlogp_w = -beta where u < 1, else 0;   dloss/dlogp_l its negative
//   reward of a branch: beta h
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct Hinge {
  static constexpr const char* name = "hinge";
  static constexpr const char* loss_type = "hinge";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts = Accepts::margin | Accepts::weighting | Accepts::divergence |
                                     Accepts::length | Accepts::average;
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
    const T u = out.reward[0] - out.reward[1] - row.margin;
    add_pair(out, hinge_at(T(1), u), T(beta), -T(beta));
    return out;
  }
};

}  // namespace pref
