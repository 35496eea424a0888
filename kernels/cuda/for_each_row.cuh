// SPDX-License-Identifier: Apache-2.0
// Launches of bodies that the kernels do not know: the objectives' losses and couplings are started
// through them (libpref/objectives/pair_loss.cu).
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

template <class Body, int kThreads>
__global__ void __launch_bounds__(kThreads) run_one_block(Body body) {
  body();
}

/// body() by the threads of one block, which meet at its barriers.
template <class Body>
void in_one_block(const char* where, const Body& body, Stream stream) {
  constexpr int kThreads = 256;
  launch(where, stream, {1, kThreads}, run_one_block<Body, kThreads>, body);
}

}  // namespace pref::kernels::cuda
