// SPDX-License-Identifier: Apache-2.0
// CPU side of kernels/swiglu.h. With e = e^-|g|, sigma(g) and 1 - sigma(g) are 1 / (1 + e) and e /
// (1 + e) in the order that g's sign gives, so neither tail cancels or overflows.
#include "kernels/swiglu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/swiglu.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pref::kernels {
namespace HWY_NAMESPACE {
namespace {

struct Sigmoid {
  FloatVec value, rest;  ///< sigma(g), 1 - sigma(g)
};

HWY_INLINE Sigmoid sigmoid_of(FloatTag d, FloatVec g) {
  const auto one = hn::Set(d, 1.0f);
  const auto e = exp_of(d, hn::Neg(hn::Abs(g)));
  const auto large = hn::Div(one, hn::Add(one, e));
  const auto small = hn::Mul(e, large);
  const auto negative = hn::Lt(g, hn::Zero(d));
  return {hn::IfThenElse(negative, small, large), hn::IfThenElse(negative, large, small)};
}

void swiglu_forward_simd(const float* gate_up, int64_t rows, int64_t width, float* y) {
  const FloatTag d;
  for (int64_t row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * width;
    const float* up = gate + width;
    float* out = y + row * width;
    for_vectors(d, width, [&](int64_t i, auto access) HWY_ATTR {
      const auto g = access.load(d, gate + i);
      const auto silu = hn::Mul(g, sigmoid_of(d, g).value);
      access.store(d, hn::Mul(silu, access.load(d, up + i)), out + i);
    });
  }
}

void swiglu_backward_simd(const float* dy, const float* gate_up, int64_t rows, int64_t width,
                          float* d_gate_up) {
  const FloatTag d;
  const auto one = hn::Set(d, 1.0f);
  for (int64_t row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * width;
    const float* up = gate + width;
    const float* d_out = dy + row * width;
    float* d_gate = d_gate_up + row * 2 * width;
    float* d_up = d_gate + width;
    for_vectors(d, width, [&](int64_t i, auto access) HWY_ATTR {
      const auto g = access.load(d, gate + i);
      const auto u = access.load(d, up + i);
      const auto v = access.load(d, d_out + i);
      const Sigmoid sigma = sigmoid_of(d, g);
      // d silu / dg = sigma (1 + g (1 - sigma))
      const auto slope = hn::Mul(sigma.value, hn::MulAdd(g, sigma.rest, one));
      access.store(d, hn::Mul(hn::Mul(v, u), slope), d_gate + i);
      access.store(d, hn::Mul(v, hn::Mul(g, sigma.value)), d_up + i);
    });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace pref::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pref::kernels {

HWY_EXPORT(swiglu_forward_simd);
HWY_EXPORT(swiglu_backward_simd);

void swiglu_forward(const float* gate_up, int64_t rows, int64_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(swiglu_forward_simd)(gate_up, rows, width, y);
}

void swiglu_backward(const float* dy, const float* gate_up, int64_t rows, int64_t width,
                     float* d_gate_up) {
  HWY_DYNAMIC_DISPATCH(swiglu_backward_simd)(dy, gate_up, rows, width, d_gate_up);
}

}  // namespace pref::kernels
#endif  // HWY_ONCE
