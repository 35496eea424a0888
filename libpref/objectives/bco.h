// SPDX-License-Identifier: Apache-2.0
// BCO on unpaired feedback: binary cross-entropy of the reward less a running mean. Jung et al. 2024,
// arXiv:2404.04656, eq. 9.
//   r = beta (logp - ref_logp),   delta = running mean over batches of the batch's mean r
//   desirable: loss = -log sigma(r - delta);  undesirable: -log sigma(-(r - delta))
//   dloss/dlogp = beta (sigma(r - delta) - [desirable]);  no gradient through delta
//   reward: r
// As in TRL, delta takes in the present batch first. The density-ratio weights of the paper are the
// rows' own weights.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/coupling.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct BCO {
  static constexpr const char* name = "bco";
  static constexpr const char* loss_type = "bco";
  static constexpr Needs needs = Needs::reference | Needs::label;
  static constexpr Accepts accepts = Accepts::nothing;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 1;

  double beta = 0.1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
  }

  PREF_HD bool couples() const { return true; }

  template <class Rows>
  PREF_HD void couple(Rows&& batch, CouplingState& state) const {
    shift_by_running_reward(batch, beta, 1, state);
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out;
    out.reward[0] = T(beta) * log_ratio(row.branch[0]);
    const T good = row.label > 0 ? T(1) : T(-1);
    const T u = good * (out.reward[0] - row.branch[0].coupled);
    add_branch(out, 0, {neg_log_sigmoid(u), -sigmoid(-u)}, good * T(beta));
    return out;
  }
};

}  // namespace pref
