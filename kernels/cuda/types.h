// SPDX-License-Identifier: Apache-2.0
// What the CUDA contracts of this folder share: addresses with the type of what stands there, and
// the stream. No CUDA header is needed to call a kernel.
//
// Every function here enqueues on the stream and returns; nothing waits for the device. Pointers
// are device addresses aligned to their element; kernels use 16-byte accesses where address, width
// and stride allow and take the slower path elsewhere, with equal results. Sums are taken in a
// fixed order that depends on the shapes alone: equal inputs give equal bits, on any card.
// Throws pref::Error: (option) shapes or types that a kernel does not take; (internal) a launch
// that the CUDA run time refuses. In a build without nvcc every function throws (option).
#pragma once
#include <cstdint>

struct CUstream_st;

namespace pref::kernels::cuda {

/// cudaStream_t; null is the default stream.
using Stream = CUstream_st*;

/// bfloat16 by its bits: the upper half of an f32.
struct BF16 {
  uint16_t bits;
};

enum class Type { f32, bf16 };

struct ConstPointer {
  const void* data;
  Type type;
  ConstPointer(const float* p) : data(p), type(Type::f32) {}  // NOLINT: the type tells itself
  ConstPointer(const BF16* p) : data(p), type(Type::bf16) {}  // NOLINT
  ConstPointer(const void* p, Type t) : data(p), type(t) {}
};

struct Pointer {
  void* data;
  Type type;
  Pointer(float* p) : data(p), type(Type::f32) {}  // NOLINT
  Pointer(BF16* p) : data(p), type(Type::bf16) {}  // NOLINT
  Pointer(void* p, Type t) : data(p), type(t) {}
  operator ConstPointer() const { return {data, type}; }  // NOLINT: reading needs less
};

}  // namespace pref::kernels::cuda
