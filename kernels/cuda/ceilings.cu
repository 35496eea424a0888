// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/ceilings.h.
#include "kernels/cuda/ceilings.h"

#include "kernels/cuda/device/ceilings.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {
namespace {

constexpr int kThreads = 256;

void require_vectors(const char* where, const void* data, int64_t bytes) {
  require(reinterpret_cast<uintptr_t>(data) % 16 == 0 && bytes % 16 == 0, ErrorKind::option, where,
          "an address and a size in whole sixteen bytes are required, got ", bytes, " bytes.");
}

// Calls f with std::integral_constant of `loads`.
template <class F>
void with_loads(const char* where, int loads, const F& f) {
  require(loads == 4 || loads == 8, ErrorKind::option, where, "4 or 8 loads are required, got ",
          loads, ".");
  if (loads == 4) {
    f(std::integral_constant<int, 4>());
  } else {
    f(std::integral_constant<int, 8>());
  }
}

int64_t blocks_for(int64_t bytes, int loads) {
  return divide_up(bytes / 16, int64_t{kThreads} * loads);
}

}  // namespace

void stream_copy(const void* x, void* y, int64_t bytes, int loads, Stream stream) {
  const char* where = "stream_copy";
  require_vectors(where, x, bytes);
  require_vectors(where, y, bytes);
  with_loads(where, loads, [&](auto n) {
    launch(where, stream, {blocks_for(bytes, loads), kThreads},
           copy_vectors<decltype(n)::value, kThreads>, static_cast<const uint4*>(x),
           static_cast<uint4*>(y), bytes / 16);
  });
}

int64_t stream_read_words(int64_t bytes, int loads) {
  return blocks_for(bytes, loads) * (kThreads / kWarpSize);
}

void stream_read(const void* x, int64_t bytes, int loads, uint32_t* out, Stream stream) {
  const char* where = "stream_read";
  require_vectors(where, x, bytes);
  with_loads(where, loads, [&](auto n) {
    launch(where, stream, {blocks_for(bytes, loads), kThreads},
           read_vectors<decltype(n)::value, kThreads>, static_cast<const uint4*>(x), bytes / 16,
           out);
  });
}

void stream_write(void* y, int64_t bytes, uint32_t word, int loads, Stream stream) {
  const char* where = "stream_write";
  require_vectors(where, y, bytes);
  with_loads(where, loads, [&](auto n) {
    launch(where, stream, {blocks_for(bytes, loads), kThreads},
           write_vectors<decltype(n)::value, kThreads>, static_cast<uint4*>(y), bytes / 16, word);
  });
}

}  // namespace pref::kernels::cuda
