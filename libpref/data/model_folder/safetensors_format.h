// SPDX-License-Identifier: Apache-2.0
// What reader and writer of safetensors share: types, caps, sizes.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/model_folder/safetensors.h"

namespace pref {

struct TensorTypeInfo {
  TensorType type;
  std::string_view name;
  int64_t bytes;
};
inline constexpr std::array<TensorTypeInfo, 10> kTensorTypes{{{TensorType::f64, "F64", 8},
                                                              {TensorType::f32, "F32", 4},
                                                              {TensorType::f16, "F16", 2},
                                                              {TensorType::bf16, "BF16", 2},
                                                              {TensorType::i64, "I64", 8},
                                                              {TensorType::i32, "I32", 4},
                                                              {TensorType::i16, "I16", 2},
                                                              {TensorType::i8, "I8", 1},
                                                              {TensorType::u8, "U8", 1},
                                                              {TensorType::boolean, "BOOL", 1}}};

inline constexpr uint64_t kLengthBytes = 8;
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's
inline constexpr size_t kMaxTensors = 1'000'000;
inline constexpr size_t kMaxNameBytes = 4096;
inline constexpr size_t kMaxDimensions = 64;
inline constexpr uint64_t kDataAlignment = 64;  // of the first tensor in files we write
inline constexpr std::string_view kMetadataKey = "__metadata__";

/// Bytes of a tensor; false when a size is negative or a product leaves 63 bits.
bool checked_tensor_bytes(TensorType type, const std::vector<int64_t>& shape, uint64_t* bytes);

std::string shape_text(const std::vector<int64_t>& shape);  ///< [2, 3]

}  // namespace pref
