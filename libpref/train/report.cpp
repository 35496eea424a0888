// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/report.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/base/utf8.h"
#include "libpref/train/chart_axes.h"

namespace pref {
namespace {

using namespace chart;

std::string escape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    const char c = text[i];
    const bool control = static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t';
    if (length == 0 || control || c == 127)
      out += "\uFFFD";
    else if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += text.substr(i, length);
    i += std::max<size_t>(length, 1);
  }
  return out;
}

// Colours after Okabe and Ito, made for any colour vision; lines that repeat one are dashed.
constexpr size_t kColors = 7;
constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;--box:#f6f8fa;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b8548c;--c4:#8a6d00;--c5:#5b4fcf;--c6:#1b1f24}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--soft:#9da7b1;--line:#30363d;--box:#161b22;
--c0:#56b4e9;--c1:#ff8c42;--c2:#2ecc9b;--c3:#e39bc4;--c4:#f0e442;--c5:#a99bff;--c6:#e6edf3}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:76rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{margin:0;font-size:1.7rem}h2{margin:2.2rem 0 .8rem;font-size:1.25rem}h3{margin:0 0 .4rem;font-size:1rem}
p.sub{margin:.2rem 0 0;color:var(--soft)}
table{border-collapse:collapse;font-size:.9rem}
th,td{padding:.3rem .8rem .3rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600}td.n{font-variant-numeric:tabular-nums;white-space:pre-line}
.wide{overflow-x:auto}
.grid{display:grid;gap:1.2rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));align-items:start}
figure,.sample{margin:0;padding:.9rem 1rem;border:1px solid var(--line);border-radius:.5rem;background:var(--box)}
figure svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font-size:12px}svg .axis{stroke:var(--soft)}svg .rule{stroke:var(--line)}
svg .curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg .hit{fill:transparent;stroke:none}svg .hit:hover{fill:currentColor;fill-opacity:.8}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.4rem 0 0;padding:0;list-style:none;font-size:.85rem}
.legend svg{display:inline-block;width:26px;height:10px;vertical-align:middle;margin-right:.3rem}
details{margin-top:.5rem;font-size:.85rem}summary{cursor:pointer;color:var(--soft)}
.sample+.sample{margin-top:1rem}.sample .grid{grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr))}
pre{margin:.2rem 0 0;white-space:pre-wrap;overflow-wrap:anywhere;
font:.9rem/1.45 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.tag{color:var(--soft);font-size:.8rem}.sample .prompt{margin-bottom:.7rem}
)";

// The light half of the above, for files of one chart.
constexpr const char* kFileColors[kColors] = {"#0072b2", "#d55e00", "#009e73", "#b8548c",
                                              "#8a6d00", "#5b4fcf", "#1b1f24"};
constexpr std::string_view kFileStyle =
    "text{fill:#57606a;font:12px sans-serif}.axis{stroke:#57606a}.rule{stroke:#d0d7de}"
    ".curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}";

std::string color_of(size_t series) { return "var(--c" + std::to_string(series % kColors) + ")"; }

std::string stroke(size_t series, bool dashed) {
  constexpr std::string_view kDashes[] = {"", "7 4", "2 4", "9 4 2 4"};
  std::string out = "stroke:" + color_of(series);
  const std::string_view dash = dashed ? "5 4" : kDashes[series / kColors % 4];
  if (!dash.empty()) out.append(";stroke-dasharray:").append(dash);
  return out;
}

std::vector<Point> thin(const std::vector<Point>& points) {
  constexpr size_t kMost = 1000, kStretches = 500;
  if (points.size() <= kMost) return points;
  std::vector<Point> out;
  for (size_t k = 0; k < kStretches; ++k) {
    const size_t begin = points.size() * k / kStretches, end = points.size() * (k + 1) / kStretches;
    size_t low = end, high = end;
    bool gap = false;
    for (size_t i = begin; i < end; ++i) {
      if (!is_finite(points[i])) {
        gap = true;
        continue;
      }
      if (low == end || points[i].second < points[low].second) low = i;
      if (high == end || points[i].second > points[high].second) high = i;
    }
    if (low != end) {
      out.push_back(points[std::min(low, high)]);
      if (low != high) out.push_back(points[std::max(low, high)]);
    }
    if (gap) out.emplace_back(points[begin].first, std::numeric_limits<double>::infinity());
  }
  return out;
}

