// SPDX-License-Identifier: Apache-2.0
// Redraws the experiments of docs/experiments.md: one CSV and one SVG per figure, one HTML page.
//
//   build/release/bin/experiments --out runs/experiments               all of them, some minutes
//   build/release/bin/experiments label_noise --out runs/noise --seeds 40
//   build/release/bin/experiments --out runs/quick --short             seconds, few seeds
#include "examples/experiments/experiments.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/base/progress.h"
#include "libpref/base/terminal.h"
#include "libpref/train/report.h"

namespace {

using namespace pref;
using namespace pref::experiments;

struct Arguments {
  std::vector<std::string> names;
  std::string out;
  int seeds = 0;  // 0: as many as the experiment's full form has
  bool brief = false, help = false;
};

void print_help() {
  std::printf(
      "Experiments on worlds small enough to be judged exactly (docs/experiments.md).\n\n"
      "usage: experiments [NAME...] --out FOLDER [--seeds N] [--short]\n\n"
      "  --out FOLDER  must not exist; gets FIGURE.csv, FIGURE.svg and index.html\n"
      "  --seeds N     seeds per point; without it as many as stand below\n"
      "  --short       fewer steps and settings, 4 seeds unless --seeds says otherwise\n\n"
      "without a NAME: all of\n");
  for (const Experiment& e : experiments::experiments())
    std::printf("  %-15s %s (%d seeds)\n", e.name, e.about, e.seeds);
  std::printf(
      "\nexamples:\n"
      "  experiments --out runs/experiments\n"
      "  experiments label_noise simpo_length --out runs/two --seeds 40\n"
      "  experiments --out runs/quick --short\n");
}

Arguments parse(int argc, char** argv) {
  Arguments out;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] {
      require(i + 1 < argc, ErrorKind::option, "command line", word, " needs a value.");
      return std::string(argv[++i]);
    };
    if (word == "--help" || word == "-h") {
      out.help = true;
    } else if (word == "--short") {
      out.brief = true;
    } else if (word == "--out") {
      out.out = value();
    } else if (word == "--seeds") {
      const std::string text = value();
      const auto end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data(), end, out.seeds);
      require(error == std::errc() && stop == end && out.seeds >= 2 && out.seeds <= 100000,
              ErrorKind::option, "command line", "--seeds must be from 2 to 100000, got \"", text,
              "\".");
    } else {
      std::vector<std::string> known = {"--help", "--short", "--out", "--seeds"};
      bool found = false;
      for (const Experiment& e : experiments::experiments())
        known.emplace_back(e.name), found = found || word == e.name;
      const std::string near = nearest_name(word, known);
      require(found, ErrorKind::option, "command line", "\"", word,
              "\" is no experiment and no option.",
              near.empty() ? " --help lists them." : " Did you mean \"" + near + "\"?");
      out.names.push_back(word);
    }
  }
  require(out.help || !out.out.empty(), ErrorKind::option, "command line",
          "--out FOLDER is required: where figures are written. --help shows examples.");
  return out;
}

ReportChart chart_of(const Figure& figure) {
  ReportChart chart{.title = figure.title, .y_label = figure.y_label, .x_label = figure.x_label};
  for (const Curve& curve : figure.curves) {
    ReportSeries series{.name = curve.name, .dashed = curve.analytic};
    for (const Point& p : curve.points) {
      const MeanError y = mean_error(p.y);
      series.points.emplace_back(p.x.empty() ? p.parameter : mean_error(p.x).mean, y.mean);
      series.errors.push_back(curve.analytic ? 0 : y.error);
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

void write(const std::string& path, const std::string& text) {
  const auto file = posix_file_system().create(path);
  file->write(text);
  file->sync();
  file->close();
}

int run(const Arguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  require(!posix_file_system().info(arguments.out).exists, ErrorKind::cannot_create, "experiments",
          arguments.out, " exists. Name another folder with --out, or remove it.");
  posix_file_system().make_directories(arguments.out);
  std::vector<Experiment> chosen;
  for (const Experiment& e : experiments::experiments()) {
    bool named = arguments.names.empty();
    for (const std::string& name : arguments.names) named = named || name == e.name;
    if (named) chosen.push_back(e);
  }
  ReportData page{.title = "Closed forms and small worlds",
                  .subtitle =
                      "Mean over seeds; bars: standard error of the mean; dashed: known in "
                      "closed form"};
  Progress progress("experiments", static_cast<int64_t>(chosen.size()));
  for (size_t i = 0; i < chosen.size(); ++i) {
    progress.update(static_cast<int64_t>(i), chosen[i].name);
    const auto begin = std::chrono::steady_clock::now();
    const int seeds = arguments.seeds ? arguments.seeds : arguments.brief ? 4 : chosen[i].seeds;
    for (const Figure& figure : chosen[i].run({.seeds = seeds, .brief = arguments.brief})) {
      page.charts.push_back(chart_of(figure));
      write(join_path(arguments.out, figure.name + ".csv"), figure_csv(figure));
      write(join_path(arguments.out, figure.name + ".svg"), report_svg(page.charts.back()));
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    write_stderr_line(std::string(chosen[i].name) + ": " + std::to_string(seeds) + " seeds, " +
                      format_duration(took.count()));
    page.summary.emplace_back(chosen[i].name, chosen[i].about);
  }
  progress.update(static_cast<int64_t>(chosen.size()));
  write_report_html(join_path(arguments.out, "index.html"), page);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%zu figures in %s: %s\n", page.charts.size(), format_duration(took.count()).c_str(),
              join_path(arguments.out, "index.html").c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  const Arguments arguments = parse(argc, argv);
  if (!arguments.help) return run(arguments);
  print_help();
  return 0;
} catch (const pref::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return error.exit_code();
}
