// SPDX-License-Identifier: Apache-2.0
// Random bits that depend on a seed and an element's number alone, whatever thread asks for them.
#pragma once
#include "kernels/cuda/device/platform.cuh"

namespace pref::kernels::cuda {

/// Sixty-four random bits of (seed, element): the finaliser of MurmurHash3.
PREF_DEVICE uint64_t random_word(uint64_t seed, int64_t element) {
  uint64_t x = seed + static_cast<uint64_t>(element) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
  return x ^ (x >> 33);
}
PREF_DEVICE uint32_t random_bits(uint64_t seed, int64_t element) {
  return static_cast<uint32_t>(random_word(seed, element) >> 32);
}

/// A standard normal number of (seed, element), by Box and Muller; at most 6.7 in size.
PREF_DEVICE float random_normal(uint64_t seed, int64_t element) {
  const uint64_t word = random_word(seed, element);
  const float radius = (static_cast<float>(word >> 32) + 0.5f) * 0x1p-32f;  // above 0, at most 1
  const float turns = static_cast<float>(word & 0xffffffffu) * 0x1p-32f;
  return sqrtf(-2 * logf(radius)) * cosine_of_turns(turns);
}

}  // namespace pref::kernels::cuda
