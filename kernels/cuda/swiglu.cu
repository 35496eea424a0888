// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/swiglu.h.
#include "kernels/cuda/swiglu.h"

#include "kernels/cuda/device/swiglu.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {
namespace {

Shape shape_of(int64_t rows, int64_t width, int per_thread) {
  const int64_t items = divide_up(width, per_thread);
  const int threads = threads_for(items);
  return {rows, threads, divide_up(items, threads)};
}

}  // namespace

void swiglu_forward(ConstPointer gate_up, int64_t rows, int64_t width, void* y, Stream stream) {
  const bool aligned = rows_aligned(gate_up, width) && rows_aligned({y, gate_up.type}, width);
  with_type(gate_up.type, [&](auto* element) {
    with_vectors(aligned, width, [&](auto n) {
      using T = std::remove_pointer_t<decltype(element)>;
      constexpr int kN = decltype(n)::value;
      launch("swiglu_forward", stream, shape_of(rows, width, kN), swiglu_rows<T, kN>,
             static_cast<const T*>(gate_up.data), width, static_cast<T*>(y));
    });
  });
}

void swiglu_backward(ConstPointer dy, const void* gate_up, int64_t rows, int64_t width,
                     void* d_gate_up, Stream stream) {
  const bool aligned = rows_aligned(dy, width) && rows_aligned({gate_up, dy.type}, width) &&
                       rows_aligned({d_gate_up, dy.type}, width);
  with_type(dy.type, [&](auto* element) {
    with_vectors(aligned, width, [&](auto n) {
      using T = std::remove_pointer_t<decltype(element)>;
      constexpr int kN = decltype(n)::value;
      launch("swiglu_backward", stream, shape_of(rows, width, kN), swiglu_backward_rows<T, kN>,
             static_cast<const T*>(dy.data), static_cast<const T*>(gate_up), width,
             static_cast<T*>(d_gate_up));
    });
  });
}

}  // namespace pref::kernels::cuda
