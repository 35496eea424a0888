// SPDX-License-Identifier: Apache-2.0
// Runs an experiment in the form asked for and compares its curves seed by seed. The short form asks
// for the sign of a difference, the long one (PREF_LONG_TESTS=1) for two standard errors.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "examples/experiments/experiments.h"

namespace pref::experiments {

inline bool long_tests() {
  const char* set = std::getenv("PREF_LONG_TESTS");
  return set && std::string(set) == "1";
}

/// The figures of the experiment of that name: the short form with `brief_seeds`, or the full one.
inline std::vector<Figure> run_experiment(const std::string& name, int brief_seeds) {
  for (const Experiment& e : experiments())
    if (e.name == name)
      return e.run(long_tests() ? RunSize{.seeds = e.seeds}
                                : RunSize{.seeds = brief_seeds, .brief = true});
  ADD_FAILURE() << "no experiment " << name;
  return {};
}

inline const Figure& figure(const std::vector<Figure>& figures, const std::string& name) {
  for (const Figure& f : figures)
    if (f.name == name) return f;
  throw std::runtime_error("no figure " + name);
}

inline std::vector<double> parameters(const Figure& figure, const std::string& curve) {
  std::vector<double> out;
  for (const Curve& c : figure.curves)
    if (c.name == curve)
      for (const Point& p : c.points) out.push_back(p.parameter);
  return out;
}

/// a > b: the mean over seeds of a - b is above 0, in the long form by two standard errors.
inline void expect_above(const std::vector<double>& a, const std::vector<double>& b,
                         const std::string& what) {
  const MeanError gap = mean_error(difference(a, b));
  EXPECT_GT(gap.n, 1) << what;
  EXPECT_GT(gap.mean, long_tests() ? 2 * gap.error : 0)
      << what << ": " << mean_error(a).mean << " and " << mean_error(b).mean
      << ", standard error of the difference " << gap.error << ", " << gap.n << " seeds";
}

/// The mean of a - b is at most `tolerance` away from 0, or not told from it by two standard errors.
inline void expect_close(const std::vector<double>& a, const std::vector<double>& b,
                         double tolerance, const std::string& what) {
  const MeanError gap = mean_error(difference(a, b));
  EXPECT_GT(gap.n, 1) << what;
  EXPECT_LT(std::abs(gap.mean), std::max(tolerance, 2 * gap.error))
      << what << ": " << mean_error(a).mean << " and " << mean_error(b).mean;
}

}  // namespace pref::experiments
