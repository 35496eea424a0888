// SPDX-License-Identifier: Apache-2.0
// DNO: the regression of a soft preference. Rosset et al. 2024, arXiv:2404.03715; beta is the
// paper's eta. Branches 0 and 1 are two responses with expected win probabilities P_0, P_1.
//   u = beta (h_0 - h_1),   h = logp - ref_logp,   q = sigma(P_0 - P_1)
//   loss = -q log sigma(u) - (1-q) log sigma(-u);   slope in u: sigma(u) - q
//   reward of a branch: beta h
// q = 1, the DNO-Prct of the paper (eq. 13), is dpo with the present policy as reference.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct DNO {
  static constexpr const char* name = "dno";
  static constexpr const char* loss_type = "dno";
  static constexpr Needs needs = Needs::reference | Needs::win_probability;
  static constexpr Accepts accepts = Accepts::weighting | Accepts::divergence;
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
    const T flipped = sigmoid(row.branch[1].win_probability - row.branch[0].win_probability);
    add_pair(out, smoothed_logistic(out.reward[0] - out.reward[1], flipped), T(beta), -T(beta));
    return out;
  }
};

}  // namespace pref