class ChartWriter {
 public:
  ChartWriter(const ReportChart& chart, size_t id)
      : chart_(chart), id_("chart" + std::to_string(id)), bounds_(bounds_of(chart.series)) {}

  // Title, drawing and legend in one SVG element, without places to point at.
  std::string write_file() {
    alone_ = true;
    // Three names a line below the drawing.
    const size_t lines = (chart_.series.size() + 2) / 3;
    out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 -28 640 " +
           std::to_string(330 + 18 * lines) + "\" role=\"img\">\n<title>" + escape(chart_.title) +
           "</title>\n<style>" + std::string(kFileStyle) +
           "</style>\n<rect y=\"-28\" width=\"640\" height=\"100%\" fill=\"#fff\"/>\n";
    text("start", "4", "-14", chart_.title);
    if (bounds_.empty()) return out_ + "</svg>\n";
    drawing();
    for (size_t i = 0; i < chart_.series.size(); ++i) {
      const double left = 20 + 206 * static_cast<double>(i % 3),
                   middle = 306 + 18 * static_cast<double>(i / 3);
      out_ += "<path class=\"curve\" style=\"" + stroke_of(i) + "\" d=\"M" + pixels(left) + " " +
              pixels(middle) + "h24\"/>\n";
      text("start", pixels(left + 30), pixels(middle), chart_.series[i].name);
    }
    out_ += "</svg>\n";
    // Not every reader of SVG files knows custom properties.
    for (size_t i = 0; i < kColors; ++i) {
      const std::string from = color_of(i);
      for (size_t at = out_.find(from); at != std::string::npos; at = out_.find(from, at))
        out_.replace(at, from.size(), kFileColors[i]);
    }
    return out_;
  }

  std::string write() {
    out_ = "<figure>\n<h3 id=\"" + id_ + "\">" + escape(chart_.title) + "</h3>\n";
    if (bounds_.empty()) return out_ + "<p class=\"sub\">no values</p>\n</figure>\n";
    out_ += "<svg viewBox=\"0 0 640 300\" role=\"img\" aria-labelledby=\"" + id_ +
            "\" aria-describedby=\"" + id_ + "f\">\n";
    drawing();
    out_ += "</svg>\n";
    legend();
    figures();
    return out_ + "</figure>\n";
  }

 private:
  static constexpr double kLeft = 64, kRight = 628, kTop = 26, kBottom = 252;

  void drawing() {
    // A little air above and below the lines.
    const double air = (bounds_.y_high / 2 - bounds_.y_low / 2) * 0.08;
    if (std::isfinite(bounds_.y_high + air) && std::isfinite(bounds_.y_low - air))
      bounds_.y_low -= air, bounds_.y_high += air;
    axes();
    for (size_t i = 0; i < chart_.series.size(); ++i) curve(i);
  }
  std::string stroke_of(size_t series) const {
    return stroke(series, chart_.series[series].dashed);
  }

