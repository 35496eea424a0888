// SPDX-License-Identifier: Apache-2.0
// Kernel of kernels/cuda/rope.h: a block a row, a thread N pairs of one head.
#pragma once
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/vector_io.cuh"

namespace pref::kernels::cuda {

template <class T, int N>
__global__ void __launch_bounds__(256)
    rope_rows(const T* x, int64_t stride_x, const int64_t* source, int heads, int half,
              const int64_t* positions, const float* cosine, const float* sine, float direction,
              T* out, int64_t stride_out) {
  const int64_t from = source ? source[blockIdx.x] : blockIdx.x;
  const T* x_row = x + row_begin(from, stride_x);
  T* out_row = out + row_begin(blockIdx.x, stride_out);
  const int64_t angles = row_begin(positions[from], half);
  const int per_head = half / N;
  for (int item = static_cast<int>(threadIdx.x); item < heads * per_head;
       item += static_cast<int>(blockDim.x)) {
    const int i = item % per_head * N;
    const int64_t low = row_begin(item / per_head, int64_t{2} * half) + i;
    float a[N], b[N], c[N], s[N], turned_a[N], turned_b[N];
    load<N>(x_row + low, a);
    load<N>(x_row + low + half, b);
    load<N>(cosine + angles + i, c);
    load<N>(sine + angles + i, s);
#pragma unroll
    for (int e = 0; e < N; ++e) {
      const float turn = direction * s[e];
      turned_a[e] = fmaf(-b[e], turn, a[e] * c[e]);
      turned_b[e] = fmaf(a[e], turn, b[e] * c[e]);
    }
    store<N>(out_row + low, turned_a);
    store<N>(out_row + low + half, turned_b);
  }
}

}  // namespace pref::kernels::cuda
