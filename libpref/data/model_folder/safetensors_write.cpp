// SPDX-License-Identifier: Apache-2.0
// Writing safetensors in one pass. What our own reader would refuse is refused here, before the
// file is created.
#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/base/utf8.h"
#include "libpref/data/model_folder/safetensors_format.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

constexpr size_t kChunkBytes =
    1 << 20;  // what the observer has read is still in the cache when it is written

std::string utf8_json(const std::string& text, const std::string& path) {
  require(find_invalid_utf8(text) == std::string_view::npos, ErrorKind::option, "safetensors", path,
          ": ", escape_text(text), " is not UTF-8; names and metadata must be.");
  return json_value(text);
}

std::string header_text(const std::string& path, const std::vector<TensorEntry>& entries,
                        const std::map<std::string, std::string>& metadata) {
  require(entries.size() <= kMaxTensors, ErrorKind::option, "safetensors", path, ": ",
          entries.size(), " tensors; the cap is ", kMaxTensors, ".");
  std::string out = "{";
  if (!metadata.empty()) {
    JsonObject values;
    for (const auto& [key, value] : metadata) {
      utf8_json(key, path);  // checked only: add_raw() makes JSON of it
      values.add_raw(key, utf8_json(value, path));
    }
    out.append("\"").append(kMetadataKey).append("\":").append(values.str());
  }
  std::unordered_set<std::string_view> names;
  uint64_t begin = 0;
  for (const TensorEntry& entry : entries) {
    const std::string name = utf8_json(entry.name, path);
    require(entry.name != kMetadataKey && entry.name.size() <= kMaxNameBytes, ErrorKind::option,
            "safetensors", path, ": ", escape_text(entry.name), " cannot name a tensor.");
    require(names.insert(entry.name).second, ErrorKind::option, "safetensors", path,
            ": two tensors are named ", escape_text(entry.name), ".");
    uint64_t bytes = 0, end = 0;
    require(entry.shape.size() <= kMaxDimensions &&
                checked_tensor_bytes(entry.type, entry.shape, &bytes) &&
                !__builtin_add_overflow(begin, bytes, &end),
            ErrorKind::option, "safetensors", path, ": tensor ", escape_text(entry.name),
            ": shape ", shape_text(entry.shape),
            ": a shape that is negative, of too many dimensions or overflows 64 bits.");
    JsonArray shape;
    for (const int64_t size : entry.shape) shape.add(size);
    JsonObject fields;
    fields.add("dtype", tensor_type_name(entry.type)).add_raw("shape", shape.str());
    fields.add_raw("data_offsets", JsonArray().add(begin).add(end).str());
    out.append(out.size() > 1 ? "," : "").append(name).append(":").append(fields.str());
    begin = end;
  }
  out += "}";
  out.append((kDataAlignment - (kLengthBytes + out.size()) % kDataAlignment) % kDataAlignment, ' ');
  require(out.size() <= kMaxHeaderBytes, ErrorKind::option, "safetensors", path,
          ": the header would take ", out.size(), " bytes; the cap is ", kMaxHeaderBytes, ".");
  return out;
}

}  // namespace

uint64_t write_safetensors(FileSystem& files, const std::string& path,
                           const std::vector<TensorEntry>& entries, TensorSource& source,
                           const std::map<std::string, std::string>& metadata,
                           ByteObserver* observe) {
  const std::string header = header_text(path, entries, metadata);
  const std::unique_ptr<WritableFile> file = files.create(path);
  uint64_t written = 0;
  const auto put = [&](const void* data, size_t size) {
    if (observe != nullptr) observe->update(data, size);
    file->write(data, size);
    written += size;
  };
  const uint64_t length = header.size();
  std::string start(kLengthBytes, '\0');
  std::memcpy(start.data(), &length, kLengthBytes);
  start += header;
  put(start.data(), start.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    uint64_t wanted = 0;
    checked_tensor_bytes(entries[i].type, entries[i].shape, &wanted);
    const std::span<const std::byte> bytes = source.bytes(i);
    require(bytes.size() == wanted, ErrorKind::internal, "safetensors", path, ": tensor ",
            escape_text(entries[i].name), ": the source gave ", bytes.size(),
            " bytes; its shape needs ", wanted, ".");
    for (size_t at = 0; at < bytes.size(); at += kChunkBytes)
      put(bytes.data() + at, std::min(kChunkBytes, bytes.size() - at));
  }
  file->close();
  return written;
}

}  // namespace pref
