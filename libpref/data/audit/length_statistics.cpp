// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/audit/length_statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pref::audit {

LengthSummary summarize(std::vector<int64_t> lengths) {
  LengthSummary out;
  if (lengths.empty()) return out;
  std::sort(lengths.begin(), lengths.end());
  const auto percentile = [&](size_t p) { return lengths[(lengths.size() * p + 99) / 100 - 1]; };
  out.count = static_cast<int64_t>(lengths.size());
  out.total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  out.smallest = lengths.front();
  out.p5 = percentile(5);
  out.p50 = percentile(50);
  out.p95 = percentile(95);
  out.p99 = percentile(99);
  out.largest = lengths.back();
  return out;
}

Histogram histogram(const std::vector<int64_t>& lengths, int64_t reach, int64_t bins) {
  Histogram out;
  for (int64_t power = 1;; power *= 10) {
    const int64_t least = (reach + bins) / bins;  // width * bins exceeds reach
    for (const int64_t digit : {1, 2, 5})
      if (digit * power >= least) {
        out.width = digit * power;
        out.counts.assign(static_cast<size_t>(reach / out.width + 2), 0);
        const auto last = static_cast<int64_t>(out.counts.size()) - 1;
        for (const int64_t length : lengths)
          ++out.counts[static_cast<size_t>(std::min(length / out.width, last))];
        return out;
      }
  }
}

void LengthBias::compare(int64_t chosen, int64_t rejected) {
  const auto gap = static_cast<double>(chosen - rejected);
  ++pairs_;
  gap_ += gap;
  gap_squares_ += gap * gap;
  unequal_ += chosen != rejected;
  longer_wins_ += chosen > rejected;
  observe(chosen, true);
  observe(rejected, false);
}

void LengthBias::observe(int64_t length, bool good) {
  const auto x = static_cast<double>(length);
  ++n_[good];
  sum_[good] += x;
  squares_ += x * x;
}

double LengthBias::mean_gap() const { return pairs_ == 0 ? 0 : gap_ / static_cast<double>(pairs_); }

double LengthBias::mean_gap_error() const {
  if (pairs_ < 2) return 0;
  const auto n = static_cast<double>(pairs_);
  return std::sqrt(std::max(0.0, gap_squares_ - gap_ * gap_ / n) / (n - 1) / n);
}

double LengthBias::longer_wins_share() const {
  return unequal_ == 0 ? 0.5 : static_cast<double>(longer_wins_) / static_cast<double>(unequal_);
}

double LengthBias::longer_wins_error() const {
  if (unequal_ == 0) return 0;
  const double p = longer_wins_share();
  return std::sqrt(p * (1 - p) / static_cast<double>(unequal_));
}

double LengthBias::point_biserial() const {
  const auto bad = static_cast<double>(n_[0]), good = static_cast<double>(n_[1]);
  if (bad == 0 || good == 0) return 0;
  const double n = bad + good, sum = sum_[0] + sum_[1];
  const double spread = squares_ / n - sum / n * (sum / n);
  if (spread <= 0) return 0;
  return (sum_[1] / good - sum_[0] / bad) * std::sqrt(good * bad) / n / std::sqrt(spread);
}

double LengthBias::point_biserial_error() const {
  const int64_t n = answers();
  if (n < 3) return 0;
  const double r = point_biserial();
  return std::sqrt(std::max(0.0, 1 - r * r) / static_cast<double>(n - 2));
}

}  // namespace pref::audit
