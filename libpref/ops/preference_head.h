// SPDX-License-Identifier: Apache-2.0
// The language-model head of every objective, on the CPU. The loss of a row depends on that row
// alone, so the head walks groups of whole rows (head_walk.h):
//   logits -> statistics kernel -> coefficients (the objective) -> d-logits in place -> dH, dW
// with no vocabulary-sized memory beyond the one buffer. device_head.h does the same on a device.
#pragma once
#include <ATen/core/TensorBody.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "libpref/ops/head_walk.h"
#include "libpref/ops/weight.h"

namespace pref {

struct HeadOptions {
  int64_t logits_bytes = 256 << 20;  ///< budget of the logits buffer, bytes
  double logit_scale = 1;
  double logit_soft_cap = 0;  ///< 0 = none
};

/// Sums over each sequence's labels, accumulated in double in label order; nats. [S] each. `marked`
/// is the sum of mark_t log p(y_t), `unlikely` that of mark_t log(1 - p(y_t)); both 0 without marks.
struct SequenceStatistics {
  std::vector<double> logp, collision, entropy, max_logp, hits, mean_logit, num_tokens;
  std::vector<double> marked, unlikely;
};

/// d loss by three of these sums, [S] each.
struct SequenceSlopes {
  std::span<double> logp, marked, unlikely;
};

class PreferenceHead {
 public:
  /// lm_head.value [V, D] f32.
  PreferenceHead(Weight lm_head, HeadOptions options);

  /// Statistics alone: hidden [T, D] f32. No gradient. Throws ErrorKind::option as Labels::check
  /// and for another shape or type of hidden, ErrorKind::data for a token outside [0, V).
  SequenceStatistics statistics(const at::Tensor& hidden, const Labels& labels);

  /// Writes the slopes of the sequences of rows [first_row, end_row); `statistics` holds them. Called
  /// once per group.
  using Coefficients = std::function<void(const SequenceStatistics& statistics, int64_t first_row,
                                          int64_t end_row, const SequenceSlopes& slopes)>;

  /// Statistics and gradient. Adds dL/dhidden to d_hidden [T, D] and dL/dlm_head to
  /// lm_head.gradient; either is left out where undefined. Throws as statistics(), before anything
  /// is computed, and as Coefficients does; the gradients are then partial.
  SequenceStatistics backward(const at::Tensor& hidden, const Labels& labels,
                              const Coefficients& coefficients, const at::Tensor& d_hidden);

  const Weight& weight() const { return lm_head_; }

 private:
  struct Steps;
  int64_t budget_rows() const;

  Weight lm_head_;
  HeadOptions options_;
  at::Tensor logits_;    // the one vocabulary-sized buffer, grown up to the budget and kept
  at::Tensor gathered_;  // hidden rows of the group
};

}  // namespace pref
