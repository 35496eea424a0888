// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "libpref/base/error.h"
#include "libpref/base/random.h"
#include "libpref/base/utf8.h"

namespace pref {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size()))
    ++n;
  return n;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) out.push_back(line);
  return out;
}

ReportData full_report() {
  ReportData data;
  data.title = "A run";
  data.subtitle = "one GPU";
  data.summary = {{"accuracy", "0.91"}};
  data.tables = {{"Findings", {"what", "rows"}, {{"a < b", "3"}, {"none", ""}}}};
  data.charts = {{"Loss",
                  "nats",
                  {{"train", {{0, 1}, {10, 0.5}, {20, 0.25}}}, {"eval", {{0, 0.9}, {20, 0.3}}}}}};
  data.samples = {{"Why?", "No.", "Because.", "reward -1", "reward 2"}};
  data.options = {{"DPO", {{"beta", "0.1", "number", "> 0", "inverse temperature"}}}};
  return data;
}

// Every tag that is opened is closed, in order; void elements and self-closed ones apart.
void expect_well_formed(const std::string& html) {
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = html.substr(at + 1, end - at - 1);
    if (tag[0] == '!' || tag.back() == '/' || tag.starts_with("meta")) continue;
    const std::string name = tag.substr(tag[0] == '/', tag.find(' ') - (tag[0] == '/'));
    if (tag[0] != '/') {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << "</" << name << ">";
    EXPECT_EQ(open.back(), name);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

TEST(Report, ValueParts) {
  const std::string html = report_html(full_report());
  expect_well_formed(html);
  for (const char* part :
       {"<title>A run</title>", "<h1>A run</h1>", "one GPU", "accuracy</th><td class=\"n\">0.91",
        ">Why?<", ">No.<", ">Because.<", "before, reward -1", "after, reward 2",
        "inverse temperature", "<td>beta</td><td class=\"n\">0.1</td><td>&gt; 0</td>",
        "train, step 10: 0.5", "<h2>Findings</h2>", "<th>what</th><th>rows</th>",
        "<td class=\"n\">a &lt; b</td><td class=\"n\">3</td>", "<h2>Curves</h2>"})
    EXPECT_THAT(html, HasSubstr(part));
  EXPECT_EQ(count(html, "<path class=\"curve\""), 4u);  // two lines, two keys in the legend
  EXPECT_EQ(count(html, "class=\"hit\""), 5u);
  EXPECT_THAT(html,
              HasSubstr("role=\"img\" aria-labelledby=\"chart0\" aria-describedby=\"chart0f\""));
  EXPECT_THAT(html, HasSubstr("id=\"chart0f\""));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme:dark"));
  // First, last, smallest, largest of the first series.
  EXPECT_THAT(
      html,
      HasSubstr(
          "<td>train</td><td class=\"n\">3</td><td class=\"n\">1</td><td class=\"n\">0.25</td>"
          "<td class=\"n\">0.25</td><td class=\"n\">1</td>"));
}

TEST(Report, ValueCurveGeometry) {
  // The plot is 564 by 226; 8 % of half the range is air, so y = 0..1 is drawn in [-0.04, 1.04].
  ReportData data;
  data.charts = {{"c", "y", {{"s", {{0, 0}, {10, 1}, {20, 0.5}}}}}};
  const auto y = [](double v) { return 252 - 226 * (v + 0.04) / 1.08; };
  char path[100];
  std::snprintf(path, sizeof path, "d=\"M64.0 %.1fL346.0 %.1fL628.0 %.1f\"", y(0), y(1), y(0.5));
  EXPECT_THAT(report_html(data), HasSubstr(path));
}

// Bars from value - error to value + error; the axis has room for them.
TEST(Report, ValueErrorBarsAndDashes) {
  ReportSeries measured{"s", {{0, 0}, {10, 0.5}}, {0, 0.5}};
  ReportSeries known{.name = "known", .points = {{0, 0}, {10, 0.2}}, .dashed = true};
  ReportData data;
  data.charts = {{"c", "y", {measured, known}}};
  const std::string html = report_html(data);
  expect_well_formed(html);
  const auto y = [](double v) { return 252 - 226 * (v + 0.04) / 1.08; };
  char path[100];
  std::snprintf(path, sizeof path, "d=\"M628.0 %.1fV%.1f\"", y(0), y(1));
  EXPECT_THAT(html, HasSubstr(path));
  EXPECT_EQ(count(html, "stroke-dasharray:5 4"), 2u);  // the line and its key
}

TEST(Report, ValueSvgFile) {
  const std::string svg = report_svg(full_report().charts[0]);
  expect_well_formed(svg);
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  for (const char* part : {"<title>Loss</title>", ">nats<", ">step<", ">train<", ">eval<",
                           "stroke:#0072b2", "stroke:#d55e00"})
    EXPECT_THAT(svg, HasSubstr(part));
  EXPECT_THAT(svg, Not(HasSubstr("var(")));
  EXPECT_EQ(count(svg, "<path class=\"curve\""), 4u);
  EXPECT_EQ(count(svg, "class=\"hit\""), 0u);
  expect_well_formed(report_svg({"empty", "y", {}}));
}

TEST(Report, InvariantSelfContained) {
  const std::string html = report_html(full_report());
  for (const char* outside : {"http", "src=", "<script", "<link", "url(", "@import", "<iframe"})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
}

TEST(Report, InvariantTextIsEscaped) {
  ReportData data = full_report();
  const std::string evil = "<b>\"x\" & y</b>\x01\xff";
  const std::string safe = "&lt;b&gt;&quot;x&quot; &amp; y&lt;/b&gt;\uFFFD\uFFFD";
  data.title = data.subtitle = evil;
  data.summary = {{evil, evil}};
  data.tables = {{evil, {evil}, {{evil}}}};
  data.charts_title = evil;
  data.charts = {{evil, evil, {{evil, {{0, 1}}}}, evil}};
  data.samples = {{evil, evil, evil, evil, evil}};
  data.options = {{evil, {{evil, evil, evil, evil, evil}}}};
  const std::string html = report_html(data);
  expect_well_formed(html);
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
  EXPECT_EQ(find_invalid_utf8(html), std::string::npos);
  // title twice, subtitle, 2 of summary, 3 of the table, title over the charts, title, axes, legend, figures and hover (name, axis) of the
  // chart, 5 of the sample, 5 of the options (the type is not shown).
  EXPECT_EQ(count(html, safe), 3u + 2 + 3 + 1 + 1 + 2 + 2 + 2 + 5 + 5);
}

TEST(Report, InvariantEmptyPartsAreLeftOut) {
  ReportData data;
  data.title = "t";
  std::string html = report_html(data);
  expect_well_formed(html);
  EXPECT_THAT(html, Not(HasSubstr("<h2>")));
  data.charts = {{"a", "y", {}}, {"b", "y", {{"s", {{1, kNan}, {kInfinity, 2}}}}}};
  html = report_html(data);
  expect_well_formed(html);
  EXPECT_EQ(count(html, "no values"), 2u);
  EXPECT_THAT(html, Not(HasSubstr("<svg")));
}

TEST(Report, InvariantNonFiniteValuesBreakTheLine) {
  ReportData data;
  data.charts = {
      {"c", "y", {{"s", {{0, 1}, {1, 2}, {2, kNan}, {3, 4}, {4, -kInfinity}, {5, 6}, {6, 7}}}}}};
  const std::string html = report_html(data);
  const size_t begin = html.find(" d=\"") + 4;
  const std::string path = html.substr(begin, html.find('"', begin) - begin);
  EXPECT_EQ(count(path, "M"), 3u);
  EXPECT_EQ(count(path, "L"), 2u);
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf\"")));
}

