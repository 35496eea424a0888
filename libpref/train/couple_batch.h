// SPDX-License-Identifier: Apache-2.0
// What a global batch gives each of its sequences (objectives/coupling.h), from their log-probs under
// policy and reference.
#pragma once
#include <span>
#include <vector>

#include "libpref/data/rows.h"
#include "libpref/objectives/objective.h"
#include "libpref/train/step.h"

namespace pref {

/// Sequence::coupled of the rows `indices`, sequence by sequence. `logps`: theirs under the present
/// policy in that order. `state` takes the batch in.
std::vector<double> couple_batch(const Objective& objective, std::span<const TokenizedRow> rows,
                                 std::span<const int64_t> indices, const ReferenceLogps& reference,
                                 const SequenceLogps& logps, CouplingState& state);

}  // namespace pref
