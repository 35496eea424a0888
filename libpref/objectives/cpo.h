// SPDX-License-Identifier: Apache-2.0
// CPO, its preference part. Xu et al. 2024, arXiv:2401.08417, eq. 3; label_smoothing as TRL's CPO
// trainer. No reference.
//   u    = beta (logp_w - logp_l) - margin
//   loss = -(1-e) log sigma(u) - e log sigma(-u)
//   dloss/dlogp_w = beta (sigma(u) - (1-e)),   dloss/dlogp_l = -dloss/dlogp_w
//   reward of a branch: beta logp
// CPO adds the likelihood of the chosen response: the term sft, weight 1, a token mean as in TRL.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct CPO {
  static constexpr const char* name = "cpo";
  static constexpr const char* loss_type = "cpo";
  static constexpr Needs needs = Needs::nothing;
  static constexpr Accepts accepts = Accepts::margin | Accepts::weighting;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;
  double label_smoothing = 0;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("label_smoothing", self.label_smoothing, half_open(0, 0.5),
          "probability that a label is flipped");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out;
    for (int k = 0; k < row.branches; ++k) out.reward[k] = T(beta) * row.branch[k].logp;
    const T u = out.reward[0] - out.reward[1] - row.margin;
    add_pair(out, smoothed_logistic(u, T(label_smoothing)), T(beta), -T(beta));
    return out;
  }
};

}  // namespace pref
