// SPDX-License-Identifier: Apache-2.0
// BCO for pairs: binary cross-entropy of "good" for the chosen, "bad" for the rejected response. Jung
// et al. 2024, arXiv:2404.04656.
//   r = beta h - delta,   h = logp - ref_logp
//   delta = 0 (reward_shift: none, as TRL 1.9), or the running mean over batches of the mean beta h
//   of a batch's responses (running_mean, the paper's, and TRL's up to 0.28); no gradient through it
//   loss = -log sigma(r_w) - log sigma(-r_l)
//   dloss/dlogp_w = -beta sigma(-r_w),   dloss/dlogp_l = beta sigma(r_l)
//   reward of a branch: beta h
#pragma once
#include <array>

#include "libpref/base/options.h"
#include "libpref/objectives/coupling.h"
#include "libpref/objectives/pair.h"

namespace pref {

enum class RewardShift { none, running_mean };
constexpr std::array<EnumName<RewardShift>, 2> enum_names(RewardShift) {
  return {{{RewardShift::none, "none"}, {RewardShift::running_mean, "running_mean"}}};
}

struct BCOPair {
  static constexpr const char* name = "bco_pair";
  static constexpr const char* loss_type = "bco_pair";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts =
      Accepts::weighting | Accepts::length | Accepts::average | Accepts::divergence_constant;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;
  RewardShift reward_shift = RewardShift::none;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("reward_shift", self.reward_shift, any(),
          "what is taken off every reward: nothing, or their running mean over batches");
  }

  PREF_HD bool couples() const { return reward_shift == RewardShift::running_mean; }

  template <class Rows>
  PREF_HD void couple(Rows&& batch, CouplingState& state) const {
    shift_by_running_reward(batch, beta, 2, state);
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T r_w = out.reward[0] - (couples() ? row.branch[0].coupled : T(0));
    const T r_l = out.reward[1] - (couples() ? row.branch[1].coupled : T(0));
    add_branch(out, 0, {neg_log_sigmoid(r_w), -sigmoid(-r_w)}, T(beta));
    add_branch(out, 1, {neg_log_sigmoid(-r_l), sigmoid(r_l)}, T(beta));
    return out;
  }
};

}  // namespace pref
