// SPDX-License-Identifier: Apache-2.0
// What a run is: its objective and options as text, for run.json, the report, and the proof that a
// resumed run is the one that stopped.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "libpref/objectives/objective.h"
#include "libpref/train/trainer_options.h"

namespace pref {

/// Every option of the objective's terms and modifiers, as "dpo.beta".
std::vector<OptionText> objective_options(const Objective& objective);

/// Name to text of what must be the same on resume: the objective, and the options that change what
/// an update computes.
std::map<std::string, std::string> run_identity(const Objective& objective,
                                                const TrainerOptions& options);

}  // namespace pref
