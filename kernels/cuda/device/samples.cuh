// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/samples.h.
#pragma once
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/random.cuh"
#include "kernels/cuda/device/vector_io.cuh"

namespace pref::kernels::cuda {

template <class T, int N, int kThreads>
__global__ void __launch_bounds__(kThreads)
    fill_normal_range(T* x, int64_t count, float mean, float deviation, uint64_t seed) {
  const int64_t i = flat_index(blockIdx.x, kThreads, threadIdx.x) * N;
  float v[N];
#pragma unroll
  for (int e = 0; e < N; ++e) v[e] = fmaf(deviation, random_normal(seed, i + e), mean);
  if (i + N <= count) {
    store<N>(x + i, v);
  } else {
    for (int e = 0; e < N; ++e)
      if (i + e < count) x[i + e] = Elements<T>::round(v[e]);
  }
}

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    set_each(T* x, const int64_t* index, const float* value, int64_t count) {
  const int64_t i = flat_index(blockIdx.x, kThreads, threadIdx.x);
  if (i < count) x[index[i]] = Elements<T>::round(value[i]);
}

/// Additions of integers: their order does not matter. One thread takes a vector, the last one the
/// bytes that are left.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    add_fingerprint(const unsigned char* x, int64_t bytes, unsigned long long* sum) {
  const int64_t vectors = bytes / 16;
  const int64_t first = flat_index(blockIdx.x, kThreads, threadIdx.x);
  const int64_t step = int64_t{gridDim.x} * kThreads;
  uint64_t own = 0;
  for (int64_t i = first; i < vectors; i += step) {
    const uint4 v = load_streaming(reinterpret_cast<const uint4*>(x) + i);
    own += random_word(v.x | static_cast<uint64_t>(v.y) << 32, 2 * i);
    own += random_word(v.z | static_cast<uint64_t>(v.w) << 32, 2 * i + 1);
  }
  if (first == 0)
    for (int64_t i = vectors * 16; i < bytes; ++i) own += random_word(x[i], 2 * vectors + i);
  atomicAdd(sum, static_cast<unsigned long long>(own));
}

}  // namespace pref::kernels::cuda
