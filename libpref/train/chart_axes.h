// SPDX-License-Identifier: Apache-2.0
// What a chart in SVG and one in the terminal share: ranges, positions, the texts of ticks.
#pragma once
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "libpref/train/report.h"

namespace pref::chart {

using Point = std::pair<double, double>;

inline bool is_finite(const Point& p) { return std::isfinite(p.first) && std::isfinite(p.second); }

/// The finite range of all series; a flat one gets an extent, so that a line has a place.
struct Bounds {
  double x_low = std::numeric_limits<double>::infinity(), x_high = -x_low;
  double y_low = x_low, y_high = x_high;
  bool empty() const { return x_low > x_high; }
};
/// Of a point, 0 where none is given.
double error_of(const ReportSeries& series, size_t point);

Bounds bounds_of(const std::vector<ReportSeries>& series);

/// Where `value` lies between low (0) and high (1).
double fraction(double value, double low, double high);

std::string number(double value, int digits = 4);

/// As many digits as tell neighbouring ticks apart.
std::vector<std::string> tick_texts(const std::vector<double>& ticks, int fewest_digits);

}  // namespace pref::chart
