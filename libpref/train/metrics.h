// SPDX-License-Identifier: Apache-2.0
// Metrics as sums and counts, so that means over microbatches, ranks and logging intervals are
// exact. Names and meanings are TRL's; a name of ours stands in its own namespace. Where TRL
// averages over padding, these average over scored tokens, for there is no padding here.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "libpref/ops/row_losses.h"

namespace pref {

class MetricSums {
 public:
  struct Entry {
    std::string name;
    double sum = 0, count = 0;
  };
  void add(std::string_view name, double sum, double count);
  void merge(const MetricSums& other);
  /// sum / count of `name`, NaN when it is absent or its count is 0.
  double mean(std::string_view name) const;
  const std::vector<Entry>& entries() const { return entries_; }
  std::vector<Entry>& entries() { return entries_; }

 private:
  std::vector<Entry> entries_;  // in order of first mention
};

/// Adds the metrics of one microbatch:
///   rewards/{chosen,rejected} mean over pairs, rewards/accuracies (share with chosen > rejected),
///     rewards/margins;
///   logps/{chosen,rejected} sums in nats, mean over pairs; logits/{chosen,rejected} vocabulary
///     mean, mean over tokens;
///   entropy (nats) mean over all completion tokens; mean_token_accuracy mean over chosen tokens;
///   preference/ties share of pairs with equal rewards.
/// Rows with one branch give entropy and mean_token_accuracy alone.
void add_batch_metrics(const Labels& labels, const SequenceStatistics& statistics,
                       const RowLosses& losses, MetricSums& out);

}  // namespace pref