TEST(Report, InvariantLongLinesKeepTheirExtremes) {
  ReportSeries series{"s", {}};
  for (int i = 0; i < 20'000; ++i)
    series.points.emplace_back(i, i == 7777 ? 100 : i == 12'345 ? -100 : i % 7);
  ReportData data;
  data.charts = {{"c", "y", {series}}};
  const std::string html = report_html(data);
  EXPECT_LT(html.size(), 60'000u);
  // The extremes lie 8 % of half the range inside of the frame.
  EXPECT_THAT(html, HasSubstr(" 34.4L"));   // 26 + 226 * 0.04 / 1.08
  EXPECT_THAT(html, HasSubstr(" 243.6L"));  // 252 - 226 * 0.04 / 1.08
}

TEST(Report, InvariantHugeValuesStayFinite) {
  ReportData data;
  const double most = std::numeric_limits<double>::max();
  data.charts = {{"c", "y", {{"s", {{-most, most}, {most, -most}}}}},
                 {"flat", "y", {{"s", {{3, 0}, {3, 0}}}}}};
  const std::string html = report_html(data);
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf")));
  EXPECT_THAT(terminal_plot(data.charts[0].series, 40, 5), Not(HasSubstr("nan")));
}

TEST(Report, ValueTicks) {
  EXPECT_THAT(axis_ticks(0, 10, 5), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(axis_ticks(-1, 1, 4), ElementsAre(-1, -0.5, 0, 0.5, 1));
  EXPECT_THAT(axis_ticks(0, 40, 5), ElementsAre(0, 10, 20, 30, 40));  // 8 wanted, 10 is round
  EXPECT_THAT(axis_ticks(3, 7, 2), ElementsAre(4, 6));
  EXPECT_THAT(axis_ticks(1, 1, 5), ElementsAre(1, 1));
  // 0.0005 would be round for three ticks, but only 1.0005 lies within; so 0.0002.
  EXPECT_THAT(axis_ticks(1.0001, 1.0009, 3),
              testing::Pointwise(testing::DoubleNear(1e-12), {1.0002, 1.0004, 1.0006, 1.0008}));
}

TEST(Report, InvariantTicks) {
  RandomStream random(5, "ticks test");
  SCOPED_TRACE("seed 5");
  for (int trial = 0; trial < 5000; ++trial) {
    const double low = random.normal() * std::pow(10, random.uniform() * 20 - 10);
    const double high = low + std::abs(random.normal()) * std::pow(10, random.uniform() * 20 - 10);
    if (!(high - low > 1e-9 * std::abs(low))) continue;
    const int wanted = 2 + static_cast<int>(random.below(8));
    const auto ticks = axis_ticks(low, high, wanted);
    ASSERT_GE(ticks.size(), 2u) << low << " " << high;
    ASSERT_LE(ticks.size(), 2.5 * wanted + 2) << low << " " << high << " " << wanted;
    const double slack = 1e-8 * (high - low) + 1e-9 * std::abs(ticks[1] - ticks[0]);
    EXPECT_GE(ticks.front(), low - slack);
    EXPECT_LE(ticks.back(), high + slack);
    for (size_t i = 1; i < ticks.size(); ++i) EXPECT_GT(ticks[i], ticks[i - 1]);
  }
}

TEST(Report, RoundTripFile) {
  std::string folder = (std::filesystem::temp_directory_path() / "pref_report_XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/report.html";
  const auto read = [&] {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  };
  ReportData data = full_report();
  write_report_html(path, data);
  EXPECT_EQ(read(), report_html(data));
  data.title = "Another run";
  write_report_html(path, data);  // replaces
  EXPECT_EQ(read(), report_html(data));
  std::filesystem::create_directory(folder + "/folder");
  EXPECT_THAT([&] { write_report_html(folder + "/folder", data); },
              testing::ThrowsMessage<Error>(HasSubstr("folder: cannot be written")));
  EXPECT_THROW(write_report_html(folder + "/missing/report.html", data), Error);
  // Nothing unfinished is left behind.
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++files;
  EXPECT_EQ(files, 2u);
  std::filesystem::remove(path);
  std::filesystem::remove(folder + "/folder");
  std::filesystem::remove(folder);
}

TEST(TerminalPlot, MatchesReference) {
  // 30 columns: labels 1 wide, " ┤", 25 cells (50 dots), " a". A diagonal from (0, 0) to (1, 3), 12
  // dots high: each column of dots has one, at the rounded height, counted from the top.
  constexpr unsigned kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
  unsigned cells[3][25] = {};
  for (int x = 0; x < 50; ++x) {
    const auto y = static_cast<int>(std::lround(11 - 11 * x / 49.0));
    cells[y / 4][x / 2] |= kBits[y % 4][x % 2];
  }
  std::string drawn[3];
  for (int row = 0; row < 3; ++row)
    for (const unsigned bits : cells[row])
      drawn[row] += bits == 0 ? std::string(" ")
                              : std::string{'\xE2', static_cast<char>(0xA0 + bits / 64),
                                            static_cast<char>(0x80 + bits % 64)};
  EXPECT_EQ(terminal_plot({{"up", {{0, 0}, {1, 3}}}}, 30, 3),
            "3 ┤" + drawn[0] + " a\n" + "  │" + drawn[1] + "\n" + "0 ┤" + drawn[2] + "\n" +
                "  └─────────────────────────\n" + "   0                       1\n" + "  a up 3\n");
}

TEST(TerminalPlot, ValueDots) {
  // One column of cells at the left edge holds a vertical line: all four left dots of each cell.
  const auto rows = lines(terminal_plot({{"s", {{0, 0}, {0, 1}, {1, kNan}, {9, 0}}}}, 30, 4));
  for (int row = 0; row < 4; ++row)
    EXPECT_THAT(rows[static_cast<size_t>(row)], HasSubstr("\u2847")) << row;
  EXPECT_THAT(rows[3],
              HasSubstr("\u2880"));  // the lone point at the right, in the lowest right dot
}

TEST(TerminalPlot, InvariantSize) {
  std::vector<ReportSeries> series;
  for (int s = 0; s < 5; ++s) {
    series.push_back({"s" + std::to_string(s), {}});
    for (int i = 0; i < 100; ++i)
      series.back().points.emplace_back(i, std::sin(0.1 * i + s) * 1e-3);
  }
  for (const int width : {30, 61, 120})
    for (const int height : {3, 10, 31}) {
      const auto rows = lines(terminal_plot(series, width, height));
      ASSERT_EQ(rows.size(), static_cast<size_t>(height) + 2 + series.size());
      for (const std::string& row : rows)
        EXPECT_LE(display_width(row), static_cast<size_t>(width)) << row;
    }
}

TEST(TerminalPlot, InvariantColorOnlyAddsCodes) {
  const std::vector<ReportSeries> series = {{"a", {{0, 0}, {5, 1}}}, {"b", {{0, 1}, {5, 0}}}};
  std::string colored = terminal_plot(series, 50, 6, true);
  EXPECT_THAT(colored, HasSubstr("\x1b[36m"));
  EXPECT_THAT(colored, HasSubstr("\x1b[33m"));
  std::string plain;
  for (size_t i = 0; i < colored.size();)
    if (colored[i] == '\x1b')
      i = colored.find('m', i) + 1;
    else
      plain += colored[i++];
  EXPECT_EQ(plain, terminal_plot(series, 50, 6));
}

TEST(TerminalPlot, RejectsSizes) {
  EXPECT_THAT([] { terminal_plot({}, 29, 5); },
              testing::ThrowsMessage<Error>(HasSubstr("29 and 5 came")));
  EXPECT_THROW(terminal_plot({}, 40, 2), Error);
  EXPECT_THROW(terminal_plot(std::vector<ReportSeries>(27), 80, 10), Error);
  EXPECT_EQ(terminal_plot({}, 40, 5), "(no values to plot)\n");
  EXPECT_EQ(terminal_plot({{"s", {{1, kNan}}}}, 40, 5), "(no values to plot)\n");
}

}  // namespace
}  // namespace pref
