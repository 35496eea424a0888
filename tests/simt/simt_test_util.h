// SPDX-License-Identifier: Apache-2.0
// A kernel test runs once per schedule of its threads; every random number comes from a printed
// seed. Buffers are vectors of their exact size, so that address sanitizer sees a step outside.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/device/vector_io.cuh"
#include "kernels/cuda/types.h"
#include "tests/simt/simt.h"

namespace pref::kernels::cuda {

struct Schedule {
  const char* name;
  simt::Order order;
  uint32_t seed;
};
inline void PrintTo(const Schedule& schedule, std::ostream* out) { *out << schedule.name; }
inline std::vector<Schedule> schedules() {
  return {{"forward", simt::Order::forward, 1},
          {"reverse", simt::Order::reverse, 1},
          {"random_1", simt::Order::random, 1},
          {"random_2", simt::Order::random, 2}};
}

class SimtTest : public ::testing::TestWithParam<Schedule> {
 protected:
  std::vector<double> normal(int64_t count, double deviation = 1, double mean = 0) {
    std::normal_distribution<double> draw(mean, deviation);
    std::vector<double> out(static_cast<size_t>(count));
    for (double& x : out) x = draw(engine_);
    return out;
  }
  int64_t integer(int64_t low, int64_t high) {  // both ends included
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }

  static constexpr uint32_t kSeed = 20240917;
  std::mt19937 engine_{kSeed};

 private:
  ::testing::ScopedTrace seed_trace_{__FILE__, __LINE__, "seed " + std::to_string(kSeed)};
  simt::WithOptions options_{{GetParam().order, GetParam().seed}};
};

#define PREF_EVERY_SCHEDULE(Suite)                                                               \
  INSTANTIATE_TEST_SUITE_P(Simt, Suite, ::testing::ValuesIn(::pref::kernels::cuda::schedules()), \
                           [](const auto& info) { return std::string(info.param.name); })

/// Doubles as T holds them.
template <class T>
std::vector<T> narrowed(const std::vector<double>& x) {
  std::vector<T> out;
  for (const double v : x) out.push_back(Elements<T>::round(static_cast<float>(v)));
  return out;
}
template <class T>
std::vector<double> widened(const std::vector<T>& x) {
  std::vector<double> out;
  for (const T v : x) out.push_back(static_cast<double>(to_float(v)));
  return out;
}
inline std::vector<double> widened(const std::vector<double>& x) { return x; }

/// Half a step of T's rounding at 1.
template <class T>
constexpr double rounding() {
  return sizeof(T) == 2 ? 1.0 / 256 : 1.0 / (1 << 24);
}

/// Equal bit for bit, NaN included.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(T)));
}

/// Every element within relative |expected| + absolute; reports the first that is not.
inline void expect_near(const std::vector<double>& got, const std::vector<double>& expected,
                        double relative, double absolute, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    const double bound = relative * std::abs(expected[i]) + absolute;
    ASSERT_TRUE(std::abs(got[i] - expected[i]) <= bound)
        << what << "[" << i << "] = " << got[i] << ", expected " << expected[i] << " within "
        << bound;
  }
}

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

}  // namespace pref::kernels::cuda
