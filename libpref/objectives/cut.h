// SPDX-License-Identifier: Apache-2.0
// CUT: likelihood of a response, unlikelihood of the tokens that a judgment finds wrong. Xu et al.
// 2023, arXiv:2312.14591, eq. 6, on a row of one response whose token_rewards are 1 for tokens so
// flagged and 0 for the others.
//   loss = (sum of -log p(y_t) over tokens not flagged
//           + unlikelihood_weight sum of -log(1 - p(y_t)) over flagged ones) / n
//   a token's slope by log p: -1/n, or unlikelihood_weight p / (1-p) / n
//   reward: logp / n
// The authors flag with the present policy, p(y_t | x, judgment) / p(y_t | x) > 1.1; here the flags
// are data. Their likelihood of the response under the judgment is a row of its own without flags.
// 1 - p counts as 1e-6 below that, without a slope.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct CUT {
  static constexpr const char* name = "cut";
  static constexpr const char* loss_type = "cut";
  static constexpr Needs needs = Needs::token_rewards;
  static constexpr Accepts accepts = Accepts::nothing;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 1;

  double unlikelihood_weight = 1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("unlikelihood_weight", self.unlikelihood_weight, at_least(0),
          "weight of the unlikelihood of flagged tokens");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out;
    const Sequence<T>& s = row.branch[0];
    const T weight = T(unlikelihood_weight);
    out.reward[0] = mean_logp(s);
    out.loss = (s.marked - s.logp - weight * s.unlikely) / s.num_tokens;
    out.d_logp[0] = -T(1) / s.num_tokens;
    out.d_marked[0] = T(1) / s.num_tokens;
    out.d_unlikely[0] = -weight / s.num_tokens;
    return out;
  }
};

}  // namespace pref
