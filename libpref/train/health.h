// SPDX-License-Identifier: Apache-2.0
// Alerts of a run in plain words, from the metrics of a logging interval: what goes wrong in
// preference optimization while the loss looks well.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "libpref/train/metrics.h"

namespace pref {

class Health {
 public:
  /// The alerts that hold now and have not been given before. An interval of fewer than kMinPairs
  /// pairs says nothing of pairs.
  std::vector<std::string> alerts(const MetricSums& interval);

  /// Keys of the alerts given so far, for checkpoints.
  std::set<std::string>& given() { return given_; }

  static constexpr double kMinPairs = 64;
  static constexpr double kDisplaced = -0.1;    ///< nats a token of the chosen response
  static constexpr double kCorrelation = 0.5;   ///< of length gap and reward margin
  static constexpr double kFaintWeight = 1e-3;  ///< WPO's mean weight
  static constexpr double kClipped = 0.95;      ///< share of WPO's weights at the clamp
  static constexpr double kTies = 0.5;          ///< share of pairs
  static constexpr double kSaturated = 0.999;   ///< share of pairs won
  static constexpr double kLowEntropy = 0.02;   ///< nats a token

 private:
  std::set<std::string> given_;
};

}  // namespace pref
