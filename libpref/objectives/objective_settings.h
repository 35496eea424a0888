// SPDX-License-Identifier: Apache-2.0
// From the keys of a configuration to an objective. loss_type names the terms; every other key goes
// to the terms and modifiers that have it, and a key that only others have is an error: it would do
// nothing.
#pragma once
#include <string>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/objectives/objective.h"

namespace pref {

struct ObjectiveChoice {
  std::vector<std::string> loss_type;  ///< names as make_term takes them; at least one
  std::vector<double> loss_weights{};  ///< one a term, or none: 1 each
  bool weighting = false;              ///< WPO's weights on the pair terms
  /// Options that these terms do not take although they have them: "dpo.label_smoothing".
  std::vector<std::string> withheld{};
};

/// Sets the options of the chosen terms and takes their settings out of `settings`; a later setting
/// of a name overrides an earlier one. What no objective knows is left for others. Throws
/// ErrorKind::option with the setting's place: a wrong value, an option without effect here; and
/// what Objective's constructor throws.
Objective make_objective(const ObjectiveChoice& choice, std::vector<Setting>& settings);

/// Throws ErrorKind::option: the setting is no objective's; names the nearest of `more` and theirs.
[[noreturn]] void fail_unknown_objective_option(const Setting& setting,
                                                std::vector<std::string> more = {});

/// Every option of every objective and modifier: name, default, range, meaning, as
/// "simpo.gamma_beta_ratio".
std::vector<OptionText> describe_objectives();

}  // namespace pref
