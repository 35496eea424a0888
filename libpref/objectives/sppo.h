// SPDX-License-Identifier: Apache-2.0
// SPPO with estimated win probabilities. Wu et al. 2024, arXiv:2405.00675, eq. 4.7; beta is the
// paper's 1 / eta, 0.001 in the authors' code. P: how often a response beats the candidates sampled
// for its prompt, itself among them (counted 1/2).
//   loss = ((h_w - (P_w - 1/2) / beta)^2 + (h_l - (P_l - 1/2) / beta)^2) / 2,   h = logp - ref_logp
//   dloss/dlogp_w = h_w - (P_w - 1/2) / beta,   and the same for l
//   reward of a branch: beta h
// The half is the authors' code's; sppo_hard, TRL's form with P 1 and 0, has none.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct SPPO {
  static constexpr const char* name = "sppo";
  static constexpr const char* loss_type = "sppo";
  static constexpr Needs needs = Needs::reference | Needs::win_probability;
  static constexpr Accepts accepts = Accepts::weighting;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 1e-3;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0),
          "inverse of the paper's eta: the targets are (P - 1/2) / beta");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    for (int k = 0; k < 2; ++k) {
      const T target = (row.branch[k].win_probability - T(0.5)) / T(beta);
      const auto f = square_at(target, log_ratio(row.branch[k]));
      add_branch(out, k, {T(0.5) * f.value, T(0.5) * f.slope}, T(1));
    }
    return out;
  }
};

}  // namespace pref
