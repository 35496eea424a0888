// SPDX-License-Identifier: Apache-2.0
// Reads metrics.jsonl back, for plots and reports.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pref {

struct RunMetrics {
  struct Line {
    std::string kind;
    double step = 0;
    std::map<std::string, double> values;
    std::string message;  ///< of an event
  };
  std::vector<Line> lines;
  /// (step, value) of `name` in the lines of that kind; empty when it was never logged.
  std::vector<std::pair<double, double>> series(std::string_view kind, std::string_view name) const;
};

/// Throws missing_input or data, with the line.
RunMetrics read_run_metrics(const std::string& path);

}  // namespace pref