  static std::string pixels(double at) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", at);
    return text;
  }
  std::string x(double value) const {
    return pixels(kLeft + (kRight - kLeft) * fraction(value, bounds_.x_low, bounds_.x_high));
  }
  std::string y(double value) const {
    return pixels(kBottom - (kBottom - kTop) * fraction(value, bounds_.y_low, bounds_.y_high));
  }
  void line(const char* style, const std::string& x1, const std::string& y1, const std::string& x2,
            const std::string& y2) {
    out_ += std::string("<line class=\"") + style + "\" x1=\"" + x1 + "\" y1=\"" + y1 + "\" x2=\"" +
            x2 + "\" y2=\"" + y2 + "\"/>\n";
  }
  void text(const char* anchor, const std::string& at_x, const std::string& at_y,
            const std::string& words) {
    out_ += std::string("<text text-anchor=\"") + anchor + "\" x=\"" + at_x + "\" y=\"" + at_y +
            "\" dy=\"4\">" + escape(words) + "</text>\n";
  }

  void axes() {
    const auto y_ticks = axis_ticks(bounds_.y_low, bounds_.y_high, 5);
    const auto y_texts = tick_texts(y_ticks, 6);
    for (size_t i = 0; i < y_ticks.size(); ++i) {
      line("rule", pixels(kLeft), y(y_ticks[i]), pixels(kRight), y(y_ticks[i]));
      text("end", pixels(kLeft - 7), y(y_ticks[i]), y_texts[i]);
    }
    const auto x_ticks = axis_ticks(bounds_.x_low, bounds_.x_high, 6);
    const auto x_texts = tick_texts(x_ticks, 6);
    for (size_t i = 0; i < x_ticks.size(); ++i) {
      line("axis", x(x_ticks[i]), pixels(kBottom), x(x_ticks[i]), pixels(kBottom + 5));
      text("middle", x(x_ticks[i]), pixels(kBottom + 15), x_texts[i]);
    }
    line("axis", pixels(kLeft), pixels(kBottom), pixels(kRight), pixels(kBottom));
    text("middle", pixels((kLeft + kRight) / 2), pixels(kBottom + 34), chart_.x_label);
    text("start", pixels(4), pixels(10), chart_.y_label);
  }

  void curve(size_t series) {
    const std::vector<Point> points = thin(chart_.series[series].points);
    std::string path;
    bool pen_down = false;
    for (const Point& p : points) {
      if (is_finite(p)) path += (pen_down ? "L" : "M") + x(p.first) + " " + y(p.second);
      pen_down = is_finite(p);
    }
    if (path.empty()) return;
    out_ += "<path class=\"curve\" style=\"" + stroke_of(series) + "\" d=\"" + path +
            "\"/>\n<g style=\"color:" + color_of(series) + "\">\n";
    error_bars(series);
    // Places to point at, with the figures as their title: every point, or about 150 of them.
    const size_t stride = points.size() / 150 + 1;
    for (size_t i = 0; i < points.size() && !alone_; ++i) {
      if (!is_finite(points[i]) || (i % stride != 0 && i + 1 != points.size())) continue;
      out_ += "<circle class=\"hit\" r=\"5\" cx=\"" + x(points[i].first) + "\" cy=\"" +
              y(points[i].second) + "\"><title>" + escape(chart_.series[series].name) + ", " +
              escape(chart_.x_label) + " " + number(points[i].first, 10) + ": " +
              number(points[i].second) + "</title></circle>\n";
    }
    // A single point has no line to be seen by.
    if (points.size() == 1)
      out_ += "<circle r=\"3\" fill=\"currentColor\" cx=\"" + x(points[0].first) + "\" cy=\"" +
              y(points[0].second) + "\"/>\n";
    out_ += "</g>\n";
  }

  void error_bars(size_t series) {
    const ReportSeries& of = chart_.series[series];
    std::string bars;
    for (size_t i = 0; i < of.points.size(); ++i)
      if (const double error = error_of(of, i); error > 0 && is_finite(of.points[i]))
        bars += "M" + x(of.points[i].first) + " " + y(of.points[i].second - error) + "V" +
                y(of.points[i].second + error);
    if (!bars.empty()) out_ += "<path fill=\"none\" stroke=\"currentColor\" d=\"" + bars + "\"/>\n";
  }

  void legend() {
    out_ += "<ul class=\"legend\">\n";
    for (size_t i = 0; i < chart_.series.size(); ++i)
      out_ += "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path class=\"curve\" style=\"" +
              stroke_of(i) + "\" d=\"M2 5H24\"/></svg>" + escape(chart_.series[i].name) + "</li>\n";
    out_ += "</ul>\n";
  }

  void figures() {
    out_ += "<details id=\"" + id_ +
            "f\"><summary>Figures</summary><div class=\"wide\"><table>\n<tr><th>series</th>"
            "<th>points</th><th>first</th><th>last</th><th>smallest</th><th>largest</th></tr>\n";
    for (const ReportSeries& series : chart_.series) {
      std::vector<double> values;
      for (const Point& p : series.points)
        if (is_finite(p)) values.push_back(p.second);
      out_ += "<tr><td>" + escape(series.name) + "</td><td class=\"n\">" +
              std::to_string(values.size()) + "</td>";
      std::array<std::string, 4> cells;
      if (!values.empty()) {
        const auto [low, high] = std::minmax_element(values.begin(), values.end());
        cells = {number(values.front()), number(values.back()), number(*low), number(*high)};
      }
      for (const std::string& cell : cells) out_ += "<td class=\"n\">" + cell + "</td>";
      out_ += "</tr>\n";
    }
    out_ += "</table></div></details>\n";
  }

  const ReportChart& chart_;
  std::string id_, out_;
  Bounds bounds_;
  bool alone_ = false;
};

