// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/rows.h: a block a row; N elements a thread (one vector or one element).
#pragma once
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/vector_io.cuh"

namespace pref::kernels::cuda {

/// Stride and width in units: sixteen-byte vectors, or elements by their bits.
template <class Unit>
__global__ void gather_row(const Unit* x, int64_t stride_x, int64_t width, const int64_t* index,
                           Unit* out) {
  const Unit* from = x + row_begin(index[blockIdx.x], stride_x);
  Unit* to = out + row_begin(blockIdx.x, width);
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) to[i] = from[i];
}

template <class X, class R, int N>
__global__ void sum_row_group(X* x, int64_t stride_x, int64_t width, const int64_t* target,
                              const int64_t* begin, const int64_t* source, const R* rows,
                              bool accumulate) {
  const int64_t group = blockIdx.x;
  X* to = x + row_begin(target ? target[group] : group, stride_x);
  const int64_t first = begin[group], last = begin[group + 1];
  for (int64_t i = int64_t{threadIdx.x} * N; i < width; i += int64_t{blockDim.x} * N) {
    float sum[N] = {};
    if (accumulate) load<N>(to + i, sum);
    for (int64_t k = first; k < last; ++k) {
      float x_k[N];
      load<N>(rows + row_begin(source[k], width) + i, x_k);
#pragma unroll
      for (int e = 0; e < N; ++e) sum[e] += x_k[e];
    }
    store<N>(to + i, sum);
  }
}

}  // namespace pref::kernels::cuda
