// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "libpref/base/yaml.h"
#include "libpref/cli/commands.h"
#include "libpref/cli/json_lines.h"
#include "libpref/objectives/objective_settings.h"

namespace pref::cli {
namespace {

constexpr std::array<const char*, 3> kBranch = {"chosen", "rejected", "reference_response"};

// The value of `name`; `fallback` where the row has none, or an error when there is no fallback.
double field(const nlohmann::json& row, const std::string& name, std::optional<double> fallback) {
  const auto found = row.find(name);
  if (found == row.end()) {
    require(fallback.has_value(), ErrorKind::data, "loss", "field \"", name,
            "\" is required and missing.");
    return *fallback;
  }
  require(found->is_number(), ErrorKind::data, "loss", "field \"", name,
          "\" must be a number, got ", found->dump(), ".");
  return found->get<double>();
}

Row<double> row_of(const nlohmann::json& json, const Objective& objective) {
  require(json.is_object(), ErrorKind::data, "loss", "each line must be a JSON object, got ",
          json.type_name(), ".");
  Row<double> row;
  row.branches = 0;
  for (const char* side : kBranch) {
    const auto name = [&](const char* group) { return std::string(group) + "/" + side; };
    if (row.branches >= objective.min_branches() && !json.contains(name("logps"))) break;
    const bool reference = has(objective.needs(), Needs::reference);
    Sequence<double>& s = row.branch[row.branches++];
    const auto needed = [&](bool yes) { return yes ? std::nullopt : std::optional<double>(0.0); };
    s.logp = field(json, name("logps"), std::nullopt);
    s.ref_logp = field(json, name("ref_logps"), needed(reference));
    s.num_tokens = field(json, name("num_tokens"), 1.0);
    require(s.num_tokens >= 1, ErrorKind::data, "loss", name("num_tokens"),
            " must be at least 1, got ", s.num_tokens, ".");
    s.collision = field(json, name("collision"), needed(has(objective.needs(), Needs::collision)));
    s.max_logp = field(json, name("max_logp"), needed(has(objective.needs(), Needs::max_logp)));
    s.win_probability = field(json, name("win_probability"), -1.0);
    s.score = field(json, name("score"), 0.0);
    s.coupled = field(json, name("coupled"), 0.0);
    const bool marks = has(objective.needs(), Needs::tail);
    s.marked =
        field(json, name("marked"), needed(marks || has(objective.needs(), Needs::token_rewards)));
    s.ref_marked = field(json, name("ref_marked"), needed(marks));
    s.unlikely = field(json, name("unlikely"), 0.0);
  }
  row.weight = field(json, "weight", 1.0);
  row.margin = field(json, "margin", 0.0);
  if (const auto label = json.find("label"); label != json.end()) {
    require(label->is_boolean(), ErrorKind::data, "loss",
            "field \"label\" must be true or false, got ", label->dump(), ".");
    row.label = label->get<bool>() ? 1 : -1;
  }
  return row;
}

}  // namespace

int loss(const std::string& name, const std::vector<std::string>& settings, std::istream& in,
         std::ostream& out) {
  std::vector<Setting> parsed;
  for (const auto& setting : settings) parsed.push_back(parse_setting_argument(setting));
  refuse_repeated_settings(parsed);
  const bool wpo = name == Weighting::name;
  const Objective objective =
      make_objective({.loss_type = {wpo ? "sigmoid" : name}, .weighting = wpo}, parsed);
  for (const Setting& s : parsed) fail_unknown_objective_option(s);
  return answer_json_lines(in, out, [&](const nlohmann::json& json) {
    const Row<double> row = row_of(json, objective);
    const RowLoss<double> value = objective(row, {1, row.branch[0].num_tokens});
    JsonObject answer;
    answer.add("loss", value.loss);
    for (int k = 0; k < row.branches; ++k)
      answer.add(std::string("grad/") + kBranch[k], value.d_logp[k]);
    for (int k = 0; k < std::min(row.branches, 2); ++k)
      answer.add(std::string("rewards/") + kBranch[k], value.reward[k]);
    return answer.str();
  });
}

}  // namespace pref::cli
