// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/samples.h.
#include "kernels/cuda/samples.h"

#include "kernels/cuda/device/samples.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {
namespace {

constexpr int kThreads = 256;

}  // namespace

void fill_normal(Pointer x, int64_t count, float mean, float deviation, uint64_t seed,
                 Stream stream) {
  with_type(x.type, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    with_vectors(rows_aligned(x, 0), 0, [&](auto n) {
      constexpr int kN = decltype(n)::value;
      launch("fill_normal", stream, {divide_up(divide_up(count, kN), kThreads), kThreads},
             fill_normal_range<T, kN, kThreads>, static_cast<T*>(x.data), count, mean, deviation,
             seed);
    });
  });
}

void set_elements(Pointer x, const int64_t* index, const float* value, int64_t count,
                  Stream stream) {
  with_type(x.type, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    launch("set_elements", stream, {divide_up(count, kThreads), kThreads}, set_each<T, kThreads>,
           static_cast<T*>(x.data), index, value, count);
  });
}

void fingerprint(const void* x, int64_t bytes, uint64_t* sum, Stream stream) {
  static_assert(sizeof(unsigned long long) == sizeof(uint64_t));
  const int64_t blocks = std::min<int64_t>(divide_up(divide_up(bytes, 16), kThreads), 2048);
  launch("fingerprint", stream, {blocks, kThreads}, add_fingerprint<kThreads>,
         static_cast<const unsigned char*>(x), bytes, reinterpret_cast<unsigned long long*>(sum));
}

}  // namespace pref::kernels::cuda
