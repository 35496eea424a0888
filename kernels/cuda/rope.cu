// SPDX-License-Identifier: Apache-2.0
// Launcher of kernels/cuda/rope.h.
#include "kernels/cuda/rope.h"

#include "kernels/cuda/device/rope.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {

void rope_rotate(ConstPointer x, int64_t stride_x, const int64_t* source, int64_t rows,
                 int64_t heads, int64_t head_dim, const int64_t* positions, const float* cosine,
                 const float* sine, int direction, void* out, int64_t stride_out, Stream stream) {
  const char* where = "rope_rotate";
  require(head_dim > 0 && head_dim % 2 == 0 && heads > 0 && heads <= 65535 && head_dim <= 65535,
          ErrorKind::option, where, "an even head_dim and at least one head are required, got ",
          heads, " heads of ", head_dim, ".");
  require(stride_x >= heads * head_dim && stride_out >= heads * head_dim, ErrorKind::option, where,
          "strides of at least heads * head_dim = ", heads * head_dim, " are required, got ",
          stride_x, " and ", stride_out, ".");
  require(direction == 1 || direction == -1, ErrorKind::option, where,
          "direction 1 or -1 is required, got ", direction, ".");
  const int64_t half = head_dim / 2;
  const bool aligned = rows_aligned(x, stride_x) && rows_aligned({out, x.type}, stride_out) &&
                       rows_aligned(cosine, half) && rows_aligned(sine, half);
  with_type(x.type, [&](auto* element) {
    with_vectors(aligned, half, [&](auto n) {
      using T = std::remove_pointer_t<decltype(element)>;
      constexpr int kN = decltype(n)::value;
      launch(where, stream, {rows, threads_for(heads * half / kN)}, rope_rows<T, kN>,
             static_cast<const T*>(x.data), stride_x, source, static_cast<int>(heads),
             static_cast<int>(half), positions, cosine, sine, static_cast<float>(direction),
             static_cast<T*>(out), stride_out);
    });
  });
}

}  // namespace pref::kernels::cuda
