// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/chart_axes.h"

#include <algorithm>
#include <cstdio>

namespace pref {
namespace chart {
namespace {

void widen(double& low, double& high) {
  if (low < high) return;
  const double by = low == 0 ? 1 : std::abs(low) * 0.1;
  low -= by;
  high += by;
}

}  // namespace

double error_of(const ReportSeries& series, size_t point) {
  const bool known = point < series.errors.size() && std::isfinite(series.errors[point]);
  return known ? series.errors[point] : 0;
}

Bounds bounds_of(const std::vector<ReportSeries>& series) {
  Bounds b;
  for (const ReportSeries& s : series)
    for (size_t i = 0; i < s.points.size(); ++i) {
      const Point& p = s.points[i];
      if (!is_finite(p)) continue;
      const double error = error_of(s, i);
      b.x_low = std::min(b.x_low, p.first), b.x_high = std::max(b.x_high, p.first);
      b.y_low = std::min(b.y_low, p.second - error);
      b.y_high = std::max(b.y_high, p.second + error);
    }
  if (b.empty()) return b;
  widen(b.x_low, b.x_high);
  widen(b.y_low, b.y_high);
  return b;
}

// Halves, because the difference of two large numbers may overflow.
double fraction(double value, double low, double high) {
  return (value / 2 - low / 2) / (high / 2 - low / 2);
}

std::string number(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", digits, value == 0 ? 0.0 : value);  // no "-0"
  return text;
}

std::vector<std::string> tick_texts(const std::vector<double>& ticks, int fewest_digits) {
  std::vector<std::string> texts;
  for (int digits = fewest_digits; digits <= 17; ++digits) {
    texts.clear();
    for (const double tick : ticks) texts.push_back(number(tick, digits));
    if (std::adjacent_find(texts.begin(), texts.end()) == texts.end()) break;
  }
  return texts;
}

}  // namespace chart

std::vector<double> axis_ticks(double low, double high, int count) {
  if (!std::isfinite(low) || !std::isfinite(high) || !(low < high)) return {low, high};
  const double raw = (high / 2 - low / 2) / std::max(count, 1) * 2;
  int power = static_cast<int>(std::floor(std::log10(raw)));
  // The smallest round step that is no smaller than wanted, then smaller ones until two ticks fit.
  constexpr double kLeads[] = {1, 2, 5};
  int lead = 0;
  while (lead < 3 && kLeads[lead] * std::pow(10, power) < raw * 0.9999) ++lead;
  if (lead == 3) lead = 0, ++power;
  for (int attempt = 0; attempt < 6; ++attempt) {
    const double step = kLeads[lead] * std::pow(10, power);
    const double first = std::ceil(low / step - 1e-9), last = std::floor(high / step + 1e-9);
    std::vector<double> ticks;
    if (std::isfinite(first) && std::isfinite(last) && last - first < 1000)
      for (double k = first; k <= last; ++k) ticks.push_back(k * step);
    if (ticks.size() >= 2 && ticks.front() < ticks.back()) return ticks;
    if (--lead < 0) lead = 2, --power;
  }
  return {low, high};
}

}  // namespace pref
