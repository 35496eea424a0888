// SPDX-License-Identifier: Apache-2.0
// safetensors: [8-byte little-endian header length N][N bytes JSON][tensor bytes]. Own reader and
// writer: every size is checked before use (spans tile the data exactly, shape x dtype = span, no
// overflow, no duplicate names).
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/file_system.h"

namespace pref {

enum class TensorType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };
int64_t tensor_type_bytes(TensorType type);
std::string_view tensor_type_name(TensorType type);  ///< "F32", as in the header

struct TensorEntry {
  std::string name;
  TensorType type = TensorType::f32;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  ///< from the start of the file
  uint64_t bytes = 0;
  int64_t elements() const;
};

/// Parses the first bytes of a file of `file_size` bytes. Throws ErrorKind::data with path and byte
/// position. `header` must hold at least the 8 length bytes and the header itself.
struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  ///< by offset
  std::map<std::string, std::string> metadata;
};
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file_start,
                                           uint64_t file_size, const std::string& path);

/// One mapped file.
class SafetensorsFile {
 public:
  SafetensorsFile(FileSystem& files, const std::string& path);
  const std::string& path() const { return path_; }
  const std::vector<TensorEntry>& tensors() const { return header_.tensors; }
  const TensorEntry* find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  /// The tensor's bytes (little-endian; possibly misaligned for its type: copy, never cast).
  std::span<const std::byte> bytes(const TensorEntry& entry) const;

 private:
  std::string path_;
  std::unique_ptr<MappedFile> map_;
  SafetensorsHeader header_;
};

/// Writes one file in a single pass: the entries are known beforehand, the bytes are asked for in
/// order.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual std::span<const std::byte> bytes(
      size_t index) = 0;  ///< of entries[index]; valid until the next call
};
/// `entries`: name, type, shape; offsets are assigned in the order given. The data starts 64-byte
/// aligned. Returns the file's size. `observe` (may be null) sees every byte in order, e.g. a
/// digest.
class ByteObserver {
 public:
  virtual ~ByteObserver() = default;
  virtual void update(const void* data, size_t size) = 0;
};
uint64_t write_safetensors(FileSystem& files, const std::string& path,
                           const std::vector<TensorEntry>& entries, TensorSource& source,
                           const std::map<std::string, std::string>& metadata,
                           ByteObserver* observe = nullptr);

/// Element conversion to f32, from any float type; count elements, misaligned input allowed.
/// Others: ErrorKind::data.
void convert_to_f32(TensorType type, const std::byte* in, int64_t count, float* out);
/// f32 to bf16 or f16 (round to nearest even, subnormals included), f32 or f64. Other types:
/// ErrorKind::option.
void convert_from_f32(TensorType type, const float* in, int64_t count, std::byte* out);

}  // namespace pref
