// SPDX-License-Identifier: Apache-2.0
// DPO on log-ratios per token. TRL's "sigmoid_norm" (from 1.4), which has a reference and no target
// margin, so it is not SimPO.
//   u    = beta (h_w / n_w - h_l / n_l) - margin,   h = logp - ref_logp
//   loss = -log sigma(u)
//   dloss/dlogp_w = -(beta / n_w) sigma(-u),   dloss/dlogp_l = (beta / n_l) sigma(-u)
//   reward of a branch: beta h, the sum, as TRL logs it
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct SigmoidNorm {
  static constexpr const char* name = "sigmoid_norm";
  static constexpr const char* loss_type = "sigmoid_norm";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts = Accepts::margin | Accepts::weighting | Accepts::divergence |
                                     Accepts::length | Accepts::divergence_constant;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the mean log-ratio");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T by_w = T(beta) / row.chosen().num_tokens, by_l = T(beta) / row.rejected().num_tokens;
    const T u = by_w * log_ratio(row.chosen()) - by_l * log_ratio(row.rejected()) - row.margin;
    add_pair(out, smoothed_logistic(u, T(0)), by_w, -by_l);
    return out;
  }
};

}  // namespace pref
