// SPDX-License-Identifier: Apache-2.0
// The blocks' shares of a sum over rows, added up in an order that their number alone decides.
#pragma once
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {

/// y[i] += the sum of partial[p, i] over p: a block takes a warp's width of columns, warp w the
/// parts w, w + warps, ..., and the warps' sums are added in their order. Few columns would keep few
/// threads busy with a walk over all parts.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    add_partial_columns(const float* partial, int64_t parts, int64_t width, float* y) {
  constexpr int kWarps = kThreads / kWarpSize;
  PREF_SHARED_ARRAY(float, sums, kThreads);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpSize;
  const int64_t i = flat_index(blockIdx.x, kWarpSize, static_cast<unsigned>(lane));
  float sum = 0;
  if (i < width)
    for (int64_t part = thread / kWarpSize; part < parts; part += kWarps)
      sum += partial[row_begin(part, width) + i];
  sums[thread] = sum;
  __syncthreads();
  if (thread >= kWarpSize || i >= width) return;
  for (int w = 1; w < kWarps; ++w) sum += sums[w * kWarpSize + lane];
  y[i] += sum;
}

/// y [width] f32 += the sum of partial [parts, width] f32.
inline void add_partials(const char* where, const float* partial, int64_t parts, int64_t width,
                         float* y, Stream stream) {
  constexpr int kThreads = 512;
  if (parts > 0)
    launch(where, stream, {divide_up(width, kWarpSize), kThreads}, add_partial_columns<kThreads>,
           partial, parts, width, y);
}

}  // namespace pref::kernels::cuda
