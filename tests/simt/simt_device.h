// SPDX-License-Identifier: Apache-2.0
// The device's names for kernels compiled by g++: qualifiers, thread indices, vector types,
// barriers, shuffles, atomics, checked shared memory. Only what the kernels use; a name that is
// missing here is a compile error, never a silent no-op.
#pragma once
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "tests/simt/simt.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ _Pragma("GCC error \"declare shared memory by PREF_SHARED_ARRAY\"")

extern uint3 threadIdx, blockIdx;  // set by the scheduler at every switch
extern dim3 blockDim, gridDim;

struct __attribute__((aligned(16), may_alias)) uint4 {
  unsigned x, y, z, w;
};

#define SIMT_SITE simt::Site site_ = {__builtin_FILE(), __builtin_LINE()}

namespace simt {

/// Shared memory with its bounds; what it throws names the place of the declaration.
template <class T>
class SharedArray {
 public:
  SharedArray(void* data, size_t count, Site declared)
      : data_(static_cast<T*>(data)), count_(count), declared_(declared) {}
  template <class Index>
  T& operator[](Index i) const {
    if constexpr (std::is_signed_v<Index>)
      if (i < 0) fault("shared memory: index " + std::to_string(i) + " is negative", declared_);
    if (static_cast<size_t>(i) >= count_)
      fault("shared memory: index " + std::to_string(i) + " of " + std::to_string(count_),
            declared_);
    return data_[i];
  }

 private:
  T* data_;
  size_t count_;
  Site declared_;
};

template <class T>
SharedArray<T> shared_array(const void* key, size_t count, Site declared) {
  return {shared_variable(key, count * sizeof(T), declared), count, declared};
}
template <class T>
SharedArray<T> dynamic_shared_array(Site declared) {
  size_t bytes = 0;
  void* data = dynamic_shared(&bytes);
  return {data, bytes / sizeof(T), declared};
}

template <class T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

/// The value that lane `source` deposited; `source` is computed from the calling lane.
template <class T, class Source>
T shuffle(const char* name, unsigned mask, T value, Source source, Site site) {
  const Deposits all = exchange(name, mask, to_bits(value), false, site);
  const int from = source(lane());
  if (!(all.lanes >> from & 1))
    fault(std::string(name) + ": lane " + std::to_string(lane()) + " reads inactive lane " +
              std::to_string(from),
          site);
  return from_bits<T>(all.value[from]);
}

/// Real atomics, so that thread sanitizer takes them for what they are.
template <class T, class F>
T atomic_update(T* place, F change) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  static_assert(sizeof(Bits) == sizeof(T));
  auto* bits = reinterpret_cast<Bits*>(place);
  Bits old = __atomic_load_n(bits, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(bits, &old,
                                      std::bit_cast<Bits>(change(std::bit_cast<T>(old))), false,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  yield();
  return std::bit_cast<T>(old);
}

}  // namespace simt

#define PREF_SHARED_ARRAY(T, name, count) \
  static char name##_key_;                \
  const auto name = simt::shared_array<T>(&name##_key_, count, {__FILE__, __LINE__})
#define PREF_DYNAMIC_SHARED(T, name) \
  const auto name = simt::dynamic_shared_array<T>({__FILE__, __LINE__})

inline void __syncthreads(SIMT_SITE) { simt::barrier(false, site_); }
inline int __syncthreads_or(int vote, SIMT_SITE) { return simt::barrier(vote != 0, site_) != 0; }
inline void __syncwarp(unsigned mask = ~0u, SIMT_SITE) {
  simt::exchange("__syncwarp", mask, 0, true, site_);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, SIMT_SITE) {
  return simt::shuffle(
      "__shfl_sync", mask, value, [=](int) { return source & 31; }, site_);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, SIMT_SITE) {
  return simt::shuffle(
      "__shfl_xor_sync", mask, value, [=](int me) { return (me ^ bits) & 31; }, site_);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int delta, SIMT_SITE) {
  return simt::shuffle(
      "__shfl_down_sync", mask, value, [=](int me) { return me + delta < 32 ? me + delta : me; },
      site_);
}
inline unsigned __ballot_sync(unsigned mask, int vote, SIMT_SITE) {
  const simt::Deposits all = simt::exchange("__ballot_sync", mask, vote != 0, false, site_);
  unsigned out = 0;
  for (unsigned i = 0; i < 32; ++i)
    if (all.lanes >> i & 1 && all.value[i]) out |= 1u << i;
  return out;
}

template <class T>
T atomicAdd(T* place, std::type_identity_t<T> value) {
  return simt::atomic_update(place, [=](T old) { return static_cast<T>(old + value); });
}
inline int atomicOr(int* place, int value) {
  return simt::atomic_update(place, [=](int old) { return old | value; });
}
