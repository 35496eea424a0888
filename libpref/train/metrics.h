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

  /// What a log line shows: every mean, and what is no mean but follows from several:
  /// preference/length_reward_correlation (Pearson's, of n_w - n_l and the reward margin) and, for
  /// unpaired feedback, rewards/margins. Entries whose name begins with "_" are parts of these.
  std::vector<std::pair<std::string, double>> reported() const;

 private:
  std::vector<Entry> entries_;  // in order of first mention
};

/// Adds the metrics of one microbatch:
///   rewards/{chosen,rejected} mean over pairs, rewards/accuracies (share with chosen > rejected),
///     rewards/margins;
///   logps/{chosen,rejected} sums in nats, mean over pairs; logits/{chosen,rejected} vocabulary
///     mean, mean over tokens;
///   entropy (nats) mean over all completion tokens; mean_token_accuracy mean over chosen tokens;
///   preference/{wins,ties,losses} shares of pairs by their rewards;
///   preference/length_gap n_w - n_l, tokens, mean over pairs;
///   with a reference: preference/chosen_logratio h_w / n_w, nats a token, mean over pairs;
///     preference/displaced share of pairs whose chosen response became less likely, h_w < 0;
///   with WPO's weight: preference/weight mean, preference/weight_clipped share at the clamp,
///     preference/weight_share/<b> share of pairs in [b, b + 0.1), from 1 on in 1.0;
///   preference/exploration where the objective explores; kl, nats, KTO's z0.
/// Unpaired feedback gives rewards/* and logps/* as means over desirable (chosen) and undesirable
/// (rejected) responses. Rows with one response and no label give entropy and mean_token_accuracy
/// alone.
void add_batch_metrics(const Labels& labels, const SequenceStatistics& statistics,
                       const RowLosses& losses, MetricSums& out);

}  // namespace pref
