// SPDX-License-Identifier: Apache-2.0
// AOT on pairs: the batch's log-ratios of chosen to rejected, sorted, against the reference's, sorted.
// Melnyk et al. 2024, arXiv:2406.05882, with the logistic loss as TRL has it.
//   a = logp_w - logp_l,   b = ref_w - ref_l,   b' the entry of b whose rank is a's
//   u = beta (a - b'),   loss = -(1-e) log sigma(u) - e log sigma(-u)
//   dloss/dlogp_w = beta (sigma(u) - (1-e)) = -dloss/dlogp_l
//   reward of a branch: beta (logp - ref_logp)
// The sort is over the global batch, so that microbatches and ranks change nothing; TRL sorts each
// device's own batch. In a batch of one row it is dpo.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/coupling.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct AOT {
  static constexpr const char* name = "aot";
  static constexpr const char* loss_type = "aot";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts = Accepts::average;
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

  PREF_HD bool couples() const { return true; }

  template <class Rows>
  PREF_HD void couple(Rows&& batch, CouplingState&) const {
    batch.match([](const auto& row) { return row.chosen().logp - row.rejected().logp; },
                [](const auto& row) { return row.chosen().ref_logp - row.rejected().ref_logp; },
                [](auto& row, double partner) { row.branch[0].coupled = partner; });
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T u = T(beta) * (row.chosen().logp - row.rejected().logp - row.branch[0].coupled);
    add_pair(out, smoothed_logistic(u, T(label_smoothing)), T(beta), -T(beta));
    return out;
  }
};

}  // namespace pref
