// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/metrics.h"

#include <array>
#include <limits>
#include <numeric>

namespace pref {

void MetricSums::add(std::string_view name, double sum, double count) {
  for (Entry& entry : entries_) {
    if (entry.name != name) continue;
    entry.sum += sum;
    entry.count += count;
    return;
  }
  entries_.push_back({std::string(name), sum, count});
}

void MetricSums::merge(const MetricSums& other) {
  for (const Entry& entry : other.entries_) add(entry.name, entry.sum, entry.count);
}

double MetricSums::mean(std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.name == name && entry.count > 0) return entry.sum / entry.count;
  return std::numeric_limits<double>::quiet_NaN();
}

void add_batch_metrics(const Labels& labels, const SequenceStatistics& statistics,
                       const RowLosses& losses, MetricSums& out) {
  static constexpr std::array<std::string_view, 2> kSide = {"chosen", "rejected"};
  std::array<double, 2> reward{}, logp{}, logit{}, tokens{};
  double pairs = 0, wins = 0, ties = 0, entropy = 0, entropy_tokens = 0, hits = 0, first_tokens = 0;
  for (int64_t r = 0; r < labels.num_rows(); ++r) {
    const int64_t first = labels.row_first_sequence[r],
                  branches = labels.row_first_sequence[r + 1] - first;
    hits += statistics.hits[first];
    first_tokens += statistics.num_tokens[first];
    for (int64_t k = 0; k < branches; ++k) {
      entropy += statistics.entropy[first + k];
      entropy_tokens += statistics.num_tokens[first + k];
    }
    if (branches < 2) continue;
    pairs += 1;
    for (int side = 0; side < 2; ++side) {
      reward[side] += losses.rewards()[first + side];
      logp[side] += statistics.logp[first + side];
      logit[side] += statistics.mean_logit[first + side];
      tokens[side] += statistics.num_tokens[first + side];
    }
    const double margin = losses.rewards()[first] - losses.rewards()[first + 1];
    wins += margin > 0;
    ties += margin == 0;
  }
  const auto name = [](std::string_view group, int side) {
    return std::string(group).append(kSide[side]);
  };
  if (pairs > 0) {
    for (int side = 0; side < 2; ++side) out.add(name("rewards/", side), reward[side], pairs);
    out.add("rewards/accuracies", wins, pairs);
    out.add("rewards/margins", reward[0] - reward[1], pairs);
    for (int side = 0; side < 2; ++side) out.add(name("logps/", side), logp[side], pairs);
    for (int side = 0; side < 2; ++side) out.add(name("logits/", side), logit[side], tokens[side]);
    out.add("preference/ties", ties, pairs);
    const auto mean_of = [&](std::string_view name, const std::vector<double>& values) {
      if (!values.empty()) out.add(name, std::accumulate(values.begin(), values.end(), 0.0), pairs);
    };
    mean_of("preference/exploration", losses.exploration());
    mean_of("preference/weight", losses.pair_weight());
  }
  out.add("entropy", entropy, entropy_tokens);
  out.add("mean_token_accuracy", hits, first_tokens);
}

}  // namespace pref
