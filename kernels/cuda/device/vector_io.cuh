// SPDX-License-Identifier: Apache-2.0
// f32 and bf16 elements to and from f32 registers, one at a time or sixteen bytes at a time.
// Rounding to bf16 is to nearest, ties to even; NaN stays NaN.
#pragma once
#include "kernels/cuda/device/platform.cuh"

namespace pref::kernels::cuda {

PREF_DEVICE float to_float(float x) { return x; }
PREF_DEVICE float to_float(BF16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }

PREF_DEVICE uint16_t bf16_bits(float x) {
#if defined(__CUDA_ARCH__)
  uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
#else
  const uint32_t bits = bits_of(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
#endif
}

/// Two neighbours, the first in the lower half.
PREF_DEVICE uint32_t bf16_pair_bits(float first, float second) {
#if defined(__CUDA_ARCH__)
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
  return bits;
#else
  return bf16_bits(first) | static_cast<uint32_t>(bf16_bits(second)) << 16;
#endif
}

template <class T>
struct Elements;

template <>
struct Elements<float> {
  static constexpr int kPerVector = 4;
  static PREF_DEVICE float round(float x) { return x; }
  static PREF_DEVICE void unpack(const uint4& v, float (&x)[4]) {
    x[0] = float_of(v.x), x[1] = float_of(v.y), x[2] = float_of(v.z), x[3] = float_of(v.w);
  }
  static PREF_DEVICE uint4 pack(const float (&x)[4]) {
    return {bits_of(x[0]), bits_of(x[1]), bits_of(x[2]), bits_of(x[3])};
  }
};

template <>
struct Elements<BF16> {
  static constexpr int kPerVector = 8;
  static PREF_DEVICE BF16 round(float x) { return {bf16_bits(x)}; }
  static PREF_DEVICE void unpack(const uint4& v, float (&x)[8]) {
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x[2 * i] = float_of(words[i] << 16);
      x[2 * i + 1] = float_of(words[i] & 0xffff0000u);
    }
  }
  static PREF_DEVICE uint4 pack(const float (&x)[8]) {
    return {bf16_pair_bits(x[0], x[1]), bf16_pair_bits(x[2], x[3]), bf16_pair_bits(x[4], x[5]),
            bf16_pair_bits(x[6], x[7])};
  }
};

/// N neighbours at p: one element, or sixteen-byte vectors (p aligned, N a multiple of theirs).
template <int N, class T>
PREF_DEVICE void load(const T* p, float (&x)[N]) {
  if constexpr (N == 1) {
    x[0] = to_float(*p);
  } else {
    constexpr int kPer = Elements<T>::kPerVector;
    static_assert(N % kPer == 0);
#pragma unroll
    for (int v = 0; v < N / kPer; ++v) {
      float part[kPer];
      Elements<T>::unpack(reinterpret_cast<const uint4*>(p)[v], part);
#pragma unroll
      for (int i = 0; i < kPer; ++i) x[v * kPer + i] = part[i];
    }
  }
}
template <int N, class T>
PREF_DEVICE void store(T* p, const float (&x)[N]) {
  if constexpr (N == 1) {
    *p = Elements<T>::round(x[0]);
  } else {
    constexpr int kPer = Elements<T>::kPerVector;
    static_assert(N % kPer == 0);
#pragma unroll
    for (int v = 0; v < N / kPer; ++v) {
      float part[kPer];
#pragma unroll
      for (int i = 0; i < kPer; ++i) part[i] = x[v * kPer + i];
      reinterpret_cast<uint4*>(p)[v] = Elements<T>::pack(part);
    }
  }
}

}  // namespace pref::kernels::cuda
