// SPDX-License-Identifier: Apache-2.0
// ORPO. Hong et al. 2024, arXiv:2403.07691, eq. 7; beta is the paper's lambda. No reference.
//   a    = logp / n,   o = log odds(a_w) - log odds(a_l),   log odds(a) = a - log(1 - e^a)
//   loss = -nll_weight a_w - beta log sigma(o)
//   dloss/dlogp_w = -nll_weight / n_w - beta sigma(-o) / (n_w (1 - e^a_w))
//   dloss/dlogp_l = beta sigma(-o) / (n_l (1 - e^a_l))
//   reward of a branch: beta a
// The likelihood part is the mean over the row's chosen completion. TRL takes the token mean over
// prompts and chosen completions together; nll_weight 0 beside a term sft gives the token mean over
// completions. Odds are infinite at a = 0: a above -1e-6 counts as -1e-6.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct ORPO {
  static constexpr const char* name = "orpo";
  static constexpr const char* loss_type = "orpo";
  static constexpr Needs needs = Needs::nothing;
  static constexpr Accepts accepts = Accepts::nothing;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;
  double nll_weight = 1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "weight of the odds ratio (the paper's lambda)");
    visit("nll_weight", self.nll_weight, at_least(0),
          "weight of the chosen response's mean negative log-likelihood");
  }

  template <class T>
  PREF_HD static ValueSlope<T> log_odds(T a) {
    using std::expm1;
    using std::log;
    const T ceiling = T(-1e-6);
    const T at = a < ceiling ? a : ceiling;
    const T rest = -expm1(at);  // 1 - e^a, with its digits near 0
    return {at - log(rest), a < ceiling ? T(1) / rest : T(0)};
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = mean_logp_rewards(row, T(beta));
    const auto w = log_odds(mean_logp(row.chosen())), l = log_odds(mean_logp(row.rejected()));
    const T n_w = row.chosen().num_tokens, o = w.value - l.value;
    const ValueSlope<T> f{T(beta) * neg_log_sigmoid(o), -T(beta) * sigmoid(-o)};
    add_pair(out, f, w.slope / n_w, -l.slope / row.rejected().num_tokens);
    add_branch(out, 0, {-T(nll_weight) * mean_logp(row.chosen()), -T(nll_weight)}, T(1) / n_w);
    return out;
  }
};

}  // namespace pref
