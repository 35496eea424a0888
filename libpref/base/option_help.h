// SPDX-License-Identifier: Apache-2.0
// Options as an aligned table for --help: name, type, default, range, help. Long cells wrap within
// their column.
#pragma once
#include <string>
#include <vector>

#include "libpref/base/options.h"

namespace pref {

/// `columns`: width of the terminal; the help column takes what the others leave, 24 at least.
std::string render_option_help(const std::vector<OptionText>& options, int columns = 100);

}  // namespace pref
