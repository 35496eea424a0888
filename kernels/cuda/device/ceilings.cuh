// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/ceilings.h: a thread takes N vectors, a block's width apart.
#pragma once
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/platform.cuh"

namespace pref::kernels::cuda {

template <int N, int kThreads>
__global__ void __launch_bounds__(kThreads) copy_vectors(const uint4* x, uint4* y, int64_t count) {
  const int64_t first = flat_index(blockIdx.x, kThreads * N, threadIdx.x);
  if (first + (N - 1) * kThreads < count) {
    uint4 v[N];
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = load_streaming(x + first + k * kThreads);
#pragma unroll
    for (int k = 0; k < N; ++k) store_streaming(y + first + k * kThreads, v[k]);
  } else {
    for (int64_t i = first; i < count; i += kThreads) y[i] = x[i];
  }
}

template <int N, int kThreads>
__global__ void __launch_bounds__(kThreads)
    read_vectors(const uint4* x, int64_t count, uint32_t* out) {
  const int64_t first = flat_index(blockIdx.x, kThreads * N, threadIdx.x);
  uint32_t all = 0;
  const auto take = [&](const uint4& v) { all ^= v.x ^ v.y ^ v.z ^ v.w; };
  if (first + (N - 1) * kThreads < count) {
    uint4 v[N];
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = load_streaming(x + first + k * kThreads);
#pragma unroll
    for (int k = 0; k < N; ++k) take(v[k]);
  } else {
    for (int64_t i = first; i < count; i += kThreads) take(x[i]);
  }
#pragma unroll
  for (int bits = kWarpSize / 2; bits > 0; bits /= 2) all ^= __shfl_xor_sync(kAllLanes, all, bits);
  if (threadIdx.x % kWarpSize == 0)
    out[flat_index(blockIdx.x, kThreads / kWarpSize, threadIdx.x / kWarpSize)] = all;
}

template <int N, int kThreads>
__global__ void __launch_bounds__(kThreads) write_vectors(uint4* y, int64_t count, uint32_t word) {
  const int64_t first = flat_index(blockIdx.x, kThreads * N, threadIdx.x);
#pragma unroll
  for (int k = 0; k < N; ++k)
    if (first + k * kThreads < count)
      store_streaming(y + first + k * kThreads, {word, word, word, word});
}

}  // namespace pref::kernels::cuda
