// SPDX-License-Identifier: Apache-2.0
// PRO: m responses ranked by a score, each to beat all that follow it. Song et al. 2023,
// arXiv:2306.17492, with the temperatures of the authors' code. Branches come best first. No
// reference.
//   a = logp / n,   t_ki = score_k - score_i,   t_kk = max over i > k of t_ki
//   stage k: log(e^(a_k t_kk) + sum over i > k of e^(a_i t_ki)) - a_k t_kk
//   loss = sum over k < m-1 of stage k  -  nll_weight (m-1)^2 logp_0
//   a stage's slopes: t_kk (q_k - 1) / n_k and t_ki q_i / n_i, q the softmax of its exponents
//   reward of a branch: a
// The likelihood part is a sum over the best completion, so it is inside, not the term sft.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct PRO {
  static constexpr const char* name = "pro";
  static constexpr const char* loss_type = "pro";
  static constexpr Needs needs = Needs::score;
  static constexpr Accepts accepts = Accepts::nothing;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;
  static constexpr int max_branches = kMaxBranches;

  double nll_weight = 0.05;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("nll_weight", self.nll_weight, at_least(0),
          "weight of the best response's summed negative log-likelihood, times (m-1)^2");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    using std::exp;
    using std::log;
    RowLoss<T> out = mean_logp_rewards(row, T(1));
    const int m = row.branches;
    for (int k = 0; k + 1 < m; ++k) {
      T own = row.branch[k].score - row.branch[k + 1].score;  // t_kk
      for (int i = k + 2; i < m; ++i) {
        const T gap = row.branch[k].score - row.branch[i].score;
        own = gap > own ? gap : own;
      }
      const auto temperature = [&](int i) {
        return i == k ? own : row.branch[k].score - row.branch[i].score;
      };
      T most = own * out.reward[k];
      for (int i = k + 1; i < m; ++i) {
        const T x = temperature(i) * out.reward[i];
        most = x > most ? x : most;
      }
      T sum = 0;
      for (int i = k; i < m; ++i) sum += exp(temperature(i) * out.reward[i] - most);
      out.loss += most + log(sum) - own * out.reward[k];
      for (int i = k; i < m; ++i) {
        const T q = exp(temperature(i) * out.reward[i] - most) / sum;
        out.d_logp[i] += temperature(i) * (i == k ? q - T(1) : q) / row.branch[i].num_tokens;
      }
    }
    const T nll = T(nll_weight) * T(m - 1) * T(m - 1);
    add_branch(out, 0, {-nll * row.chosen().logp, -nll}, T(1));
    return out;
  }
};

}  // namespace pref
