// SPDX-License-Identifier: Apache-2.0
// A run as one HTML page and as a plot in the terminal. The page is self-contained: no scripts, no
// external resources, light and dark by the reader's setting, charts as inline SVG with their
// figures also in tables.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libpref/base/options.h"

namespace pref {

/// Points (step, value) in the order of the line. Points that are not finite are left out and break
/// the line.
struct ReportSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;
  std::vector<double>
      errors{};         ///< one a point, drawn as a bar from value - error to value + error
  bool dashed = false;  ///< e.g. a line known in closed form
};

struct ReportChart {
  std::string title;
  std::string y_label;  ///< with its unit, e.g. "loss (nats)"
  std::vector<ReportSeries> series;
  std::string x_label = "step";
};

/// One prompt with the replies of the model before and after training; notes stand beside them,
/// e.g. "reward 1.2".
struct ReportSample {
  std::string prompt, before, after;
  std::string before_note, after_note;
};

struct ReportOptions {
  std::string title;  ///< e.g. "DPO"
  std::vector<OptionText> options;
};

/// A table below the summary. Cells are plain text.
struct ReportTable {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

struct ReportData {
  std::string title;
  std::string subtitle;                                      ///< one line, may be empty
  std::vector<std::pair<std::string, std::string>> summary;  ///< name, value
  std::vector<ReportTable> tables;
  std::string charts_title = "Curves";
  std::vector<ReportChart> charts;
  std::vector<ReportSample> samples;
  std::vector<ReportOptions> options;
};

/// The page. All text is escaped; bytes that are not UTF-8 and control characters become U+FFFD.
/// Parts that are empty are left out. A line of more than 1,000 points is drawn by the smallest and
/// the largest value of each of 500 stretches.
std::string report_html(const ReportData& data);
/// Writes the page. An earlier file at `path` is replaced in one step, so a reader never sees half
/// a page. Throws cannot_create or io.
void write_report_html(const std::string& path, const ReportData& data);

/// The chart alone, with title and legend, as an SVG file in light colours that needs nothing else.
std::string report_svg(const ReportChart& chart);

/// A plot in Braille dots, at most `width` columns wide (names in the legend may be wider),
/// `height` lines high without
/// axis and legend; every line ends in a newline. A series is drawn by straight lines between its
/// points, with its letter
/// behind its last value. With `color`, ANSI colours tell the series apart. "(no values to plot)"
/// when there are none.
/// Throws ErrorKind::option unless width >= 30, height >= 3 and there are at most 26 series.
///     0.69 ┤⠣⡀
///          │ ⠑⢄⡀
///     0.01 ┤   ⠈⠉⠒⠤⠤⠤⠤⠤⠤ a
///          └────────────
///           0        400
///          a loss 0.0123
std::string terminal_plot(const std::vector<ReportSeries>& series, int width, int height,
                          bool color = false);

/// Round positions (multiples of 1, 2 or 5 times a power of ten) within [low, high], about `count`
/// of them and at least two. Where that cannot be, as when low < high does not hold, the ends
/// themselves.
std::vector<double> axis_ticks(double low, double high, int count);

}  // namespace pref
