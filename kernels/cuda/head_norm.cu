// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/head_norm.h.
#include "kernels/cuda/head_norm.h"

#include "kernels/cuda/device/add_partials.cuh"
#include "kernels/cuda/device/head_norm.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {
namespace {

constexpr int64_t kMaxWidth = 1024;  // eight teams' shares are 32 KiB

constexpr int64_t kMaxHeads = 0x7ffeffff;  // a turn of all teams more is still below 2^31

// Lanes that take one head: as many as have something to do.
int team_for(int64_t width, int per_lane) {
  int team = 1;
  while (team < kWarpSize && team * per_lane < width) team *= 2;
  return team;
}

// By the shape alone, so that sums are the same on every card and for every type.
int64_t backward_blocks(const HeadShape& shape) {
  constexpr int64_t kHeadsPerBlock = 32;
  return std::min<int64_t>(divide_up(shape.rows * shape.heads, kHeadsPerBlock), 512);
}

void check(const char* where, const HeadShape& shape, std::initializer_list<int64_t> strides) {
  require(shape.width > 0 && shape.width <= kMaxWidth && shape.heads > 0, ErrorKind::option, where,
          "heads of 1 to ", kMaxWidth, " columns are required, got ", shape.heads, " of ",
          shape.width, ".");
  require(shape.rows * shape.heads <= kMaxHeads, ErrorKind::option, where, "at most ", kMaxHeads,
          " heads of all rows are possible, got ", shape.rows, " x ", shape.heads, ".");
  for (const int64_t stride : strides)
    require(stride >= shape.heads * shape.width, ErrorKind::option, where, "a stride of at least ",
            shape.heads * shape.width, " is required, got ", stride, ".");
}

}  // namespace

void head_norm_forward(ConstPointer x, int64_t stride_x, const HeadShape& shape, const void* weight,
                       float eps, void* y, int64_t stride_y, float* inverse_rms, Stream stream) {
  const char* where = "head_norm_forward";
  check(where, shape, {stride_x, stride_y});
  const auto rows = static_cast<uint32_t>(shape.rows), heads = static_cast<uint32_t>(shape.heads);
  with_type(x.type, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const bool aligned = rows_aligned(x, stride_x) && rows_aligned({y, x.type}, stride_y) &&
                         rows_aligned({weight, x.type}, 0);
    with_vectors(aligned, shape.width, [&](auto n) {
      constexpr int kN = decltype(n)::value;
      const int team = team_for(shape.width, kN);
      launch(
          where, stream, {divide_up(shape.rows * shape.heads, kHeadThreads / team), kHeadThreads},
          head_norm_rows<T, kN>, static_cast<const T*>(x.data), stride_x, rows, heads, shape.width,
          team, static_cast<const T*>(weight), eps, static_cast<T*>(y), stride_y, inverse_rms);
    });
  });
}

int64_t head_norm_backward_workspace(const HeadShape& shape) {
  return backward_blocks(shape) * shape.width;
}

void head_norm_backward(ConstPointer dy, int64_t stride_dy, const void* x, int64_t stride_x,
                        const HeadShape& shape, const void* weight, const float* inverse_rms,
                        void* dx, int64_t stride_dx, float* d_weight, float* workspace,
                        Stream stream) {
  const char* where = "head_norm_backward";
  check(where, shape, {stride_dy, stride_x, stride_dx});
  const int64_t blocks = backward_blocks(shape);
  const auto rows = static_cast<uint32_t>(shape.rows), heads = static_cast<uint32_t>(shape.heads);
  with_type(dy.type, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const bool aligned = rows_aligned(dy, stride_dy) && rows_aligned({x, dy.type}, stride_x) &&
                         rows_aligned({dx, dy.type}, stride_dx) &&
                         rows_aligned({weight, dy.type}, 0);
    with_vectors(aligned, shape.width, [&](auto n) {
      constexpr int kN = decltype(n)::value;
      const int team = team_for(shape.width, kN);
      launch(where, stream,
             {blocks, kHeadThreads, 1,
              kHeadThreads / team * shape.width * static_cast<int64_t>(sizeof(float))},
             head_norm_backward_rows<T, kN>, static_cast<const T*>(dy.data), stride_dy,
             static_cast<const T*>(x), stride_x, rows, heads, shape.width, team,
             static_cast<const T*>(weight), inverse_rms, static_cast<T*>(dx), stride_dx, workspace);
    });
  });
  add_partials(where, workspace, blocks, shape.width, d_weight, stream);
}

}  // namespace pref::kernels::cuda
