// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/swiglu.h. With e = e^-|g|, sigma(g) and 1 - sigma(g) are 1 / (1 + e) and
// e / (1 + e) in the order that g's sign gives: neither tail cancels or overflows.
#pragma once
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/vector_io.cuh"

namespace pref::kernels::cuda {

struct Sigmoid {
  float value, rest;  ///< sigma(g), 1 - sigma(g)
};
PREF_DEVICE Sigmoid sigmoid_of(float g) {
  const float e = exp2_fast(fabsf(g) * -kLog2e);
  const float large = divide_fast(1.0f, 1.0f + e), small = e * large;
  return g < 0 ? Sigmoid{small, large} : Sigmoid{large, small};
}

/// Block (row, part of the columns).
template <class T, int N>
__global__ void __launch_bounds__(256) swiglu_rows(const T* gate_up, int64_t width, T* y) {
  const T* gate = gate_up + row_begin(blockIdx.x, 2 * width);
  const int64_t i = flat_index(blockIdx.y, blockDim.x, threadIdx.x) * N;
  if (i >= width) return;
  float g[N], u[N];
  load<N>(gate + i, g);
  load<N>(gate + width + i, u);
#pragma unroll
  for (int e = 0; e < N; ++e) u[e] *= g[e] * sigmoid_of(g[e]).value;
  store<N>(y + row_begin(blockIdx.x, width) + i, u);
}

template <class T, int N>
__global__ void __launch_bounds__(256)
    swiglu_backward_rows(const T* dy, const T* gate_up, int64_t width, T* d_gate_up) {
  const int64_t begin = row_begin(blockIdx.x, 2 * width);
  const int64_t i = flat_index(blockIdx.y, blockDim.x, threadIdx.x) * N;
  if (i >= width) return;
  float g[N], u[N], v[N], d_gate[N], d_up[N];
  load<N>(gate_up + begin + i, g);
  load<N>(gate_up + begin + width + i, u);
  load<N>(dy + row_begin(blockIdx.x, width) + i, v);
#pragma unroll
  for (int e = 0; e < N; ++e) {
    const Sigmoid sigma = sigmoid_of(g[e]);
    // d silu / dg = sigma (1 + g (1 - sigma))
    d_gate[e] = v[e] * u[e] * (sigma.value * fmaf(g[e], sigma.rest, 1.0f));
    d_up[e] = v[e] * (g[e] * sigma.value);
  }
  store<N>(d_gate_up + begin + i, d_gate);
  store<N>(d_gate_up + begin + width + i, d_up);
}

}  // namespace pref::kernels::cuda
