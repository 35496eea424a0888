// SPDX-License-Identifier: Apache-2.0
#include "examples/experiments/experiments.h"

namespace pref::experiments {

const std::vector<Experiment>& experiments() {
  static const std::vector<Experiment> all = {
      {"reward_kl", "reward against KL, beside the frontier", reward_kl, 20},
      {"label_noise", "flipped labels: DPO, cDPO, robust, hinge", label_noise, 20},
      {"selm_rare_arm", "SELM where a rare arm is the best, or the worst", selm_rare_arm, 25},
      {"selm_dense", "SELM where all arms are common", selm_dense, 20},
      {"selm_loop", "SELM with a reference that follows", selm_loop, 20},
      {"wpo_off_policy", "WPO on data from another policy", wpo_off_policy, 20},
      {"simpo_length", "SimPO, DPO and length", simpo_length, 20},
      {"loops", "SPIN, SPPO and DNO", loops, 20},
  };
  return all;
}

}  // namespace pref::experiments
