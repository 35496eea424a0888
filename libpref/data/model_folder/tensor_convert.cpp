// SPDX-License-Identifier: Apache-2.0
// Float conversions by integer arithmetic, so that neither the rounding of subnormals nor the
// payload of a NaN depends on the processor's flush-to-zero mode. Loops without branches, for the
// compiler to vectorize.
#include <bit>
#include <cstring>

#include "libpref/base/error.h"
#include "libpref/data/model_folder/safetensors.h"

namespace pref {
namespace {

template <class T>
T load(const std::byte* in, int64_t index) {
  T value;
  std::memcpy(&value, in + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
template <class T>
void store(std::byte* out, int64_t index, T value) {
  std::memcpy(out + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

uint32_t f32_bits_of_f16(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, magnitude = half & 0x7fffu;
  const uint32_t shifted = magnitude << 13;
  // A subnormal is magnitude x 2^-24, exact in f32.
  const uint32_t small =
      std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  const uint32_t normal = shifted + (112u << 23);  // the exponents' biases differ by 127 - 15
  const uint32_t special = shifted | 0x7f800000u;  // infinity, NaN
  return sign | (magnitude < 0x0400u ? small : magnitude < 0x7c00u ? normal : special);
}

uint16_t f16_of_f32_bits(uint32_t bits) {
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  const uint32_t even = (magnitude >> 13) & 1u;
  const uint32_t normal =
      (magnitude - (112u << 23) + 0xfffu + even) >> 13;  // round to nearest even; may carry
  // Below 2^-14: the significand shifted until its unit is 2^-24; below 2^-25 all becomes zero.
  const uint32_t exponent = magnitude >> 23;
  const bool in_range = exponent > 101u && exponent < 113u;
  const uint32_t shift = in_range ? 126u - exponent : 24u;  // 14 at 2^-15, 24 at 2^-25
  const uint32_t significand = in_range ? (magnitude & 0x7fffffu) | 0x800000u : 0u;
  const uint32_t small =
      (significand + ((1u << (shift - 1u)) - 1u) + ((significand >> shift) & 1u)) >> shift;
  const uint32_t infinity = 0x7c00u;
  const uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  uint32_t out = magnitude < 0x38800000u ? small : normal;
  out = magnitude >= 0x477ff000u ? infinity : out;  // 65520 and above round to infinity
  out = magnitude > 0x7f800000u ? nan : out;
  return static_cast<uint16_t>(sign | out);
}

uint16_t bf16_of_f32_bits(uint32_t bits) {
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t nan =
      (bits >> 16) | 0x40u;  // quiet: a payload in the low half alone must not become infinity
  return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

}  // namespace

void convert_to_f32(TensorType type, const std::byte* in, int64_t count, float* out) {
  switch (type) {
    case TensorType::f32:
      if (count > 0) std::memcpy(out, in, static_cast<size_t>(count) * sizeof(float));
      return;
    case TensorType::f64:
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(load<double>(in, i));
      return;
    // Bits are stored, never a float value: passing through a register may quiet a NaN.
    case TensorType::f16:
      for (int64_t i = 0; i < count; ++i)
        store(reinterpret_cast<std::byte*>(out), i, f32_bits_of_f16(load<uint16_t>(in, i)));
      return;
    case TensorType::bf16:
      for (int64_t i = 0; i < count; ++i)
        store(reinterpret_cast<std::byte*>(out), i,
              static_cast<uint32_t>(load<uint16_t>(in, i)) << 16);
      return;
    default:
      fail(ErrorKind::data, "safetensors", "no conversion from ", tensor_type_name(type),
           " to F32; supported: F64, F32, F16, BF16.");
  }
}

void convert_from_f32(TensorType type, const float* in, int64_t count, std::byte* out) {
  const auto* bytes = reinterpret_cast<const std::byte*>(in);
  switch (type) {
    case TensorType::f32:
      if (count > 0) std::memcpy(out, in, static_cast<size_t>(count) * sizeof(float));
      return;
    case TensorType::f64:
      for (int64_t i = 0; i < count; ++i) store(out, i, static_cast<double>(in[i]));
      return;
    case TensorType::f16:
      for (int64_t i = 0; i < count; ++i) store(out, i, f16_of_f32_bits(load<uint32_t>(bytes, i)));
      return;
    case TensorType::bf16:
      for (int64_t i = 0; i < count; ++i) store(out, i, bf16_of_f32_bits(load<uint32_t>(bytes, i)));
      return;
    default:
      fail(ErrorKind::option, "safetensors", "no conversion from F32 to ", tensor_type_name(type),
           "; supported: F64, F32, F16, BF16.");
  }
}

}  // namespace pref
