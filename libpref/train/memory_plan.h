// SPDX-License-Identifier: Apache-2.0
// What a training run will take in memory, by its parts, from the model's shape and the run's
// budgets alone.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "libpref/data/model_folder/config.h"
#include "libpref/train/trainer_options.h"

namespace pref {

/// Bytes of each part at its peak; fp32 throughout.
struct MemoryPlan {
  int64_t parameters = 0;  ///< elements
  int64_t weights = 0, gradients = 0, moments = 0;
  int64_t activations = 0;  ///< of one microbatch, kept for the backward pass
  int64_t logits = 0;       ///< the head's budget, or less where a microbatch cannot fill it
  int64_t total() const { return weights + gradients + moments + activations + logits; }
  /// Names and bytes, the total last.
  std::vector<std::pair<std::string, int64_t>> parts() const;
  std::string text() const;  ///< a table, one part a line
};

/// Per token and layer the block keeps its input, both norms' outputs, q, k, v before and after
/// rotation, the attention's output, the middle residual, gate and up, and their product.
MemoryPlan plan_memory(const DecoderConfig& config, const TrainerOptions& options);

}  // namespace pref
