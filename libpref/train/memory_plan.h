// SPDX-License-Identifier: Apache-2.0
// What a training run will take in memory, by its parts, from the model's shape and the run's
// budgets alone; and whether a device has that much.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "libpref/data/model_folder/config.h"
#include "libpref/train/trainer_options.h"

namespace pref {

/// Bytes of each part at its peak.
struct MemoryPlan {
  int64_t parameters = 0;  ///< elements
  int64_t weights = 0, remainders = 0, gradients = 0, moments = 0;
  int64_t activations = 0;  ///< of one microbatch, kept for the backward pass
  int64_t workspace = 0;    ///< of the layer that is being computed
  int64_t logits = 0;       ///< the head's budget, or less where a microbatch cannot fill it
  int64_t reference = 0;    ///< weights of another reference model, before its log-probs are cached
  int64_t total() const {
    return weights + remainders + gradients + moments + activations + workspace + logits +
           reference;
  }
  /// Names and bytes, the total last; parts of 0 bytes are left out.
  std::vector<std::pair<std::string, int64_t>> parts() const;
  std::string text() const;  ///< a table, one part a line
};

/// Per token and layer are kept: the layer's input, q, k, v (twice where heads are normalised), the
/// attention's output, the middle residual, gate and up; with gradient_checkpointing the input
/// alone. All parameters are trained. `other_reference`: ref_model_name_or_path is given.
MemoryPlan plan_memory(const DecoderConfig& config, const TrainerOptions& options,
                       const Placement& placement = {}, bool other_reference = false);

/// Throws ErrorKind::option where the plan needs more than `available` bytes: the plan, and which
/// options would make it fit.
void require_fits(const MemoryPlan& plan, int64_t available, const DecoderConfig& config,
                  const TrainerOptions& options, const Placement& placement,
                  bool other_reference = false);

}  // namespace pref
