// SPDX-License-Identifier: Apache-2.0
// What an experiment gives back: figures of curves, each point with one value a seed, so that
// methods are compared seed by seed and every mean has its standard error. A figure becomes one CSV
// file and one plot.
#pragma once
#include <string>
#include <vector>

#include "libpref/base/json_text.h"
#include "libpref/base/options.h"

namespace pref::experiments {

/// Mean and its standard error, sd (n - 1 in the denominator) / sqrt(n), over the finite values.
struct MeanError {
  double mean = 0, error = 0;
  int n = 0;
};
MeanError mean_error(const std::vector<double>& values);

/// a - b, seed by seed.
std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b);

/// One point of a curve; `parameter` is what was set (beta, noise, step), y what came, a value a
/// seed. x, where the axis shows something measured (KL), likewise; empty: the parameter.
struct Point {
  double parameter = 0;
  std::vector<double> y{}, x{};
};

struct Curve {
  std::string name;
  bool analytic = false;  ///< known in closed form; drawn dashed
  std::vector<Point> points{};
};

struct Figure {
  std::string name;  ///< of its files: "label_noise"
  std::string title, parameter, x_label, y_label;
  std::string config{};  ///< the experiment's options as JSON; its hash stands in every CSV line
  std::vector<Curve> curves{};

  /// The curve or the values of that name; made when missing.
  Point& point(const std::string& curve, double parameter);
  /// Throws ErrorKind::internal when there is none.
  const std::vector<double>& y(const std::string& curve, double parameter) const;
  const std::vector<double>& x(const std::string& curve, double parameter) const;
};

/// How long an experiment may be: the short form runs in seconds.
struct RunSize {
  int seeds = 20;
  bool brief = false;
};

/// The options of an experiment and its seeds as JSON.
template <class Options>
std::string config_json(const char* name, const Options& options, const RunSize& size) {
  JsonObject json;
  json.add("experiment", name).add("seeds", size.seeds);
  for (const OptionText& option : describe_options(options)) json.add(option.name, option.value);
  return json.str();
}

/// Header and one line a point: figure, curve, parameter, x and y with standard errors, number of
/// seeds, configuration hash.
std::string figure_csv(const Figure& figure);

}  // namespace pref::experiments
