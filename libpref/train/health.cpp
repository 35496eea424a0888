// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/health.h"

#include <cmath>
#include <cstdio>
#include <map>

namespace pref {
namespace {

std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

}  // namespace

std::vector<std::string> Health::alerts(const MetricSums& interval) {
  std::map<std::string, double> value;  // NaN compares false below
  for (const auto& [name, mean] : interval.reported()) value[name] = mean;
  const auto at = [&](const char* name) {
    const auto found = value.find(name);
    return found == value.end() ? std::nan("") : found->second;
  };
  double pairs = 0;
  for (const auto& entry : interval.entries())
    if (entry.name == "rewards/margins") pairs = entry.count;
  std::vector<std::string> out;
  const auto alert = [&](const std::string& key, bool holds, const std::string& text) {
    if (holds && given_.insert(key).second) out.push_back(text);
  };
  const bool enough = pairs >= kMinPairs;
  alert("displaced", enough && at("preference/chosen_logratio") < kDisplaced,
        "the chosen responses have become less likely than under the reference (" +
            figure(at("preference/chosen_logratio")) +
            " nats a token): the margin grows by pushing the rejected ones down further. Lower "
            "learning_rate, raise beta, or add sft_weight.");
  const double correlation = at("preference/length_reward_correlation");
  alert("length", enough && std::abs(correlation) > kCorrelation,
        "the reward margin follows the length gap (correlation " + figure(correlation) +
            "): the policy may learn length rather than quality. Look at the lengths with `pref "
            "audit`; ld_alpha, r_dpo, sigmoid_norm and trainer: simpo count length less.");
  alert("faint", enough && at("preference/weight") < kFaintWeight,
        "WPO's mean weight is " + figure(at("preference/weight")) +
            ": the responses are so unlikely under the policy that almost nothing is learnt from "
            "them. Sample responses from the policy, or start from a model tuned on the chosen "
            "ones.");
  alert("clipped", enough && at("preference/weight_clipped") > kClipped,
        "nearly all of WPO's weights are clipped to 1 (" +
            figure(100 * at("preference/weight_clipped")) +
            " %): it acts as the loss without "
            "weights.");
  alert("ties", enough && at("preference/ties") > kTies,
        figure(100 * at("preference/ties")) +
            " % of the pairs have equal rewards: policy and reference are still the same for them. "
            "Is learning_rate above 0?");
  alert("saturated", enough && at("rewards/accuracies") > kSaturated,
        "every pair is won: what is left to learn from these rows is little, and more updates move "
        "the policy away from the reference. Fewer epochs, or a higher beta.");
  alert("entropy", at("entropy") < kLowEntropy,
        "the policy's entropy on the responses is " + figure(at("entropy")) +
            " nats a token: it has nearly become deterministic. Lower learning_rate, or raise "
            "beta.");
  return out;
}

}  // namespace pref
