// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
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

namespace {

constexpr std::array<std::string_view, 5> kMoments = {"x", "y", "xx", "yy", "xy"};

std::string moment_name(std::string_view moment) { return "_length_reward/" + std::string(moment); }

// Sums over the pairs or responses of a microbatch.
struct Side {
  double reward = 0, logp = 0, logit = 0, tokens = 0, count = 0;
};

struct PairSums {
  double pairs = 0, wins = 0, ties = 0, gap = 0, chosen_ratio = 0, displaced = 0;
  std::array<double, kMoments.size()> moments{};

  void add(double margin, double length_gap) {
    pairs += 1;
    wins += margin > 0;
    ties += margin == 0;
    gap += length_gap;
    const std::array<double, kMoments.size()> values = {length_gap, margin, length_gap * length_gap,
                                                        margin * margin, length_gap * margin};
    for (size_t i = 0; i < values.size(); ++i) moments[i] += values[i];
  }
};

// Mean, clipped share and histogram of WPO's weights.
void add_weights(const std::vector<double>& weights, const Weighting& weighting, MetricSums& out) {
  constexpr int kBins = 10;
  std::array<double, kBins + 1> bins{};
  double sum = 0, clipped = 0;
  for (const double weight : weights) {
    sum += weight;
    clipped += weighting.clamp == WeightClamp::product && weight >= 1;
    bins[static_cast<size_t>(std::clamp(weight * kBins, 0.0, double{kBins}))] += 1;
  }
  const double count = static_cast<double>(weights.size());
  out.add("preference/weight", sum, count);
  out.add("preference/weight_clipped", clipped, count);
  for (int bin = 0; bin <= kBins; ++bin) {
    const std::string edge = std::to_string(bin / kBins) + "." + std::to_string(bin % kBins);
    out.add("preference/weight_share/" + edge, bins[static_cast<size_t>(bin)], count);
  }
}

}  // namespace

std::vector<std::pair<std::string, double>> MetricSums::reported() const {
  std::vector<std::pair<std::string, double>> out;
  for (const Entry& entry : entries_)
    if (!entry.name.starts_with('_')) out.emplace_back(entry.name, mean(entry.name));
  std::array<double, kMoments.size()> m{};
  for (size_t i = 0; i < kMoments.size(); ++i) m[i] = mean(moment_name(kMoments[i]));
  const auto [x, y, xx, yy, xy] = m;
  const double spread = (xx - x * x) * (yy - y * y);
  if (!std::isnan(x))  // null in metrics.jsonl where lengths or margins are all alike
    out.emplace_back("preference/length_reward_correlation",
                     spread > 0 ? (xy - x * y) / std::sqrt(spread) : std::nan(""));
  if (const double margin = mean("rewards/chosen") - mean("rewards/rejected");
      std::isnan(mean("rewards/margins")) && std::isfinite(margin))
    out.emplace_back("rewards/margins", margin);
  return out;
}

void add_batch_metrics(const Labels& labels, const SequenceStatistics& statistics,
                       const RowLosses& losses, MetricSums& out) {
  static constexpr std::array<std::string_view, 2> kSide = {"chosen", "rejected"};
  const RowInputs& inputs = losses.inputs();
  std::array<Side, 2> side;
  PairSums pair;
  double entropy = 0, entropy_tokens = 0, hits = 0, first_tokens = 0;
  const auto add_to = [&](Side& to, int64_t s) {
    to.reward += losses.rewards()[s];
    to.logp += statistics.logp[s];
    to.logit += statistics.mean_logit[s];
    to.tokens += statistics.num_tokens[s];
    to.count += 1;
  };
  for (int64_t r = 0; r < labels.num_rows(); ++r) {
    const int64_t first = labels.row_first_sequence[r],
                  branches = labels.row_first_sequence[r + 1] - first;
    hits += statistics.hits[first];
    first_tokens += statistics.num_tokens[first];
    for (int64_t k = 0; k < branches; ++k) {
      entropy += statistics.entropy[first + k];
      entropy_tokens += statistics.num_tokens[first + k];
    }
    const int label = inputs.label.empty() ? 0 : inputs.label[static_cast<size_t>(r)];
    if (label != 0) {
      add_to(side[label > 0 ? 0 : 1], first);
    } else if (branches > 1) {
      add_to(side[0], first);
      add_to(side[1], first + 1);
      pair.add(losses.rewards()[first] - losses.rewards()[first + 1],
               statistics.num_tokens[first] - statistics.num_tokens[first + 1]);
      if (inputs.ref_logp.empty()) continue;
      const double ratio = statistics.logp[first] - inputs.ref_logp[static_cast<size_t>(first)];
      pair.chosen_ratio += ratio / statistics.num_tokens[first];
      pair.displaced += ratio < 0;
    }
  }
  const auto each_side = [&](std::string_view group, const auto& sum, const auto& count) {
    for (size_t k = 0; k < 2; ++k)
      if (side[k].count > 0)
        out.add(std::string(group).append(kSide[k]), sum(side[k]), count(side[k]));
  };
  const auto by_count = [](const Side& s) { return s.count; };
  each_side(
      "rewards/", [](const Side& s) { return s.reward; }, by_count);
  if (pair.pairs > 0) {
    out.add("rewards/accuracies", pair.wins, pair.pairs);
    out.add("rewards/margins", side[0].reward - side[1].reward, pair.pairs);
  }
  each_side(
      "logps/", [](const Side& s) { return s.logp; }, by_count);
  each_side(
      "logits/", [](const Side& s) { return s.logit; }, [](const Side& s) { return s.tokens; });
  if (pair.pairs > 0) {
    out.add("preference/wins", pair.wins, pair.pairs);
    out.add("preference/ties", pair.ties, pair.pairs);
    out.add("preference/losses", pair.pairs - pair.wins - pair.ties, pair.pairs);
    out.add("preference/length_gap", pair.gap, pair.pairs);
    for (size_t i = 0; i < kMoments.size(); ++i)
      out.add(moment_name(kMoments[i]), pair.moments[i], pair.pairs);
    if (!inputs.ref_logp.empty()) {
      out.add("preference/chosen_logratio", pair.chosen_ratio, pair.pairs);
      out.add("preference/displaced", pair.displaced, pair.pairs);
    }
    if (const auto& values = losses.exploration(); !values.empty())
      out.add("preference/exploration", std::accumulate(values.begin(), values.end(), 0.0),
              pair.pairs);
    if (!losses.pair_weight().empty())
      add_weights(losses.pair_weight(), *losses.objective().modifiers().weighting, out);
  }
  if (has(losses.objective().needs(), Needs::mismatched))
    for (int64_t r = 0; r < labels.num_rows(); ++r)
      out.add("kl", inputs.coupled[static_cast<size_t>(labels.row_first_sequence[r])], 1);
  out.add("entropy", entropy, entropy_tokens);
  out.add("mean_token_accuracy", hits, first_tokens);
}

}  // namespace pref