std::string table_html(const ReportTable& table) {
  std::string out = "<h2>" + escape(table.title) + "</h2>\n<div class=\"wide\"><table>\n<tr>";
  for (const std::string& cell : table.header) out += "<th>" + escape(cell) + "</th>";
  out += "</tr>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (const std::string& cell : row) out += "<td class=\"n\">" + escape(cell) + "</td>";
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

std::string reply_html(const char* tag, const std::string& note, const std::string& text) {
  return std::string("<div><div class=\"tag\">") + tag + (note.empty() ? "" : ", " + escape(note)) +
         "</div><pre>" + escape(text) + "</pre></div>\n";
}

}  // namespace

std::string report_svg(const ReportChart& chart) { return ChartWriter(chart, 0).write_file(); }

std::string report_html(const ReportData& data) {
  const std::string title = escape(data.title);
  std::string out =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
      title + "</title>\n<style>" + std::string(kStyle) +
      "</style>\n</head>\n<body>\n<main>\n<h1>" + title + "</h1>\n";
  if (!data.subtitle.empty()) out += "<p class=\"sub\">" + escape(data.subtitle) + "</p>\n";
  if (!data.summary.empty()) {
    out += "<h2>Summary</h2>\n<div class=\"wide\"><table>\n";
    for (const auto& [name, value] : data.summary)
      out += "<tr><th scope=\"row\">" + escape(name) + "</th><td class=\"n\">" + escape(value) +
             "</td></tr>\n";
    out += "</table></div>\n";
  }
  for (const ReportTable& table : data.tables) out += table_html(table);
  if (!data.charts.empty()) {
    out += "<h2>" + escape(data.charts_title) + "</h2>\n<div class=\"grid\">\n";
    for (size_t i = 0; i < data.charts.size(); ++i) out += ChartWriter(data.charts[i], i).write();
    out += "</div>\n";
  }
  if (!data.samples.empty()) out += "<h2>Samples</h2>\n";
  for (const ReportSample& sample : data.samples)
    out += "<div class=\"sample\"><div class=\"prompt\"><div class=\"tag\">prompt</div><pre>" +
           escape(sample.prompt) + "</pre></div>\n<div class=\"grid\">\n" +
           reply_html("before", sample.before_note, sample.before) +
           reply_html("after", sample.after_note, sample.after) + "</div></div>\n";
  if (!data.options.empty()) out += "<h2>Options</h2>\n";
  for (const ReportOptions& group : data.options) {
    out += "<details open><summary>" + escape(group.title) +
           "</summary><div class=\"wide\"><table>\n"
           "<tr><th>option</th><th>value</th><th>range</th><th>meaning</th></tr>\n";
    for (const OptionText& option : group.options)
      out += "<tr><td>" + escape(option.name) + "</td><td class=\"n\">" + escape(option.value) +
             "</td><td>" + escape(option.range) + "</td><td>" + escape(option.help) +
             "</td></tr>\n";
    out += "</table></div></details>\n";
  }
  return out + "</main>\n</body>\n</html>\n";
}

void write_report_html(const std::string& path, const ReportData& data) {
  const std::string unfinished = path + ".tmp." + std::to_string(getpid());
  const auto file = posix_file_system().create(unfinished);
  file->write(report_html(data));
  file->sync();
  file->close();
  // rename(2) replaces a file in one step and refuses a folder.
  if (std::rename(unfinished.c_str(), path.c_str()) == 0) return;
  const int reason = errno;
  std::remove(unfinished.c_str());
  fail(ErrorKind::cannot_create, "report", path, ": cannot be written: ", std::strerror(reason),
       ". Choose another path.");
}

}  // namespace pref
