// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/head_norm.h. A team of lanes, a power of two within a warp, takes a head of
// a row; heads of a row lie side by side, so that neighbouring teams read neighbouring memory. The
// formulas are those of rms_norm.cuh.
#pragma once
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/vector_io.cuh"

namespace pref::kernels::cuda {

inline constexpr int kHeadThreads = 256;

/// The sum over a team, the same on each of its lanes; every lane of the warp calls it.
__device__ __forceinline__ float team_sum(float x, int team) {
  for (int bits = team / 2; bits > 0; bits /= 2) x += __shfl_xor_sync(kAllLanes, x, bits);
  return x;
}

/// Head i of all heads, row by row: below 2^31, for a division of 64 bits costs as much as the rest.
struct HeadPlace {
  uint32_t row, head;
  PREF_DEVICE HeadPlace(uint32_t i, uint32_t heads) : row(i / heads), head(i - row * heads) {}
  PREF_DEVICE int64_t begin(int64_t stride, int64_t width) const {
    return row_begin(row, stride) + row_begin(head, width);
  }
  PREF_DEVICE int64_t statistic(int64_t rows) const { return row_begin(head, rows) + row; }
};

template <class T, int N>
__global__ void __launch_bounds__(kHeadThreads)
    head_norm_rows(const T* x, int64_t stride_x, uint32_t rows, uint32_t heads, int64_t width,
                   int team, const T* weight, float eps, T* y, int64_t stride_y,
                   float* inverse_rms) {
  const auto i = blockIdx.x * (kHeadThreads / team) + threadIdx.x / team;
  const bool there = i < rows * heads;
  const HeadPlace place(there ? i : 0, heads);
  const int64_t first = static_cast<int>(threadIdx.x) % team * N, step = int64_t{team} * N;
  const T* x_head = x + place.begin(stride_x, width);
  float squares = 0;
  for (int64_t c = first; there && c < width; c += step) {
    float v[N];
    load<N>(x_head + c, v);
#pragma unroll
    for (int e = 0; e < N; ++e) squares = fmaf(v[e], v[e], squares);
  }
  const float mean = team_sum(squares, team) / static_cast<float>(width);
  if (!there) return;
  const float inverse = 1.0f / sqrtf(mean + eps);
  if (first == 0) inverse_rms[place.statistic(rows)] = inverse;
  T* y_head = y + place.begin(stride_y, width);
  for (int64_t c = first; c < width; c += step) {
    float v[N], w[N];
    load<N>(x_head + c, v);
    load<N>(weight + c, w);
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] *= inverse * w[e];
    store<N>(y_head + c, v);
  }
}

/// The teams of all blocks take turns over the heads. A team's share of d_weight grows in shared
/// memory, where every lane keeps the columns that it alone walks; then a block adds its teams'.
template <class T, int N>
__global__ void __launch_bounds__(kHeadThreads)
    head_norm_backward_rows(const T* dy, int64_t stride_dy, const T* x, int64_t stride_x,
                            uint32_t rows, uint32_t heads, int64_t width, int team, const T* weight,
                            const float* inverse_rms, T* dx, int64_t stride_dx, float* partial) {
  PREF_DYNAMIC_SHARED(float, shares);
  const uint32_t teams = kHeadThreads / team, own = threadIdx.x / team;
  const int64_t first = static_cast<int>(threadIdx.x) % team * N, step = int64_t{team} * N;
  const int64_t share = own * width;
  for (int64_t c = first; c < width; c += step)
#pragma unroll
    for (int e = 0; e < N; ++e) shares[share + c + e] = 0;
  const uint32_t count = rows * heads, turn = gridDim.x * teams;
  for (uint32_t begin = blockIdx.x * teams; begin < count; begin += turn) {
    const bool there = begin + own < count;
    const HeadPlace place(there ? begin + own : 0, heads);
    const T* x_head = x + place.begin(stride_x, width);
    const T* dy_head = dy + place.begin(stride_dy, width);
    float dot = 0;
    for (int64_t c = first; there && c < width; c += step) {
      float v[N], u[N], w[N];
      load<N>(x_head + c, v);
      load<N>(dy_head + c, u);
      load<N>(weight + c, w);
#pragma unroll
      for (int e = 0; e < N; ++e) dot = fmaf(u[e] * w[e], v[e], dot);
    }
    const float sum = team_sum(dot, team);
    if (!there) continue;
    const float inverse = inverse_rms[place.statistic(rows)];
    const float along = sum * inverse * inverse / static_cast<float>(width);
    T* dx_head = dx + place.begin(stride_dx, width);
    for (int64_t c = first; c < width; c += step) {
      float v[N], u[N], w[N], out[N];
      load<N>(x_head + c, v);
      load<N>(dy_head + c, u);
      load<N>(weight + c, w);
#pragma unroll
      for (int e = 0; e < N; ++e) {
        out[e] = inverse * fmaf(-v[e], along, u[e] * w[e]);
        shares[share + c + e] = fmaf(u[e], v[e] * inverse, shares[share + c + e]);
      }
      store<N>(dx_head + c, out);
    }
  }
  __syncthreads();  // every team's share is there
  for (int64_t c = threadIdx.x; c < width; c += kHeadThreads) {
    float sum = 0;
    for (uint32_t t = 0; t < teams; ++t) sum += shares[t * width + c];
    partial[row_begin(blockIdx.x, width) + c] = sum;
  }
}

}  // namespace pref::kernels::cuda
