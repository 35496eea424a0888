// SPDX-License-Identifier: Apache-2.0
// T-REG: DPO with token-level regularisation. Zhou et al. 2024, arXiv:2412.02685. r_t: rewards of the
// tokens, in the row's token_rewards (the paper takes sigma(log p(y_t; better prompt) -
// log p(y_t; worse prompt)) - 1/2 under the reference).
//   u    = beta (h_w - h_l) - margin,   h = logp - ref_logp,   w = sigma(-u), no gradient through it
//   loss = -log sigma(u) - alpha beta w (sum_t r_t log p(y_t) over both responses)
//   a token's slope: -beta w (1 + alpha r_t) in the chosen, beta w (1 - alpha r_t) in the rejected
//   reward of a branch: beta h
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct TREG {
  static constexpr const char* name = "t_reg";
  static constexpr const char* loss_type = "t_reg";
  static constexpr Needs needs = Needs::reference | Needs::token_rewards;
  static constexpr Accepts accepts = Accepts::margin | Accepts::weighting;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;
  double alpha = 0.25;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("alpha", self.alpha, at_least(0), "weight of the token rewards");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T u = out.reward[0] - out.reward[1] - row.margin;
    add_pair(out, smoothed_logistic(u, T(0)), T(beta), -T(beta));
    const T strength = T(alpha) * T(beta) * sigmoid(-u);
    for (int k = 0; k < 2; ++k) {
      out.loss -= strength * row.branch[k].marked;
      out.d_marked[k] = -strength;
    }
    return out;
  }
};

}  // namespace pref
