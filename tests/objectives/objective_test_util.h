// SPDX-License-Identifier: Apache-2.0
// Random rows and options for tests that walk the list of objectives, and the text of an error.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "libpref/base/error.h"
#include "libpref/device_check/pair_rows.h"
#include "libpref/objectives/objective.h"

namespace pref::testing {

/// The kind and text of the pref::Error that `run` throws; a failure and "" when it throws none.
template <class Run>
std::string error_of(ErrorKind kind, const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

/// Random numbers of one test; a failure inside its life prints the seed.
class Random {
 public:
  explicit Random(uint32_t seed = 20250117)
      : engine_(seed), trace_(__FILE__, __LINE__, "seed " + std::to_string(seed)) {}
  double uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(engine_);
  }
  double normal() { return std::normal_distribution<double>()(engine_); }
  int64_t integer(int64_t low, int64_t high) {  // both ends included
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  bool coin() { return integer(0, 1) == 1; }

 private:
  std::mt19937 engine_;
  ::testing::ScopedTrace trace_;
};

using device_check::random_row;

/// A row whose batch gives it nothing.
inline Row<double> uncoupled_row(Random& random, int branches) {
  Row<double> row = random_row(random, branches);
  for (auto& branch : row.branch) branch.coupled = 0;
  return row;
}

/// Values inside `range` that differ from each other, spread over what is bounded and near the end
/// that is.
inline std::vector<double> values_inside(const Range& range) {
  std::vector<double> out;
  for (const double x : {0.0, 0.07, 0.2, 0.45, 0.9, 1.5, -0.5, 4.0})
    if (range.contains(x)) out.push_back(x);
  return out;
}

/// Values that an option may take: every name of an enum, or values_inside(range).
template <class T>
std::vector<T> values_of(const T&, const Range& range) {
  std::vector<T> out;
  if constexpr (std::is_enum_v<T>) {
    for (const auto& entry : enum_names(T{})) out.push_back(entry.value);
  } else {
    for (const double x : values_inside(range)) out.push_back(static_cast<T>(x));
  }
  return out;
}

/// Gives every option of `options` a random value of its range.
template <class Options>
void randomize(Options& options, Random& random) {
  Options::fields(options, [&](const char*, auto& value, const Range& range, const char*) {
    const auto values = values_of(value, range);
    value = values[static_cast<size_t>(random.integer(0, std::ssize(values) - 1))];
  });
}

/// Options by name, enums by the number of their value.
template <class Options>
std::map<std::string, double> numbers_of(const Options& options) {
  std::map<std::string, double> out;
  Options::fields(options, [&](const char* name, const auto& value, const Range&, const char*) {
    out[name] = static_cast<double>(value);
  });
  return out;
}

}  // namespace pref::testing
