// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/rms_norm.h. A block a row; the second walk over a row reads what the
// first left in the cache. With n = x inverse_rms and g = dy weight:
//   dx = inverse_rms (g - n mean(g n)),  d_weight += dy n
#pragma once
#include "kernels/cuda/device/block_sum.cuh"
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/vector_io.cuh"

namespace pref::kernels::cuda {

template <class T, int N>
__global__ void __launch_bounds__(256)
    rms_norm_rows(const T* x, const T* residual, T* sum, int64_t width, int64_t stride_x,
                  const T* weight, float eps, T* y, int64_t stride_y, float* inverse_rms) {
  const int64_t first = int64_t{threadIdx.x} * N, step = int64_t{blockDim.x} * N;
  const int64_t begin = row_begin(blockIdx.x, stride_x);
  float squares = 0;
  for (int64_t i = first; i < width; i += step) {
    float v[N];
    load<N>(x + begin + i, v);
    if (residual) {
      float r[N];
      load<N>(residual + begin + i, r);
#pragma unroll
      for (int e = 0; e < N; ++e) v[e] = to_float(Elements<T>::round(v[e] + r[e]));
      store<N>(sum + begin + i, v);
    }
#pragma unroll
    for (int e = 0; e < N; ++e) squares = fmaf(v[e], v[e], squares);
  }
  const float mean = block_sum(squares) / static_cast<float>(width);
  const float inverse = 1.0f / sqrtf(mean + eps);
  if (threadIdx.x == 0) inverse_rms[blockIdx.x] = inverse;
  const T* normalised = residual ? sum : x;  // of `sum`, each thread reads what it wrote itself
  for (int64_t i = first; i < width; i += step) {
    float v[N], w[N];
    load<N>(normalised + begin + i, v);
    load<N>(weight + i, w);
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] *= inverse * w[e];
    store<N>(y + row_begin(blockIdx.x, stride_y) + i, v);
  }
}

/// Block b takes rows b, b + blocks, ...; its share of d_weight grows in shared memory, where every
/// thread keeps the columns that it alone walks.
template <class T, int N>
__global__ void __launch_bounds__(256)
    rms_norm_backward_rows(const T* dy, int64_t stride_dy, const T* x, int64_t stride_x,
                           const T* weight, const float* inverse_rms, int64_t rows, int64_t width,
                           T* dx, int64_t stride_dx, bool accumulate_dx, float* partial) {
  PREF_DYNAMIC_SHARED(float, d_weight);
  const int64_t first = int64_t{threadIdx.x} * N, step = int64_t{blockDim.x} * N;
  for (int64_t i = first; i < width; i += step)
#pragma unroll
    for (int e = 0; e < N; ++e) d_weight[i + e] = 0;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* x_row = x + row_begin(row, stride_x);
    const T* dy_row = dy + row_begin(row, stride_dy);
    T* dx_row = dx + row_begin(row, stride_dx);
    float dot = 0;
    for (int64_t i = first; i < width; i += step) {
      float v[N], u[N], w[N];
      load<N>(x_row + i, v);
      load<N>(dy_row + i, u);
      load<N>(weight + i, w);
#pragma unroll
      for (int e = 0; e < N; ++e) dot = fmaf(u[e] * w[e], v[e], dot);
    }
    const float inverse = inverse_rms[row];
    const float along = block_sum(dot) * inverse * inverse / static_cast<float>(width);
    for (int64_t i = first; i < width; i += step) {
      float v[N], u[N], w[N], out[N];
      load<N>(x_row + i, v);
      load<N>(dy_row + i, u);
      load<N>(weight + i, w);
      if (accumulate_dx) load<N>(dx_row + i, out);
#pragma unroll
      for (int e = 0; e < N; ++e) {
        const float across = inverse * fmaf(-v[e], along, u[e] * w[e]);
        out[e] = accumulate_dx ? out[e] + across : across;
        d_weight[i + e] = fmaf(u[e], v[e] * inverse, d_weight[i + e]);
      }
      store<N>(dx_row + i, out);
    }
    __syncthreads();  // block_sum's memory is free for the next row
  }
  for (int64_t i = first; i < width; i += step)
#pragma unroll
    for (int e = 0; e < N; ++e) partial[row_begin(blockIdx.x, width) + i + e] = d_weight[i + e];
}

}  // namespace pref::kernels::cuda
