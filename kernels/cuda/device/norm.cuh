// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/norm.h.
#pragma once
#include <cfloat>
#include <cmath>

#include "kernels/cuda/device/block_sum.cuh"
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/vector_io.cuh"

namespace pref::kernels::cuda {

/// Calls f(values) with N elements at a time for this thread's share of x: pieces of N dealt out in
/// turn, the last one filled up with zeros.
template <int N, class T, class F>
__device__ __forceinline__ void for_each_piece(const T* x, int64_t count, int64_t thread,
                                               int64_t threads, const F& f) {
  for (int64_t i = thread * N; i < count; i += threads * N) {
    float v[N] = {};
    if (i + N <= count) {
      load<N>(x + i, v);
    } else {
      for (int e = 0; e < N; ++e)
        if (i + e < count) v[e] = to_float(x[i + e]);
    }
    f(v);
  }
}

template <class T, int N, int kThreads>
__global__ void __launch_bounds__(kThreads)
    square_sums(const T* x, int64_t count, double* partial) {
  double sum = 0;
  for_each_piece<N>(x, count, flat_index(blockIdx.x, kThreads, threadIdx.x),
                    int64_t{gridDim.x} * kThreads, [&](const float(&v)[N]) {
                      float squares = 0;
#pragma unroll
                      for (int e = 0; e < N; ++e) squares = fmaf(v[e], v[e], squares);
                      sum += static_cast<double>(squares);
                    });
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// One block.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    add_square_sums(const double* partial, int64_t parts, double* total) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < parts; i += kThreads) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total += sum;
}

/// One thread.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    write_clip_factor(const double* total, double max_norm, float* norm, float* factor,
                      int* non_finite) {
  const double length = sqrt(*total);
  const bool finite = length <= DBL_MAX;
  *norm = static_cast<float>(length);
  if (!finite) *non_finite = 1;
  const double wanted = max_norm / (length + 1e-6);
  *factor = !finite ? 0.0f : max_norm > 0 && wanted < 1 ? static_cast<float>(wanted) : 1.0f;
}

template <class T, int N, int kThreads>
__global__ void __launch_bounds__(kThreads) find_non_finite(const T* x, int64_t count, int* flag) {
  float poison = 0;  // x - x is 0 for what is finite, else NaN
  for_each_piece<N>(x, count, flat_index(blockIdx.x, kThreads, threadIdx.x),
                    int64_t{gridDim.x} * kThreads, [&](const float(&v)[N]) {
#pragma unroll
                      for (int e = 0; e < N; ++e) poison += v[e] - v[e];
                    });
  if (poison != 0) atomicOr(flag, 1);
}

}  // namespace pref::kernels::cuda
