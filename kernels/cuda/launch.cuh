// SPDX-License-Identifier: Apache-2.0
// How launchers start a kernel and choose its types: on a device under nvcc, through tests/simt
// under g++. A refused launch becomes pref::Error.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/platform.cuh"
#include "libpref/base/error.h"

namespace pref::kernels::cuda {

/// Most blocks along x, and along y.
inline constexpr int64_t kMaxGridX = 0x7fffffff, kMaxGridY = 65535;

struct Shape {
  int64_t blocks;
  int threads;
  int64_t blocks_y = 1;
  int64_t shared_bytes = 0;
};

#if defined(__CUDACC__)
inline void check_cuda(const char* where, cudaError_t code) {
  require(code == cudaSuccess, ErrorKind::internal, where, "CUDA: ", cudaGetErrorString(code), ".");
}
#endif

/// Nothing is started for a grid without blocks.
template <class... Parameters, class... Arguments>
void launch(const char* where, Stream stream, Shape shape, void (*kernel)(Parameters...),
            Arguments... arguments) {
  if (shape.blocks == 0 || shape.blocks_y == 0) return;
  require(shape.blocks <= kMaxGridX && shape.blocks_y <= kMaxGridY, ErrorKind::option, where,
          "at most ", kMaxGridX, " x ", kMaxGridY, " blocks can be started, got ", shape.blocks,
          " x ", shape.blocks_y, ". Split the call.");
  const dim3 grid(static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.blocks_y));
  const auto block = static_cast<unsigned>(shape.threads);
  const auto shared_bytes = static_cast<size_t>(shape.shared_bytes);
#if defined(__CUDACC__)
  if (shared_bytes > 48 * 1024)
    check_cuda(where, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           static_cast<int>(shared_bytes)));
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  check_cuda(where, cudaGetLastError());
#else
  static_cast<void>(stream);
  simt::launch(grid, block, shared_bytes, kernel, arguments...);
#endif
}

/// Calls f with a null pointer of the element type, for its type alone.
template <class F>
void with_type(Type type, const F& f) {
  if (type == Type::bf16) {
    f(static_cast<BF16*>(nullptr));
  } else {
    f(static_cast<float*>(nullptr));
  }
}

inline int64_t bytes_of(Type type) { return type == Type::bf16 ? 2 : 4; }

/// Every row of a matrix begins on a sixteen-byte boundary.
inline bool rows_aligned(ConstPointer p, int64_t stride) {
  return reinterpret_cast<uintptr_t>(p.data) % 16 == 0 && stride * bytes_of(p.type) % 16 == 0;
}

/// Elements that a thread takes at once where everything is aligned.
inline constexpr int kVector = 8;

/// Calls f with std::integral_constant: kVector where `aligned` and the width allows, else 1.
template <class F>
void with_vectors(bool aligned, int64_t width, const F& f) {
  if (aligned && width % kVector == 0) {
    f(std::integral_constant<int, kVector>());
  } else {
    f(std::integral_constant<int, 1>());
  }
}

/// Threads of a block that walks `items` pieces of work: whole warps, at most 256.
inline int threads_for(int64_t items) {
  return static_cast<int>(std::clamp<int64_t>(divide_up(items, kWarpSize), 1, 8)) * kWarpSize;
}

inline void require_same_type(const char* where, ConstPointer a, ConstPointer b) {
  require(a.type == b.type, ErrorKind::option, where,
          "arrays of one element type are required, got f32 beside bf16.");
}

}  // namespace pref::kernels::cuda
