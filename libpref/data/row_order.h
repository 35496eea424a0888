// SPDX-License-Identifier: Apache-2.0
// The order of rows over a run: a function of (seed, epoch, row count) alone, whatever the world
// size or microbatches.
#pragma once
#include <cstdint>
#include <vector>

namespace pref {

/// Row indices of one epoch: 0..n-1, permuted when `shuffle`.
std::vector<int64_t> epoch_order(int64_t num_rows, uint64_t seed, int64_t epoch, bool shuffle);

}  // namespace pref
