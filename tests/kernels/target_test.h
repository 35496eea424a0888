// SPDX-License-Identifier: Apache-2.0
// A kernel test runs once per instruction set that was compiled and that this machine has, down to
// the scalar fallback.
#pragma once
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace pref {

class TargetTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { choose(GetParam()); }
  void TearDown() override { choose(0); }

  // Random numbers of one test; a failure prints the seed.
  static constexpr uint32_t kSeed = 20240917;
  std::mt19937 engine_{kSeed};
  testing::ScopedTrace seed_trace_{__FILE__, __LINE__, "seed " + std::to_string(kSeed)};

  std::vector<float> normal(int64_t count, double deviation = 1, double mean = 0) {
    std::normal_distribution<double> draw(mean, deviation);
    std::vector<float> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<float>(draw(engine_)));
    return out;
  }

 private:
  static void choose(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

inline std::vector<double> widened(const std::vector<float>& x) { return {x.begin(), x.end()}; }

/// Equal bit for bit, NaN included.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) return false;
  }
  return true;
}

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

#define PREF_EVERY_TARGET(Suite)                                          \
  INSTANTIATE_TEST_SUITE_P(                                               \
      Cpu, Suite, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()), \
      [](const auto& target) { return std::string(hwy::TargetName(target.param)); })

}  // namespace pref
