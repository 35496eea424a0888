// SPDX-License-Identifier: Apache-2.0
// AOT without pairing: the batch's chosen log-ratios, sorted, against its rejected ones, sorted.
// Melnyk et al. 2024, arXiv:2406.05882, with the logistic loss as TRL has it.
//   r = logp - ref_logp;  r_w of rank k meets the r_l of rank k:   u = beta (r_w - r_l')
//   loss = -(1-e) log sigma(u) - e log sigma(-u), summed over ranks
//   dloss/dlogp_w = beta (sigma(u) - (1-e)),   dloss/dlogp_l = -that of the rank it meets
//   reward of a branch: beta r
// Each rank's loss is shared by two rows: a row's loss is half of its chosen response's rank and
// half of its rejected one's, and the batch's sum is the sum over ranks. The sort is over the global
// batch. In a batch of one row it is dpo.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/coupling.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct AOTUnpaired {
  static constexpr const char* name = "aot_unpaired";
  static constexpr const char* loss_type = "aot_unpaired";
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
    const auto chosen = [](const auto& row) { return log_ratio(row.chosen()); };
    const auto rejected = [](const auto& row) { return log_ratio(row.rejected()); };
    batch.match(chosen, rejected, [](auto& row, double r) { row.branch[0].coupled = r; });
    batch.match(rejected, chosen, [](auto& row, double r) { row.branch[1].coupled = r; });
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const auto f = [&](T r_w, T r_l) {
      return smoothed_logistic(T(beta) * (r_w - r_l), T(label_smoothing));
    };
    const auto chosen = f(log_ratio(row.chosen()), row.branch[0].coupled);
    const auto rejected = f(row.branch[1].coupled, log_ratio(row.rejected()));
    out.loss = (chosen.value + rejected.value) / T(2);
    out.d_logp[0] = T(beta) * chosen.slope;
    out.d_logp[1] = -T(beta) * rejected.slope;
    return out;
  }
};

}  // namespace pref
