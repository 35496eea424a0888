// SPDX-License-Identifier: Apache-2.0
// CPU side of kernels/rms_norm.h. Two passes over a row, the second from cache; the row's sums are
// lanes of f32 joined in double. With n = x inverse_rms and g = dy weight:  dx = inverse_rms (g - n
// mean(g n)),  d_weight += dy n.
#include "kernels/rms_norm.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rms_norm.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pref::kernels {
namespace HWY_NAMESPACE {
namespace {

// sum over i < count of term(i, access, accumulator), in four accumulators so that additions
// overlap.
template <class Term>
HWY_INLINE double sum_terms(FloatTag d, int64_t count, const Term& term) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    sum0 = term(i, WholeVector(), sum0);
    sum1 = term(i + lanes, WholeVector(), sum1);
    sum2 = term(i + 2 * lanes, WholeVector(), sum2);
    sum3 = term(i + 3 * lanes, WholeVector(), sum3);
  }
  for (; i + lanes <= count; i += lanes) sum0 = term(i, WholeVector(), sum0);
  if (i < count) sum1 = term(i, PartVector{count - i}, sum1);
  return sum_lanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3)));
}

void rms_norm_forward_simd(const float* x, int64_t rows, int64_t width, int64_t stride_x,
                           const float* weight, float eps, float* y, int64_t stride_y,
                           float* inverse_rms) {
  const FloatTag d;
  for (int64_t row = 0; row < rows; ++row) {
    const float* in = x + row * stride_x;
    float* out = y + row * stride_y;
    const double squares = sum_terms(d, width, [&](int64_t i, auto access, FloatVec sum) HWY_ATTR {
      const auto v = access.load(d, in + i);
      return hn::MulAdd(v, v, sum);
    });
    const float inverse =
        static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(width) + eps));
    inverse_rms[row] = inverse;
    const auto factor = hn::Set(d, inverse);
    for_vectors(d, width, [&](int64_t i, auto access) HWY_ATTR {
      const auto normalized = hn::Mul(access.load(d, in + i), factor);
      access.store(d, hn::Mul(normalized, access.load(d, weight + i)), out + i);
    });
  }
}

template <bool kAccumulate>
void rms_norm_backward_rows(const float* dy, int64_t stride_dy, const float* x, int64_t stride_x,
                            const float* weight, const float* inverse_rms, int64_t rows,
                            int64_t width, float* dx, int64_t stride_dx, float* d_weight) {
  const FloatTag d;
  for (int64_t row = 0; row < rows; ++row) {
    const float* in = x + row * stride_x;
    const float* d_out = dy + row * stride_dy;
    float* d_in = dx + row * stride_dx;
    const float inverse = inverse_rms[row];
    const double dot = sum_terms(d, width, [&](int64_t i, auto access, FloatVec sum) HWY_ATTR {
      const auto g = hn::Mul(access.load(d, d_out + i), access.load(d, weight + i));
      return hn::MulAdd(g, access.load(d, in + i), sum);
    });
    // mean(g n) n = x inverse_rms^2 mean(g x)
    const auto along =
        hn::Set(d, static_cast<float>(dot * inverse * inverse / static_cast<double>(width)));
    const auto factor = hn::Set(d, inverse);
    for_vectors(d, width, [&](int64_t i, auto access) HWY_ATTR {
      const auto v = access.load(d, in + i);
      const auto u = access.load(d, d_out + i);
      const auto g = hn::Mul(u, access.load(d, weight + i));
      const auto across = hn::NegMulAdd(v, along, g);
      if constexpr (kAccumulate) {
        access.store(d, hn::MulAdd(factor, across, access.load(d, d_in + i)), d_in + i);
      } else {
        access.store(d, hn::Mul(factor, across), d_in + i);
      }
      access.store(d, hn::MulAdd(u, hn::Mul(v, factor), access.load(d, d_weight + i)),
                   d_weight + i);
    });
  }
}

void rms_norm_backward_simd(const float* dy, int64_t stride_dy, const float* x, int64_t stride_x,
                            const float* weight, const float* inverse_rms, int64_t rows,
                            int64_t width, float* dx, int64_t stride_dx, bool accumulate_dx,
                            float* d_weight) {
  const auto run = accumulate_dx ? rms_norm_backward_rows<true> : rms_norm_backward_rows<false>;
  run(dy, stride_dy, x, stride_x, weight, inverse_rms, rows, width, dx, stride_dx, d_weight);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace pref::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pref::kernels {

HWY_EXPORT(rms_norm_forward_simd);
HWY_EXPORT(rms_norm_backward_simd);

void rms_norm_forward(const float* x, int64_t rows, int64_t width, int64_t stride_x,
                      const float* weight, float eps, float* y, int64_t stride_y,
                      float* inverse_rms) {
  HWY_DYNAMIC_DISPATCH(rms_norm_forward_simd)
  (x, rows, width, stride_x, weight, eps, y, stride_y, inverse_rms);
}

void rms_norm_backward(const float* dy, int64_t stride_dy, const float* x, int64_t stride_x,
                       const float* weight, const float* inverse_rms, int64_t rows, int64_t width,
                       float* dx, int64_t stride_dx, bool accumulate_dx, float* d_weight) {
  HWY_DYNAMIC_DISPATCH(rms_norm_backward_simd)
  (dy, stride_dy, x, stride_x, weight, inverse_rms, rows, width, dx, stride_dx, accumulate_dx,
   d_weight);
}

}  // namespace pref::kernels
#endif  // HWY_ONCE
