// SPDX-License-Identifier: Apache-2.0
// The one place that knows whether nvcc or g++ compiles a kernel: qualifiers, shared memory, and
// the instructions that have no portable name, each with a plain twin. Under g++ the names come
// from tests/simt, which runs the very same bodies on the CPU.
#pragma once
#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define PREF_SHARED_ARRAY(T, name, count) __shared__ T name[count]
#define PREF_DYNAMIC_SHARED(T, name)                            \
  extern __shared__ __align__(16) unsigned char pref_shared_[]; \
  T* const name = reinterpret_cast<T*>(pref_shared_)
#else
#include <simt_device.h>
#endif

#include <cstdint>
#include <cstring>

#include "kernels/cuda/types.h"

#define PREF_DEVICE __host__ __device__ __forceinline__

namespace pref::kernels::cuda {

inline constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
inline constexpr int kWarpSize = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

PREF_DEVICE uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
PREF_DEVICE float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// 2^x, one instruction; relative error about 2^-22, results below 2^-126 are 0.
PREF_DEVICE float exp2_fast(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return x < -126.0f ? 0.0f : exp2f(x);
#endif
}

/// a / b, relative error about 2^-22; b within 2^-126 ... 2^126.
PREF_DEVICE float divide_fast(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

/// The cosine of `turns` full turns, without the slow path that an angle in radians needs.
PREF_DEVICE float cosine_of_turns(float turns) {
#if defined(__CUDA_ARCH__)
  return cospif(2 * turns);
#else
  return cosf(6.283185307f * turns);
#endif
}

/// A read that will not be repeated: kept out of the way of what will.
PREF_DEVICE uint4 load_streaming(const uint4* p) {
#if defined(__CUDA_ARCH__)
  return __ldcs(p);
#else
  return *p;
#endif
}
PREF_DEVICE void store_streaming(uint4* p, uint4 v) {
#if defined(__CUDA_ARCH__)
  __stcs(p, v);
#else
  *p = v;
#endif
}

}  // namespace pref::kernels::cuda
