// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/run_report.h"

#include <cmath>
#include <cstdio>
#include <set>

namespace pref {
namespace {

struct Curve {
  const char* title;
  const char* y_label;
  std::vector<std::pair<const char*, const char*>> metrics;  // name as logged, name in the legend
};

const std::vector<Curve>& curves() {
  static const std::vector<Curve> all = {
      {"Loss", "loss (nats)", {{"loss", ""}}},
      {"Pair accuracy", "share of pairs", {{"rewards/accuracies", ""}}},
      {"Reward margin", "chosen - rejected (nats)", {{"rewards/margins", ""}}},
      {"Rewards", "nats", {{"rewards/chosen", "chosen"}, {"rewards/rejected", "rejected"}}},
      {"Log-probs",
       "nats a completion",
       {{"logps/chosen", "chosen"}, {"logps/rejected", "rejected"}}},
      {"Entropy", "nats a token", {{"entropy", ""}}},
      {"Gradient norm", "before clipping", {{"grad_norm", ""}}},
      {"Learning rate", "", {{"learning_rate", ""}}},
      {"Speed", "tokens/s", {{"perf/tokens_per_second", ""}}}};
  return all;
}

// "eval", "eval_other": every eval line has a loss, whose name starts with its set's.
std::set<std::string> evaluation_sets(const RunMetrics& metrics) {
  constexpr std::string_view kLoss = "_loss";
  std::set<std::string> sets;
  for (const auto& line : metrics.lines)
    for (const auto& [name, value] : line.values)
      if (line.kind == "eval" && name.ends_with(kLoss))
        sets.insert(name.substr(0, name.size() - kLoss.size()));
  return sets;
}

std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace

std::vector<ReportChart> run_charts(const RunMetrics& metrics) {
  std::vector<ReportChart> charts;
  const auto sets = evaluation_sets(metrics);
  for (const Curve& curve : curves()) {
    ReportChart chart{.title = curve.title, .y_label = curve.y_label, .series = {}};
    const auto add = [&](const std::string& kind, const std::string& prefix,
                         const std::string& source) {
      for (const auto& [metric, legend] : curve.metrics) {
        auto points = metrics.series(kind, prefix + metric);
        if (points.empty()) continue;
        const std::string name = legend;
        chart.series.push_back({name.empty() ? source : name + ", " + source, std::move(points)});
      }
    };
    add("train", "", "train");
    for (const std::string& set : sets) add("eval", set + "_", set);
    if (!chart.series.empty()) charts.push_back(std::move(chart));
  }
  return charts;
}

ReportData run_report(const std::string& title, const RunMetrics& metrics,
                      std::vector<ReportOptions> options) {
  ReportData report{.title = title, .charts = run_charts(metrics), .options = std::move(options)};
  for (const ReportChart& chart : report.charts)
    for (const ReportSeries& series : chart.series)
      if (const auto& points = series.points; std::isfinite(points.back().second))
        report.summary.push_back({chart.title + ", " + series.name,
                                  points.size() == 1 ? figure(points.back().second)
                                                     : figure(points.front().second) + " -> " +
                                                           figure(points.back().second)});
  return report;
}

}  // namespace pref
