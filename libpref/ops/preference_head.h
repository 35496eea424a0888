// SPDX-License-Identifier: Apache-2.0
// The language-model head of every objective. The loss of a row depends on that row alone, so the
// head walks groups of
// whole rows within a byte budget for logits:
//   logits -> statistics kernel -> coefficients (the objective) -> d-logits in place -> dH, dW
// with no recomputation and no vocabulary-sized memory beyond the one buffer. A row too large for
// the budget takes the
// recompute form: its logits are computed in chunks, once for the statistics and once more for the
// gradient.
#pragma once
#include <ATen/core/TensorBody.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "libpref/data/packing.h"
#include "libpref/objectives/logistic.h"
#include "libpref/ops/weight.h"

namespace pref {

struct HeadOptions {
  int64_t logits_bytes = 256 << 20;  ///< budget of the logits buffer, bytes
  double logit_scale = 1;
  double logit_soft_cap = 0;  ///< 0 = none
};

/// Which hidden state predicts which token, of which sequence, of which row. Host arrays: [L], [L],
/// [S + 1], [B + 1].
struct Labels {
  std::span<const int64_t> row, token;
  std::span<const int64_t> sequence_first_label;
  std::span<const int64_t> row_first_sequence;
  std::span<const double> mark{};  ///< [L] weights of `marked` and `unlikely`, or empty
  int64_t num_labels() const { return static_cast<int64_t>(row.size()); }
  int64_t num_sequences() const { return static_cast<int64_t>(sequence_first_label.size()) - 1; }
  int64_t num_rows() const { return static_cast<int64_t>(row_first_sequence.size()) - 1; }
  /// Throws ErrorKind::option when the offsets do not tile the labels or a row index is outside [0,
  /// hidden_rows).
  void check(int64_t hidden_rows) const;
};
Labels labels_of(const PackingPlan& plan);

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

/// log(1 - p) of a token and its derivative by log p, -p / (1 - p). 1 - p counts as 1e-6 where it is
/// less, with no slope: f32 log-probs tell no difference there.
ValueSlope<double> log_complement(double logp);

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
  struct TokenBuffers;
  at::Tensor logits_of(const at::Tensor& hidden, const Labels& labels, int64_t first, int64_t end);
  void token_statistics(const at::Tensor& logits, const Labels& labels, int64_t first,
                        TokenBuffers& out);
  void add_gradient(const at::Tensor& logits, const Labels& labels, int64_t first,
                    const TokenBuffers& tokens, std::span<const float> d_logp,
                    const at::Tensor& d_hidden);
  int64_t budget_rows() const;

  Weight lm_head_;
  HeadOptions options_;
  at::Tensor logits_;    // the one vocabulary-sized buffer, grown up to the budget and kept
  at::Tensor gathered_;  // hidden rows of the group
};

}  // namespace pref
