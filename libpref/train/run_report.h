// SPDX-License-Identifier: Apache-2.0
// The curves of a run directory, as report.html shows them.
#pragma once
#include <string>
#include <vector>

#include "libpref/train/report.h"
#include "libpref/train/run_metrics.h"

namespace pref {

/// Loss, pair accuracy, margin, rewards, log-probs, gradient norm, learning rate and speed, each
/// with the evaluation sets beside the training rows; what was never logged is left out.
std::vector<ReportChart> run_charts(const RunMetrics& metrics);

/// The page of a run: first and last values, charts, options.
ReportData run_report(const std::string& title, const RunMetrics& metrics,
                      std::vector<ReportOptions> options);

}  // namespace pref
