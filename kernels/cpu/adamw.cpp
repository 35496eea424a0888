// SPDX-License-Identifier: Apache-2.0
// CPU side of kernels/adamw.h: one read of four buffers and one write of three per step, which is
// what the step costs. The step's factors are formed in double and rounded once.
#include "kernels/adamw.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pref::kernels {
namespace HWY_NAMESPACE {
namespace {

void adamw_update_simd(float* weight, const float* gradient, float* exp_avg, float* exp_avg_sq,
                       int64_t count, const AdamWStep& step) {
  const FloatTag d;
  const double t = static_cast<double>(step.step);
  const auto factor = [d](double value) HWY_ATTR { return hn::Set(d, static_cast<float>(value)); };
  const auto gradient_scale = factor(step.gradient_scale);
  const auto beta1 = factor(step.beta1), rest1 = factor(1 - step.beta1);
  const auto beta2 = factor(step.beta2), rest2 = factor(1 - step.beta2);
  const auto eps = factor(step.eps);
  const auto decay = factor(step.learning_rate * step.weight_decay);
  // -expm1(t log b) = 1 - b^t, exact also when b is close to 1.
  const auto size = factor(step.learning_rate / -std::expm1(t * std::log(step.beta1)));
  const auto inverse_correction2 = factor(1 / -std::expm1(t * std::log(step.beta2)));
  for_vectors(d, count, [&](int64_t i, auto access) HWY_ATTR {
    const auto g = hn::Mul(access.load(d, gradient + i), gradient_scale);
    const auto m = hn::MulAdd(beta1, access.load(d, exp_avg + i), hn::Mul(rest1, g));
    const auto v = hn::MulAdd(beta2, access.load(d, exp_avg_sq + i), hn::Mul(hn::Mul(rest2, g), g));
    const auto w = access.load(d, weight + i);
    const auto denominator = hn::Add(hn::Sqrt(hn::Mul(v, inverse_correction2)), eps);
    // Decay and step are joined before they meet w, so that w is rounded once.
    const auto change = hn::MulAdd(decay, w, hn::Div(hn::Mul(size, m), denominator));
    access.store(d, m, exp_avg + i);
    access.store(d, v, exp_avg_sq + i);
    access.store(d, hn::Sub(w, change), weight + i);
  });
}

double sum_of_squares_simd(const float* x, int64_t count) {
  constexpr int64_t kBlock = 4096;
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> half;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(dd));
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const float* block = x + begin;
    const int64_t size = std::min(kBlock, count - begin);
    auto sum0 = hn::Zero(dd), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    int64_t i = 0;
    for (; i + 4 * lanes <= size; i += 4 * lanes) {
      const auto x0 = hn::PromoteTo(dd, hn::LoadU(half, block + i));
      const auto x1 = hn::PromoteTo(dd, hn::LoadU(half, block + i + lanes));
      const auto x2 = hn::PromoteTo(dd, hn::LoadU(half, block + i + 2 * lanes));
      const auto x3 = hn::PromoteTo(dd, hn::LoadU(half, block + i + 3 * lanes));
      sum0 = hn::MulAdd(x0, x0, sum0);
      sum1 = hn::MulAdd(x1, x1, sum1);
      sum2 = hn::MulAdd(x2, x2, sum2);
      sum3 = hn::MulAdd(x3, x3, sum3);
    }
    double rest = 0;
    for (; i < size; ++i) rest += static_cast<double>(block[i]) * static_cast<double>(block[i]);
    const auto sum = hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3));
    total += hn::GetLane(hn::SumOfLanes(dd, sum)) + rest;
  }
  return total;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace pref::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pref::kernels {

HWY_EXPORT(adamw_update_simd);
HWY_EXPORT(sum_of_squares_simd);

void adamw_update(float* weight, const float* gradient, float* exp_avg, float* exp_avg_sq,
                  int64_t count, const AdamWStep& step) {
  HWY_DYNAMIC_DISPATCH(adamw_update_simd)(weight, gradient, exp_avg, exp_avg_sq, count, step);
}

double sum_of_squares(const float* x, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(sum_of_squares_simd)(x, count);
}

}  // namespace pref::kernels
#endif  // HWY_ONCE
