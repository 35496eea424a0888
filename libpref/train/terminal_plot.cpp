// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "libpref/base/error.h"
#include "libpref/train/chart_axes.h"
#include "libpref/train/report.h"

namespace pref {
namespace {

using namespace chart;

// Two by four Braille dots to a character cell; a cell belongs to the series that drew in it last.
class BrailleCanvas {
 public:
  BrailleCanvas(int columns, int rows)
      : columns_(columns),
        bits_(static_cast<size_t>(columns) * static_cast<size_t>(rows)),
        series_(bits_.size(), -1) {}

  // y counts dots from the top.
  void line(int x0, int y0, int x1, int y1, int series) {
    const int steps = std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1});
    for (int k = 0; k <= steps; ++k) {
      const double t = static_cast<double>(k) / steps;
      dot(static_cast<int>(std::lround(x0 + t * (x1 - x0))),
          static_cast<int>(std::lround(y0 + t * (y1 - y0))), series);
    }
  }
  int series_at(int column, int row) const { return series_[cell(column, row)]; }
  std::string text_at(int column, int row) const {
    const unsigned bits = bits_[cell(column, row)];
    if (bits == 0) return " ";
    return {'\xE2', static_cast<char>(0xA0 | bits >> 6),
            static_cast<char>(0x80 | (bits & 0x3F))};  // U+2800 + bits
  }

 private:
  size_t cell(int column, int row) const {
    return static_cast<size_t>(row) * static_cast<size_t>(columns_) + column;
  }
  void dot(int x, int y, int series) {
    constexpr uint8_t kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    bits_[cell(x / 2, y / 4)] |= kBits[y % 4][x % 2];
    series_[cell(x / 2, y / 4)] = series;
  }
  int columns_;
  std::vector<uint8_t> bits_;
  std::vector<int> series_;
};

std::string pad_left(const std::string& text, int width) {
  return std::string(static_cast<size_t>(std::max(0, width - static_cast<int>(text.size()))), ' ') +
         text;
}

}  // namespace

std::string terminal_plot(const std::vector<ReportSeries>& series, int width, int height,
                          bool color) {
  require(width >= 30 && height >= 3, ErrorKind::option, "terminal_plot",
          "a width of at least 30 and a height of at least 3 are required, ", width, " and ",
          height, " came.");
  require(series.size() <= 26, ErrorKind::option, "terminal_plot",
          "at most 26 series are required, ", series.size(), " came. Plot them in several parts.");
  const Bounds bounds = bounds_of(series);
  if (bounds.empty()) return "(no values to plot)\n";
  const auto paint = [&](size_t index, const std::string& text) {
    constexpr std::array<int, 6> kAnsi = {36, 33, 35, 32, 31, 34};
    return color ? "\x1b[" + std::to_string(kAnsi[index % kAnsi.size()]) + "m" + text + "\x1b[0m"
                 : text;
  };
  const auto letter = [&](size_t index) {
    return paint(index, std::string(1, static_cast<char>('a' + index)));
  };
  const auto to_y = [&](double v) {
    return static_cast<int>(
        std::lround((height * 4 - 1) * (1 - fraction(v, bounds.y_low, bounds.y_high))));
  };

  // The range's ends, and its middle where there is room for it.
  auto labels = tick_texts({bounds.y_low, bounds.y_low / 2 + bounds.y_high / 2, bounds.y_high}, 3);
  if (height <= 4) labels[1].clear();
  const int label_width =
      static_cast<int>(std::max({labels[0].size(), labels[1].size(), labels[2].size()}));
  const std::string margin(static_cast<size_t>(label_width) + 1, ' ');

  // The letters behind each row, and the legend.
  std::vector<std::vector<size_t>> ends(static_cast<size_t>(height));
  size_t most_letters = 1;
  std::string legend;
  for (size_t i = 0; i < series.size(); ++i) {
    const auto last = std::find_if(series[i].points.rbegin(), series[i].points.rend(), is_finite);
    legend += margin + letter(i) + " " + series[i].name;
    if (last != series[i].points.rend()) {
      auto& row = ends[static_cast<size_t>(to_y(last->second) / 4)];
      row.push_back(i);
      most_letters = std::max(most_letters, row.size());
      legend += " " + number(last->second);
    }
    legend += '\n';
  }

  // What the labels, " ┤", a space and the letters leave.
  const int columns = std::max(8, width - label_width - static_cast<int>(most_letters) - 3);
  BrailleCanvas canvas(columns, height);
  const auto to_x = [&](double v) {
    return static_cast<int>(
        std::lround((columns * 2 - 1) * fraction(v, bounds.x_low, bounds.x_high)));
  };
  for (size_t i = 0; i < series.size(); ++i) {
    const Point* previous = nullptr;
    for (const Point& p : series[i].points) {
      if (is_finite(p)) {
        const Point& from = previous ? *previous : p;
        canvas.line(to_x(from.first), to_y(from.second), to_x(p.first), to_y(p.second),
                    static_cast<int>(i));
      }
      previous = is_finite(p) ? &p : nullptr;
    }
  }

  std::string out;
  for (int row = 0; row < height; ++row) {
    const std::string label = row == 0            ? labels[2]
                              : row == height - 1 ? labels[0]
                              : row == height / 2 ? labels[1]
                                                  : "";
    out += pad_left(label, label_width) + (label.empty() ? " │" : " ┤");
    for (int column = 0; column < columns;) {  // runs of one colour
      const int owner = canvas.series_at(column, row);
      std::string run;
      while (column < columns && canvas.series_at(column, row) == owner)
        run += canvas.text_at(column++, row);
      out += owner < 0 ? run : paint(static_cast<size_t>(owner), run);
    }
    if (!ends[static_cast<size_t>(row)].empty()) out += ' ';
    for (const size_t index : ends[static_cast<size_t>(row)]) out += letter(index);
    out += '\n';
  }
  out += margin + "└";
  for (int column = 0; column < columns; ++column) out += "─";
  const std::string left = number(bounds.x_low, 6), right = number(bounds.x_high, 6);
  const int gap = std::max(1, columns - static_cast<int>(left.size() + right.size()));
  out += "\n" + margin + " " + left + std::string(static_cast<size_t>(gap), ' ') + right + "\n";
  return out + legend;
}

}  // namespace pref
