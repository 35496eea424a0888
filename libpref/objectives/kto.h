// SPDX-License-Identifier: Apache-2.0
// KTO on unpaired feedback. Ethayarajh et al. 2024, arXiv:2402.01306, eq. 7 and 8.
//   h = logp - ref_logp,   z0 = max(0, mean of h over mismatched prompt-response pairs of the batch)
//   desirable:    loss = desirable_weight   (1 - sigma(beta (h - z0)))
//   undesirable:  loss = undesirable_weight (1 - sigma(beta (z0 - h)))
//   dloss/dlogp = -+ weight beta sigma(s) sigma(-s),  s = beta (h - z0);  no gradient through z0
//   reward: beta h
// Branch 1 of every row is another row's response to this prompt; only its log-ratio is looked at.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/coupling.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct KTO {
  static constexpr const char* name = "kto";
  static constexpr const char* loss_type = "kto";
  static constexpr Needs needs = Needs::reference | Needs::label | Needs::mismatched;
  static constexpr Accepts accepts = Accepts::nothing;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

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

  PREF_HD bool couples() const { return true; }

  template <class Rows>
  PREF_HD void couple(Rows&& batch, CouplingState&) const {
    const double mean = batch.mean([](const auto& row) { return log_ratio(row.branch[1]); });
    const double z0 = mean > 0 ? mean : 0;
    batch.each([z0](auto& row) { row.branch[0].coupled = z0; });
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out;
    out.reward[0] = T(beta) * log_ratio(row.branch[0]);
    const T good = row.label > 0 ? T(1) : T(-1);
    const T weight = row.label > 0 ? T(desirable_weight) : T(undesirable_weight);
    const T s = T(beta) * (log_ratio(row.branch[0]) - row.branch[0].coupled);
    const auto f = logistic(-good * s);  // 1 - sigma(good s)
    add_branch(out, 0, {weight * f.value, weight * f.slope}, -good * T(beta));
    return out;
  }
};

}  // namespace pref
