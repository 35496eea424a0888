// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/rms_norm.h.
#include "kernels/cuda/rms_norm.h"

#include "kernels/cuda/device/add_partials.cuh"
#include "kernels/cuda/device/rms_norm.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {
namespace {

constexpr int64_t kMaxWidth = 16384;  // floats of shared memory that every supported card has

// By the shape alone, so that sums are the same on every card.
int64_t backward_blocks(int64_t rows) { return std::min<int64_t>(rows, 512); }

}  // namespace

void rms_norm_forward(ConstPointer x, const void* residual, void* sum, int64_t rows, int64_t width,
                      int64_t stride_x, const void* weight, float eps, void* y, int64_t stride_y,
                      float* inverse_rms, Stream stream) {
  const char* where = "rms_norm_forward";
  require(width > 0 && stride_x >= width && stride_y >= width, ErrorKind::option, where,
          "strides of at least the width are required, got width ", width, ", strides ", stride_x,
          " and ", stride_y, ".");
  require(!residual || sum, ErrorKind::option, where,
          "a place for the sum is required beside a residual, got none.");
  with_type(x.type, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const bool aligned = rows_aligned(x, stride_x) && rows_aligned({y, x.type}, stride_y) &&
                         rows_aligned({weight, x.type}, 0) && rows_aligned({residual, x.type}, 0) &&
                         rows_aligned({sum, x.type}, 0);
    with_vectors(aligned, width, [&](auto n) {
      constexpr int kN = decltype(n)::value;
      launch(where, stream, {rows, threads_for(divide_up(width, kN))}, rms_norm_rows<T, kN>,
             static_cast<const T*>(x.data), static_cast<const T*>(residual), static_cast<T*>(sum),
             width, stride_x, static_cast<const T*>(weight), eps, static_cast<T*>(y), stride_y,
             inverse_rms);
    });
  });
}

int64_t rms_norm_backward_workspace(int64_t rows, int64_t width) {
  return backward_blocks(rows) * width;
}

void rms_norm_backward(ConstPointer dy, int64_t stride_dy, const void* x, int64_t stride_x,
                       const void* weight, const float* inverse_rms, int64_t rows, int64_t width,
                       void* dx, int64_t stride_dx, bool accumulate_dx, float* d_weight,
                       float* workspace, Stream stream) {
  const char* where = "rms_norm_backward";
  require(width > 0 && width <= kMaxWidth, ErrorKind::option, where, "a width of 1 to ", kMaxWidth,
          " is required, got ", width, ".");
  require(stride_x >= width && stride_dy >= width && stride_dx >= width, ErrorKind::option, where,
          "strides of at least the width ", width, " are required, got ", stride_dy, ", ", stride_x,
          " and ", stride_dx, ".");
  const int64_t blocks = backward_blocks(rows);
  with_type(dy.type, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const bool aligned = rows_aligned(dy, stride_dy) && rows_aligned({x, dy.type}, stride_x) &&
                         rows_aligned({dx, dy.type}, stride_dx) &&
                         rows_aligned({weight, dy.type}, 0);
    with_vectors(aligned, width, [&](auto n) {
      constexpr int kN = decltype(n)::value;
      launch(where, stream,
             {blocks, threads_for(divide_up(width, kN)), 1,
              width * static_cast<int64_t>(sizeof(float))},
             rms_norm_backward_rows<T, kN>, static_cast<const T*>(dy.data), stride_dy,
             static_cast<const T*>(x), stride_x, static_cast<const T*>(weight), inverse_rms, rows,
             width, static_cast<T*>(dx), stride_dx, accumulate_dx, workspace);
    });
  });
  add_partials(where, workspace, blocks, width, d_weight, stream);
}

}  // namespace pref::kernels::cuda
