// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/norm.h.
#include "kernels/cuda/norm.h"

#include "kernels/cuda/device/norm.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// By the count alone, so that sums are the same on every card.
int64_t blocks_for(int64_t count) {
  return std::min<int64_t>(divide_up(count, kThreads * kVector), 1024);
}

}  // namespace

int64_t sum_of_squares_workspace(int64_t count) { return blocks_for(count); }

void sum_of_squares(ConstPointer x, int64_t count, double* workspace, double* total,
                    Stream stream) {
  const char* where = "sum_of_squares";
  const int64_t blocks = blocks_for(count);
  if (blocks == 0) return;
  with_type(x.type, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    // Single elements where the address is odd are dealt out differently, so that is refused.
    require(rows_aligned(x, 0), ErrorKind::option, where,
            "an array that begins on a sixteen-byte boundary is required.");
    launch(where, stream, {blocks, kThreads}, square_sums<T, kVector, kThreads>,
           static_cast<const T*>(x.data), count, workspace);
  });
  launch(where, stream, {1, kThreads}, add_square_sums<kThreads>, workspace, blocks, total);
}

void clip_factor(const double* total, double max_norm, float* norm, float* factor, int* non_finite,
                 Stream stream) {
  launch("clip_factor", stream, {1, 1}, write_clip_factor<1>, total, max_norm, norm, factor,
         non_finite);
}

void flag_non_finite(ConstPointer x, int64_t count, int* flag, Stream stream) {
  with_type(x.type, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    with_vectors(rows_aligned(x, 0), 0, [&](auto n) {
      launch("flag_non_finite", stream, {blocks_for(count), kThreads},
             find_non_finite<T, decltype(n)::value, kThreads>, static_cast<const T*>(x.data), count,
             flag);
    });
  });
}

}  // namespace pref::kernels::cuda
