// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <ostream>

#include "libpref/base/json_text.h"
#include "libpref/cli/commands.h"
#include "libpref/cli/data_command.h"
#include "libpref/data/load_preferences.h"
#include "libpref/nn/model.h"
#include "libpref/train/step.h"
#include "libpref/train/trainer_options.h"

namespace pref::cli {

int logps(const LogpsArguments& arguments, std::ostream& out) {
  DataOptions options;
  options.max_length = std::nullopt;  // rows are scored whole unless a length is asked for
  apply_settings(options, parse_settings(arguments.settings));
  options.reference_response = arguments.reference_response;
  Model model = load_model(
      arguments.model,
      {.device = arguments.device, .dtype = arguments.float32 ? DType::f32 : DType::automatic});
  const TrainerOptions budgets = resolved({}, model.network().parameters().placement());
  const PreferenceData data = load_preferences({arguments.data}, model.tokenizer(), options);

  static constexpr std::array<const char*, 3> kBranch = {"chosen", "rejected",
                                                         "reference_response"};
  const Objective any_objective(SFT{});
  PreferenceStep engine(model.network(), any_objective,
                        {.tokens_per_microbatch = budgets.tokens_per_microbatch,
                         .head = {.logits_bytes = budgets.logits_budget_mb << 20}});
  engine.statistics(
      data.rows, all_indices(data.rows.size()),
      [&](const PackingPlan& plan, const SequenceStatistics& s) {
        for (int64_t r = 0; r < plan.num_rows(); ++r) {
          const TokenizedRow& row = data.rows[plan.row_ids[r]];
          JsonObject line;
          line.add("id", row.id);
          const int64_t first = plan.row_first_sequence[r];
          const size_t branches = std::min(row.branches.size(), kBranch.size());
          const auto each = [&](const char* group, const auto& value) {
            for (size_t k = 0; k < branches; ++k)
              line.add(std::string(group) + "/" + kBranch[k], value(first + k));
          };
          each("logps", [&](int64_t i) { return s.logp[i]; });
          each("num_tokens", [&](int64_t i) { return static_cast<int64_t>(s.num_tokens[i]); });
          each("collision", [&](int64_t i) { return s.collision[i] / s.num_tokens[i]; });
          each("max_logp", [&](int64_t i) { return s.max_logp[i] / s.num_tokens[i]; });
          each("entropy", [&](int64_t i) { return s.entropy[i] / s.num_tokens[i]; });
          if (arguments.ids) {
            const auto add_ids = [&](const std::string& name, const std::vector<int32_t>& ids) {
              JsonArray array;
              for (const int32_t id : ids) array.add(id);
              line.add_raw(name, array.str());
            };
            add_ids("prompt_ids", row.prompt);
            for (size_t k = 0; k < branches; ++k)
              add_ids(std::string(kBranch[k]) + "_ids", row.branches[k]);
          }
          out << line.str() << "\n";
        }
      });
  return 0;
}

}  // namespace pref::cli
