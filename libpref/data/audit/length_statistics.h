// SPDX-License-Identifier: Apache-2.0
// Numbers about lengths: summaries, histograms, and how far the length of an answer tells its label.
#pragma once
#include <cstdint>
#include <vector>

namespace pref::audit {

/// Of token counts. A percentile p is the smallest length that at least p % of all do not exceed.
struct LengthSummary {
  int64_t count = 0, total = 0;
  int64_t smallest = 0, p5 = 0, p50 = 0, p95 = 0, p99 = 0, largest = 0;
  double mean() const {
    return count == 0 ? 0 : static_cast<double>(total) / static_cast<double>(count);
  }
  bool operator==(const LengthSummary&) const = default;
};
LengthSummary summarize(std::vector<int64_t> lengths);

/// counts[i]: lengths in [i * width, (i + 1) * width); the last bin also holds all that is longer.
struct Histogram {
  int64_t width = 1;
  std::vector<int64_t> counts;
  bool operator==(const Histogram&) const = default;
};
/// About `bins` bins of a round width that reach `reach`, and one more.
Histogram histogram(const std::vector<int64_t>& lengths, int64_t reach, int64_t bins = 40);

/// How the length of an answer, in tokens, goes with its label.
class LengthBias {
 public:
  /// A chosen and a rejected answer to one prompt.
  void compare(int64_t chosen, int64_t rejected);
  /// An answer labelled on its own. compare() needs no such call.
  void observe(int64_t length, bool good);

  int64_t pairs() const { return pairs_; }
  double mean_gap() const;        ///< chosen - rejected
  double mean_gap_error() const;  ///< its standard error
  int64_t longer_wins() const { return longer_wins_; }
  int64_t unequal() const { return unequal_; }
  double longer_wins_share() const;  ///< of the pairs with unequal lengths
  double longer_wins_error() const;  ///< sqrt(p (1 - p) / n)
  int64_t answers() const { return n_[0] + n_[1]; }
  /// Pearson's correlation of length and label (1 good, 0 bad) over all answers; 0 where one of the
  /// two does not vary.
  double point_biserial() const;
  double point_biserial_error() const;  ///< sqrt((1 - r^2) / (n - 2))

 private:
  int64_t pairs_ = 0, unequal_ = 0, longer_wins_ = 0;
  double gap_ = 0, gap_squares_ = 0;
  int64_t n_[2] = {0, 0};
  double sum_[2] = {0, 0}, squares_ = 0;
};

}  // namespace pref::audit
