// SPDX-License-Identifier: Apache-2.0
// The blocks' shares of a sum over rows, added up in order.
#pragma once
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {

/// y[i] += partial[0, i] + partial[1, i] + ..., one thread a column.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    add_partial_columns(const float* partial, int64_t parts, int64_t width, float* y) {
  const int64_t i = flat_index(blockIdx.x, kThreads, threadIdx.x);
  if (i >= width) return;
  float sum = 0;
  for (int64_t part = 0; part < parts; ++part) sum += partial[row_begin(part, width) + i];
  y[i] += sum;
}

/// y [width] f32 += the sum of partial [parts, width] f32.
inline void add_partials(const char* where, const float* partial, int64_t parts, int64_t width,
                         float* y, Stream stream) {
  constexpr int kThreads = 256;
  if (parts > 0)
    launch(where, stream, {divide_up(width, kThreads), kThreads}, add_partial_columns<kThreads>,
           partial, parts, width, y);
}

}  // namespace pref::kernels::cuda
