// SPDX-License-Identifier: Apache-2.0
// NCA for pairs: the absolute likelihood of both responses beside their order. Chen et al. 2024,
// arXiv:2402.05369, with K = 2.
//   r = beta h,   h = logp - ref_logp
//   loss = -log sigma(r_w) - 1/2 log sigma(-r_w) - 1/2 log sigma(-r_l)
//   dloss/dlogp_w = beta (sigma(r_w) / 2 - sigma(-r_w)),   dloss/dlogp_l = beta sigma(r_l) / 2
//   reward of a branch: r
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct NCAPair {
  static constexpr const char* name = "nca_pair";
  static constexpr const char* loss_type = "nca_pair";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts =
      Accepts::weighting | Accepts::length | Accepts::average | Accepts::divergence_constant;
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
    const ValueSlope<T> chosen{neg_log_sigmoid(r_w) + T(0.5) * neg_log_sigmoid(-r_w),
                               T(0.5) * sigmoid(r_w) - sigmoid(-r_w)};
    add_branch(out, 0, chosen, T(beta));
    add_branch(out, 1, {T(0.5) * neg_log_sigmoid(-r_l), T(0.5) * sigmoid(r_l)}, T(beta));
    return out;
  }
};

}  // namespace pref
