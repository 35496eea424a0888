// SPDX-License-Identifier: Apache-2.0
// Presets for configurations that were written for a version of TRL: `compat: trl-0.9` computes
// what TRL 0.9.6 computed with the same keys, trl-0.28 what 0.28.0, trl-1.9 what 1.9.0 does. A
// preset is a rewriting of settings before anything reads them; it adds no formula of its own. Keys
// that the version does not have, keys that it ignores, and the few things of it that libpref does
// not reproduce (docs/compatibility.md) are errors.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/objectives/objective_settings.h"

namespace pref {

enum class Compat { none, trl_0_9, trl_0_28, trl_1_9 };
constexpr std::array<EnumName<Compat>, 4> enum_names(Compat) {
  return {{{Compat::none, "none"},
           {Compat::trl_0_9, "trl-0.9"},
           {Compat::trl_0_28, "trl-0.28"},
           {Compat::trl_1_9, "trl-1.9"}}};
}

/// Whose configuration it is: DPOTrainer's, or CPOTrainer's with loss_type simpo.
enum class CompatTrainer { dpo, simpo };

/// The version's defaults for rows that are too long, as settings of libpref's own keys.
std::vector<Setting> compat_data_defaults(Compat version, CompatTrainer trainer);

/// Turns loss_type, loss_weights and settings in the version's words into libpref's, its defaults
/// written out; the data defaults come first, so that the user's own override them. Settings that
/// are no objective's stay. Throws ErrorKind::option.
void apply_compat(Compat version, CompatTrainer trainer, ObjectiveChoice& choice,
                  std::vector<Setting>& settings);

}  // namespace pref
