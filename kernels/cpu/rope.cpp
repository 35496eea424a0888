// SPDX-License-Identifier: Apache-2.0
// CPU side of kernels/rope.h: both halves of a head are rotated in one pass; turning back flips the
// sign of the sine.
#include "kernels/rope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pref::kernels {
namespace HWY_NAMESPACE {
namespace {

void rope_rotate_simd(float* x, int64_t tokens, int64_t stride, int64_t heads, int64_t head_dim,
                      const int64_t* positions, const float* cosine, const float* sine,
                      int direction) {
  const FloatTag d;
  const int64_t half = head_dim / 2;
  const auto turn = hn::Set(d, direction < 0 ? -1.0f : 1.0f);
  for (int64_t token = 0; token < tokens; ++token) {
    const float* token_cosine = cosine + positions[token] * half;
    const float* token_sine = sine + positions[token] * half;
    for (int64_t head = 0; head < heads; ++head) {
      float* low = x + token * stride + head * head_dim;
      float* high = low + half;
      for_vectors(d, half, [&](int64_t i, auto access) HWY_ATTR {
        const auto c = access.load(d, token_cosine + i);
        const auto s = hn::Mul(turn, access.load(d, token_sine + i));
        const auto a = access.load(d, low + i);
        const auto b = access.load(d, high + i);
        access.store(d, hn::NegMulAdd(b, s, hn::Mul(a, c)), low + i);
        access.store(d, hn::MulAdd(a, s, hn::Mul(b, c)), high + i);
      });
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace pref::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pref::kernels {

HWY_EXPORT(rope_rotate_simd);

void rope_rotate(float* x, int64_t tokens, int64_t stride, int64_t heads, int64_t head_dim,
                 const int64_t* positions, const float* cosine, const float* sine, int direction) {
  HWY_DYNAMIC_DISPATCH(rope_rotate_simd)
  (x, tokens, stride, heads, head_dim, positions, cosine, sine, direction);
}

}  // namespace pref::kernels
#endif  // HWY_ONCE
