// SPDX-License-Identifier: Apache-2.0
// One thread a row for a body that the kernels do not know: the objectives' losses are started
// through it (libpref/objectives/pair_loss.cu).
#pragma once
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {

template <class Body, int kThreads>
__global__ void __launch_bounds__(kThreads) run_each_row(Body body, int64_t rows) {
  const int64_t row = flat_index(blockIdx.x, kThreads, threadIdx.x);
  if (row < rows) body(row);
}

/// body(row) for every row; Body is copied to the device as it is.
template <class Body>
void for_each_row(const char* where, const Body& body, int64_t rows, Stream stream) {
  constexpr int kThreads = 64;
  launch(where, stream, {divide_up(rows, kThreads), kThreads}, run_each_row<Body, kThreads>, body,
         rows);
}

}  // namespace pref::kernels::cuda
