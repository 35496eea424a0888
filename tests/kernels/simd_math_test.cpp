// SPDX-License-Identifier: Apache-2.0
// The bounds stated in kernels/cpu/simd_math-inl.h, against the standard library in double over the
// whole range.
#include <cmath>

#include "tests/kernels/target_test.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/kernels/simd_math_test.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pref::kernels {
namespace HWY_NAMESPACE {
namespace {

void exp_array(const float* x, int64_t count, float* out) {
  const FloatTag d;
  for_vectors(d, count, [&](int64_t i, auto access) HWY_ATTR {
    access.store(d, exp_of(d, access.load(d, x + i)), out + i);
  });
}

void tanh_array(const float* x, int64_t count, float* tanh, float* slope) {
  const FloatTag d;
  for_vectors(d, count, [&](int64_t i, auto access) HWY_ATTR {
    const TanhSlope result = tanh_of(d, access.load(d, x + i));
    access.store(d, result.tanh, tanh + i);
    access.store(d, result.slope, slope + i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace pref::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pref::kernels {

HWY_EXPORT(exp_array);
HWY_EXPORT(tanh_array);

namespace {

class SimdMathTest : public TargetTest {
 protected:
  // x log2 e and the remainder are rounded apart where there is no fused multiply-add.
  double exp_bound(double x) const {
    const bool fused =
        GetParam() != HWY_SCALAR && GetParam() != HWY_SSSE3 && GetParam() != HWY_SSE4;
    return 2.0e-7 + (fused ? 1.3e-8 : 1.2e-7) * std::abs(x);
  }

  // Every size of argument and both signs: uniform in [-bound, bound] and log-uniform down to 1e-9.
  std::vector<float> arguments(double bound) {
    std::vector<float> out = {0, -0.0f};
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (int i = 0; i < 200001; ++i) {
      out.push_back(static_cast<float>(bound * uniform(engine_)));
      const double power = std::pow(10.0, 9 * (uniform(engine_) - 1) / 2);
      out.push_back(static_cast<float>(std::copysign(bound * power, uniform(engine_))));
    }
    return out;
  }
};
PREF_EVERY_TARGET(SimdMathTest);

TEST_P(SimdMathTest, ExpMatchesReference) {
  const std::vector<float> x = arguments(87);
  std::vector<float> out(x.size());
  HWY_DYNAMIC_DISPATCH(exp_array)(x.data(), static_cast<int64_t>(x.size()), out.data());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    worst = std::max(worst, std::abs(out[i] - exact) / exact / exp_bound(x[i]));
    ASSERT_LE(std::abs(out[i] - exact), exp_bound(x[i]) * exact) << "x = " << x[i];
  }
  RecordProperty("share_of_bound", std::to_string(worst));
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], 1.0f);
}

TEST_P(SimdMathTest, ExpOutsideItsRange) {
  const std::vector<float> x = {-88, -1e4f, -kInfinity, 88};
  std::vector<float> out(x.size());
  HWY_DYNAMIC_DISPATCH(exp_array)(x.data(), static_cast<int64_t>(x.size()), out.data());
  for (int i = 0; i < 3; ++i) {
    EXPECT_GT(out[i], 0) << x[i];
    EXPECT_LT(out[i], 1.7e-38f) << x[i];
  }
  EXPECT_NEAR(out[3] / std::exp(88.0), 1, exp_bound(88));
}

TEST_P(SimdMathTest, TanhMatchesReference) {
  std::vector<float> x = arguments(20);
  for (const float far : {30.0f, -44.0f, 50.0f, 1e4f, -1e4f, 3e5f}) x.push_back(far);
  std::vector<float> tanh(x.size()), slope(x.size());
  HWY_DYNAMIC_DISPATCH(tanh_array)
  (x.data(), static_cast<int64_t>(x.size()), tanh.data(), slope.data());
  double worst_tanh = 0, worst_slope = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = std::tanh(static_cast<double>(x[i]));
    const double cosh = std::cosh(static_cast<double>(x[i]));
    if (exact != 0) worst_tanh = std::max(worst_tanh, std::abs(tanh[i] - exact) / std::abs(exact));
    ASSERT_LE(std::abs(tanh[i] - exact), 4e-7 * std::abs(exact)) << "x = " << x[i];
    if (std::abs(x[i]) > 20) {
      ASSERT_GE(slope[i], 0) << "x = " << x[i];
      ASSERT_LE(slope[i], 4.1 * std::exp(-std::min(2 * std::abs(x[i]), 87.0f))) << "x = " << x[i];
      continue;
    }
    worst_slope = std::max(worst_slope, std::abs(slope[i] * cosh * cosh - 1));
    ASSERT_LE(std::abs(slope[i] * cosh * cosh - 1), 6e-7 + exp_bound(2 * x[i])) << "x = " << x[i];
  }
  const float garbage = std::bit_cast<float>(0xffffffffu);
  for (const float nan : {kNaN, garbage}) {
    HWY_DYNAMIC_DISPATCH(tanh_array)(&nan, 1, tanh.data(), slope.data());
    EXPECT_TRUE(std::isnan(tanh[0]));
  }
  RecordProperty("worst_tanh", std::to_string(worst_tanh * 1e7) + "e-7");
  RecordProperty("worst_slope", std::to_string(worst_slope * 1e7) + "e-7");
}

}  // namespace
}  // namespace pref::kernels
#endif  // HWY_ONCE
