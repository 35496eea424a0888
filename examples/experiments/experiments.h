// SPDX-License-Identifier: Apache-2.0
// The experiments on worlds small enough to be judged exactly: one file each, all through the
// library's own objectives. docs/experiments.md says what each shows.
#pragma once
#include <vector>

#include "examples/experiments/figure.h"

namespace pref::experiments {

/// Reward against KL to the reference, beside the frontier known in closed form.
std::vector<Figure> reward_kl(const RunSize& size);
/// Flipped labels: DPO, conservative DPO, robust DPO, hinge.
std::vector<Figure> label_noise(const RunSize& size);
/// SELM where it helps: a rare arm that is the best one, or the worst.
std::vector<Figure> selm_rare_arm(const RunSize& size);
/// SELM where it does not help: many arms that the reference plays anyway.
std::vector<Figure> selm_dense(const RunSize& size);
/// SELM as practised: the reference follows the policy, old data are dropped.
std::vector<Figure> selm_loop(const RunSize& size);
/// WPO on data from another policy, at equal KL and at equal steps.
std::vector<Figure> wpo_off_policy(const RunSize& size);
/// What SimPO, DPO and their relatives do to the length of responses.
std::vector<Figure> simpo_length(const RunSize& size);
/// SPIN towards a known target; SPPO and DNO on a game without a best action.
std::vector<Figure> loops(const RunSize& size);

struct Experiment {
  const char *name, *about;
  std::vector<Figure> (*run)(const RunSize& size);
  int seeds;  ///< of the full form
};
const std::vector<Experiment>& experiments();

}  // namespace pref::experiments
