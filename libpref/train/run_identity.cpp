// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/run_identity.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "libpref/base/json_text.h"

namespace pref {

std::vector<OptionText> objective_options(const Objective& objective) {
  std::vector<OptionText> all;
  for (const auto& [term, weight] : objective.terms())
    std::visit(
        [&](const auto& t) {
          for (OptionText option : describe_options(t)) {
            option.name = std::string(t.name) + "." + option.name;
            all.push_back(std::move(option));
          }
        },
        term);
  const auto add_modifier = [&](const auto& modifier) {
    if (!modifier) return;
    for (OptionText option : describe_options(*modifier)) {
      option.name = std::string(modifier->name) + "." + option.name;
      all.push_back(std::move(option));
    }
  };
  add_modifier(objective.modifiers().weighting);
  add_modifier(objective.modifiers().divergence);
  add_modifier(objective.modifiers().average);
  add_modifier(objective.modifiers().length);
  return all;
}

std::map<std::string, std::string> run_identity(const Objective& objective,
                                                const TrainerOptions& options) {
  std::map<std::string, std::string> identity;
  identity["objective"] = objective.name();
  for (const auto& [term, weight] : objective.terms())
    std::visit(
        [&](const auto& t) {
          identity[std::string("loss_weights.") + t.name] = json_value(weight);
        },
        term);
  for (const auto& option : objective_options(objective)) identity[option.name] = option.value;
  static constexpr std::array<std::string_view, 12> kFixed = {"learning_rate",
                                                              "lr_scheduler_type",
                                                              "warmup_ratio",
                                                              "warmup_steps",
                                                              "per_device_train_batch_size",
                                                              "gradient_accumulation_steps",
                                                              "max_grad_norm",
                                                              "adam_beta1",
                                                              "adam_beta2",
                                                              "adam_epsilon",
                                                              "weight_decay",
                                                              "seed"};
  for (const auto& option : describe_options(options))
    if (std::find(kFixed.begin(), kFixed.end(), option.name) != kFixed.end() ||
        option.name == "shuffle" || option.name == "tokens_per_microbatch" ||
        option.name == "logits_budget_mb" || option.name == "logits_dtype" ||
        option.name == "adam_moments_dtype")
      identity[option.name] = option.value;
  return identity;
}

}  // namespace pref
