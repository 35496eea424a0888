// SPDX-License-Identifier: Apache-2.0
// Forward and backward over a set of rows, split into microbatches of whole rows by a token budget.
// The split changes memory, not the result: every term is divided by the global batch's
// normalizers, known beforehand.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "libpref/data/rows.h"
#include "libpref/nn/network.h"
#include "libpref/objectives/objective.h"
#include "libpref/ops/preference_head.h"
#include "libpref/train/metrics.h"

namespace pref {

/// Log-probs of every branch of every row under the reference policy, nats, summed; for objectives
/// that mark tokens the marked sums beside them.
class ReferenceLogps {
 public:
  ReferenceLogps() = default;
  /// `values` in row order, branch by branch, for rows with these branch counts; `marked` as many,
  /// or none.
  ReferenceLogps(std::span<const TokenizedRow> rows, std::vector<double> values,
                 std::vector<double> marked = {});
  std::span<const double> row(int64_t index) const;
  std::span<const double> marked_row(int64_t index) const;  ///< empty without marks
  const std::vector<double>& values() const { return values_; }
  const std::vector<double>& marked() const { return marked_; }
  bool empty() const { return values_.empty(); }

 private:
  std::vector<double> values_, marked_;
  std::vector<int64_t> first_;
};

struct StepOptions {
  int64_t tokens_per_microbatch = 1024;
  HeadOptions head;
};

class PreferenceStep {
 public:
  /// Both must outlive this.
  PreferenceStep(Network& network, const Objective& objective, StepOptions options);

  struct Result {
    double loss = 0;  ///< sum of the rows' shares; the batch loss once all ranks' are added
    MetricSums metrics;
    double num_tokens = 0;  ///< prompt + completion of every branch, as TRL counts them
  };

  /// Called after each microbatch's forward pass with what it computed; may throw to stop before
  /// any update.
  using Inspect =
      std::function<void(const PackingPlan&, const SequenceStatistics&, const RowLosses&)>;

  /// Adds the rows' gradients to the parameter store. `coupled`: couple_batch() of the global batch
  /// for the sequences of `indices`, where the objective couples. A non-finite loss throws
  /// ErrorKind::non_finite naming the rows.
  Result accumulate(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                    const ReferenceLogps& reference, const Normalizers& normalizers,
                    const Inspect& inspect = {}, std::span<const double> coupled = {});
  /// The same without gradients.
  Result evaluate(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                  const ReferenceLogps& reference, const Normalizers& normalizers,
                  std::span<const double> coupled = {});
  /// Log-probs of all rows under the network as it stands, as a reference for later; `progress` is
  /// told the rows done.
  ReferenceLogps reference(std::span<const TokenizedRow> rows,
                           const std::function<void(int64_t)>& progress = {});
  /// Log-probs of the rows `indices`, sequence by sequence.
  std::vector<double> logps(std::span<const TokenizedRow> rows, std::span<const int64_t> indices);
  /// Statistics of rows, microbatch by microbatch, without gradients.
  void statistics(
      std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
      const std::function<void(const PackingPlan&, const SequenceStatistics&)>& receive);

 private:
  Result run(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
             const ReferenceLogps& reference, const Normalizers& normalizers,
             const Inspect& inspect, std::span<const double> coupled, bool with_gradient);

  Network& network_;
  const Objective& objective_;
  StepOptions options_;
  PreferenceHead head_;
};

/// 0, 1, ..., count - 1.
std::vector<int64_t> all_indices(size_t count);

/// Rows and chosen tokens of a batch: what its terms are divided by.
Normalizers normalizers_of(std::span<const TokenizedRow> rows, std::span<const int64_t> indices);

}  // namespace pref
