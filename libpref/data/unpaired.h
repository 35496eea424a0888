// SPDX-License-Identifier: Apache-2.0
// Rows for objectives on unpaired feedback (KTO, BCO): one response a row and whether it is
// desirable; and, for KTO's estimate of the divergence, another row's response beside it.
#pragma once
#include <cstdint>
#include <optional>

#include "libpref/data/load_preferences.h"

namespace pref {

/// Pairs and lists become one row a response: the first desirable, the others not, in file order,
/// with the row's weight. Rows that say themselves whether they are desirable stay as they are.
/// Throws ErrorKind::data for a row of one response without a label, naming its place.
PreferenceData unpaired(PreferenceData data);

/// Gives every row of one response a second: that of the nearest row before it (the last row before
/// the first) whose response is another one, cut at the right to max_length tokens with the prompt.
/// Throws ErrorKind::data where all rows have one and the same response.
PreferenceData with_mismatched_responses(PreferenceData data, std::optional<int64_t> max_length);

}  // namespace pref
