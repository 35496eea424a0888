// SPDX-License-Identifier: Apache-2.0
// Every index computation of the kernels, in 64 bits: 8192 rows of 256000 logits are 2^31 elements.
// Plain functions, so that a host test runs them with sizes that no test could allocate.
#pragma once
#include "kernels/cuda/device/platform.cuh"

namespace pref::kernels::cuda {

PREF_DEVICE int64_t row_begin(int64_t row, int64_t stride) { return row * stride; }

/// Element (or vector) of a thread in a flat launch.
PREF_DEVICE int64_t flat_index(unsigned block, unsigned threads, unsigned thread) {
  return static_cast<int64_t>(block) * threads + thread;
}

PREF_DEVICE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Range {
  int64_t begin, end;
};

/// Part `part` of [0, count) cut into `parts` of one size, the last ones shorter or empty.
PREF_DEVICE Range part_range(int64_t count, int64_t part, int64_t parts) {
  const int64_t size = divide_up(count, parts);
  const int64_t begin = part * size < count ? part * size : count;
  return {begin, begin + size < count ? begin + size : count};
}

/// A run of elements as sixteen-byte vectors: `head` elements before the first aligned address,
/// then `vectors`, then `count - tail_begin` elements.
struct Span {
  int64_t head, vectors, tail_begin;
};
PREF_DEVICE Span vector_span(uintptr_t address, int64_t count, int element_bytes) {
  const int64_t per_vector = 16 / element_bytes;
  const int64_t to_boundary = static_cast<int64_t>((16 - (address & 15)) & 15) / element_bytes;
  const int64_t head = to_boundary < count ? to_boundary : count;
  const int64_t vectors = (count - head) / per_vector;
  return {head, vectors, head + vectors * per_vector};
}

}  // namespace pref::kernels::cuda
