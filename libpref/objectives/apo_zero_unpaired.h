// SPDX-License-Identifier: Apache-2.0
// APO-zero on unpaired feedback: desirable responses up, undesirable ones down, each from where the
// reference has it. D'Oosterlinck et al. 2024, arXiv:2408.06266; KTO without its shift.
//   r = beta (logp - ref_logp)
//   desirable: loss = desirable_weight (1 - sigma(r));  undesirable: undesirable_weight sigma(r)
//   dloss/dlogp = -+ weight beta sigma(r) sigma(-r)
//   reward: r
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct APOZeroUnpaired {
  static constexpr const char* name = "apo_zero_unpaired";
  static constexpr const char* loss_type = "apo_zero_unpaired";
  static constexpr Needs needs = Needs::reference | Needs::label;
  static constexpr Accepts accepts = Accepts::nothing;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 1;

  double beta = 0.1;
  double desirable_weight = 1;
  double undesirable_weight = 1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("desirable_weight", self.desirable_weight, above(0), "weight of desirable responses");
    visit("undesirable_weight", self.undesirable_weight, above(0),
          "weight of undesirable responses");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out;
    out.reward[0] = T(beta) * log_ratio(row.branch[0]);
    const T good = row.label > 0 ? T(1) : T(-1);
    const T weight = row.label > 0 ? T(desirable_weight) : T(undesirable_weight);
    const auto f = logistic(-good * out.reward[0]);
    add_branch(out, 0, {weight * f.value, weight * f.slope}, -good * T(beta));
    return out;
  }
};

}  // namespace pref
