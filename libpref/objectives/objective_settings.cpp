// SPDX-License-Identifier: Apache-2.0
#include "libpref/objectives/objective_settings.h"

#include <algorithm>
#include <optional>

#include "libpref/base/error.h"

namespace pref {
namespace {

// Calls f(options) for a default object of every objective and modifier.
template <class F>
void for_each_options(const F& f) {
  for_each_objective(f);
  f(Weighting{});
  f(Divergence{});
  f(Averaging{});
  f(LengthDesensitization{});
}

// Who has an option of that name: "simpo, alphapo".
std::string owners(const std::string& name) {
  std::string out;
  for_each_options([&]<class T>(const T& t) {
    if (known_option<T>(name)) out += (out.empty() ? "" : ", ") + std::string(t.name);
  });
  return out;
}

}  // namespace

Objective make_objective(const ObjectiveChoice& choice, std::vector<Setting>& settings) {
  require(choice.loss_weights.empty() || choice.loss_weights.size() == choice.loss_type.size(),
          ErrorKind::option, "config", "loss_weights must have one weight per loss_type (",
          choice.loss_type.size(), "), got ", choice.loss_weights.size(), ".");
  std::vector<WeightedTerm> terms;
  for (size_t i = 0; i < choice.loss_type.size(); ++i)
    terms.push_back({make_term(choice.loss_type[i]),
                     choice.loss_weights.empty() ? 1.0 : choice.loss_weights[i]});
  std::optional<Weighting> weighting;
  std::optional<Divergence> divergence;
  std::optional<Averaging> average;
  std::optional<LengthDesensitization> length;
  if (choice.weighting) weighting.emplace();
  for (const Setting& s : settings)
    if (known_option<Divergence>(s.name))
      divergence.emplace();
    else if (known_option<Averaging>(s.name))
      average.emplace();
    else if (known_option<LengthDesensitization>(s.name))
      length.emplace();

  std::vector<Setting> others;
  for (const Setting& s : settings) {
    bool taken = false;
    const auto offer = [&]<class T>(T& options) {
      const bool held =
          std::find(choice.withheld.begin(), choice.withheld.end(),
                    std::string(options.name) + "." + s.name) != choice.withheld.end();
      if (!held && known_option<T>(s.name)) taken = set_option(options, s.name, s.text, s.source);
    };
    for (auto& [term, weight] : terms) std::visit(offer, term);
    if (weighting) offer(*weighting);
    if (divergence) offer(*divergence);
    if (average) offer(*average);
    if (length) offer(*length);
    if (taken) continue;
    const std::string who = owners(s.name);
    if (!who.empty()) {
      std::string chosen;
      for (const auto& type : choice.loss_type) chosen += (chosen.empty() ? "" : "+") + type;
      fail(ErrorKind::option, "config", s.source.place, ": option \"", s.name,
           "\" has no effect with loss_type ", chosen, "; it belongs to ", who,
           ". Remove it, or choose another trainer or loss_type.");
    }
    others.push_back(s);
  }
  settings = std::move(others);
  return Objective(
      std::move(terms),
      {.weighting = weighting, .divergence = divergence, .average = average, .length = length});
}

void fail_unknown_objective_option(const Setting& setting, std::vector<std::string> more) {
  for (const OptionText& option : describe_objectives())
    more.push_back(option.name.substr(option.name.find('.') + 1));
  fail_unknown_option(setting.name, more, setting.source);
}

std::vector<OptionText> describe_objectives() {
  std::vector<OptionText> all;
  for_each_options([&](const auto& t) {
    for (OptionText option : describe_options(t)) {
      option.name = std::string(t.name) + "." + option.name;
      all.push_back(std::move(option));
    }
  });
  return all;
}

}  // namespace pref
