// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/run_report.h"

#include <cmath>
#include <cstdio>
#include <optional>
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
      {"Chosen against the reference",
       "log-ratio, nats a token",
       {{"preference/chosen_logratio", ""}}},
      {"Length and reward",
       "correlation of length gap and margin",
       {{"preference/length_reward_correlation", ""}}},
      {"WPO's weight",
       "",
       {{"preference/weight", "mean"}, {"preference/weight_clipped", "share clipped to 1"}}},
      {"Exploration", "nats", {{"preference/exploration", ""}}},
      {"KTO's divergence", "nats", {{"kl", ""}}},
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

// The histogram of WPO's weights in the first and the last line that has one.
std::optional<ReportChart> weight_histogram(const RunMetrics& metrics) {
  constexpr std::string_view kShare = "preference/weight_share/";
  ReportChart chart{.title = "Histogram of WPO's weights",
                    .y_label = "share of pairs",
                    .series = {},
                    .x_label = "weight (bins of 0.1)"};
  for (const auto& line : metrics.lines) {
    ReportSeries series{"update " + figure(line.step), {}};
    for (const auto& [name, value] : line.values)
      if (line.kind == "train" && name.starts_with(kShare))
        series.points.emplace_back(std::stod(name.substr(kShare.size())), value);
    if (series.points.empty()) continue;
    if (chart.series.size() == 2) chart.series.pop_back();
    chart.series.push_back(std::move(series));
  }
  if (chart.series.empty()) return std::nullopt;
  return chart;
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
  if (auto histogram = weight_histogram(metrics)) charts.push_back(std::move(*histogram));
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
  for (const auto& line : metrics.lines)
    if (!line.message.empty())
      report.summary.push_back({"Alert, update " + figure(line.step), line.message});
  return report;
}

}  // namespace pref
