// SPDX-License-Identifier: Apache-2.0
// LOGO: SimPO against the mean of several rejected responses (branches 1 to M). Tang et al. 2024,
// arXiv:2410.18533. No reference.
//   u    = beta (a_w - (sum of the M rejected a) / M - gamma_beta_ratio) - margin,   a = logp / n
//   loss = -log sigma(u)
//   dloss/dlogp_w = -(beta / n_w) sigma(-u),   dloss/dlogp_i = (beta / (M n_i)) sigma(-u)
//   reward of a branch: beta a
// The paper's mean; its code slices the second rejected block wrongly. M = 1 is SimPO. The authors
// add 0.1 of the term sft.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct LOGO {
  static constexpr const char* name = "logo";
  static constexpr const char* loss_type = "logo";
  static constexpr Needs needs = Needs::nothing;
  static constexpr Accepts accepts = Accepts::margin;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;
  static constexpr int max_branches = kMaxBranches;

  double beta = 10;
  double gamma_beta_ratio = 0.3;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("gamma_beta_ratio", self.gamma_beta_ratio, at_least(0),
          "target margin over beta, nats per token");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = mean_logp_rewards(row, T(beta));
    const T rejected = T(row.branches - 1);
    T u = out.reward[0] - T(beta) * T(gamma_beta_ratio) - row.margin;
    for (int k = 1; k < row.branches; ++k) u -= out.reward[k] / rejected;
    const auto f = smoothed_logistic(u, T(0));
    add_branch(out, 0, f, T(beta) / row.chosen().num_tokens);
    for (int k = 1; k < row.branches; ++k)
      out.d_logp[k] = -f.slope * T(beta) / (rejected * row.branch[k].num_tokens);
    return out;
  }
};

}  // namespace pref
