// SPDX-License-Identifier: Apache-2.0
// Reading safetensors. The header goes through SAX events straight into entries, so that every
// complaint has its byte; then one walk by offset proves that the spans tile the data: no hole, no
// overlap, no byte left over.
#include "libpref/data/model_folder/safetensors.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <unordered_set>
#include <utility>

#include "libpref/base/error.h"
#include "libpref/data/model_folder/safetensors_format.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

constexpr const char* kDamaged = ". The file is damaged; download it again.";
constexpr const char* kFaulty =
    ". The file is damaged or was written by a faulty program; download it again.";

std::string supported_types() {
  std::string out;
  for (const TensorTypeInfo& info : kTensorTypes)
    out.append(out.empty() ? "" : ", ").append(info.name);
  return out;
}

class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& path)
      : text_(text), path_(path), offsets_(text) {}

  // ---- events of the parser ----
  bool null() { return unexpected("null"); }
  bool boolean(bool value) { return unexpected(value ? "true" : "false"); }
  bool number_integer(int64_t value) { return unexpected(std::to_string(value)); }
  bool number_float(double, const std::string& text) { return unexpected(escape_text(text)); }
  bool binary(nlohmann::ordered_json::binary_t&) { return unexpected("binary data"); }

  bool number_unsigned(uint64_t value) {
    if (place_ == Place::shape_items) {
      const size_t at = offsets_.start();
      if (value > INT64_MAX)
        fail_tensor(at, "shape must hold whole numbers from 0, found ", value, kFaulty);
      if (entry_.shape.size() == kMaxDimensions)
        fail_tensor(at, "shape has more than ", kMaxDimensions, " dimensions, the cap", kFaulty);
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ == Place::offset_items) {
      const size_t at = offsets_.start();
      if (offset_items_.size() == 2)
        fail_tensor(at, "data_offsets must be [begin, end], two whole numbers from 0, found ",
                    value, " as a third", kFaulty);
      offset_items_.push_back(value);
      return true;
    }
    return unexpected(std::to_string(value));
  }

  bool string(std::string& value) {
    if (place_ == Place::metadata_value) {
      offsets_.start();
      header_.metadata[key_] = std::move(value);
      place_ = Place::metadata;
      return true;
    }
    if (place_ == Place::dtype) {
      const size_t at = offsets_.start();
      for (const TensorTypeInfo& info : kTensorTypes)
        if (info.name == value) type_ = info.type;
      if (!type_)
        fail_tensor(at, "dtype ", escape_text(value),
                    " is not supported (supported: ", supported_types(),
                    "). Convert the model to one of them.");
      place_ = Place::fields;
      return true;
    }
    return unexpected(escape_text(value));
  }

  bool start_object(size_t) {
    if (place_ == Place::top) {
      offsets_.start();
      place_ = Place::names;
    } else if (place_ == Place::entry_value) {
      entry_at_ = offsets_.start();
      type_.reset();
      has_shape_ = has_offsets_ = false;
      entry_.shape.clear();
      offset_items_.clear();
      place_ = Place::fields;
    } else if (place_ == Place::metadata_object) {
      offsets_.start();
      place_ = Place::metadata;
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool start_array(size_t) {
    if (place_ == Place::shape) {
      place_ = Place::shape_items;
    } else if (place_ == Place::data_offsets) {
      place_ = Place::offset_items;
    } else {
      return unexpected("a list");
    }
    offsets_.start();
    return true;
  }

  bool key(std::string& key) {
    const size_t at = offsets_.start();
    if (place_ == Place::names) {
      name_key(at, key);
    } else if (place_ == Place::metadata) {
      if (header_.metadata.contains(key))
        fail_at(at, "__metadata__ has the key ", escape_text(key),
                " twice. The file was written by a faulty program; download it again.");
      key_ = std::move(key);
      place_ = Place::metadata_value;
    } else {
      field_key(at, key);
    }
    return true;
  }

  bool end_object() {
    if (place_ == Place::fields) {
      finish_entry();
      place_ = Place::names;
    } else if (place_ == Place::metadata) {
      place_ = Place::names;
    } else {
      place_ = Place::end;
    }
    offsets_.close();
    return true;
  }

  bool end_array() {
    if (place_ == Place::offset_items && offset_items_.size() != 2)
      fail_tensor(value_at_, "data_offsets has ", offset_items_.size(),
                  " numbers; [begin, end] is required", kFaulty);
    place_ = Place::fields;
    offsets_.close();
    return true;
  }

  bool parse_error(size_t position, const std::string&, const std::exception& error) {
    fail_at(position == 0 ? 0 : position - 1,
            "the header is not JSON: ", json_syntax_message(error), kDamaged);
  }

  const char** reached() { return offsets_.reached(); }
  SafetensorsHeader take() { return std::move(header_); }

  template <class... Parts>
  [[noreturn]] void fail_at(size_t at, const Parts&... parts) const {
    fail(ErrorKind::data, "safetensors", path_, ": header byte ", at, ": ", parts...);
  }

 private:
  enum class Place {
    top,
    names,
    entry_value,
    fields,
    dtype,
    shape,
    shape_items,
    data_offsets,
    offset_items,
    metadata_object,
    metadata,
    metadata_value,
    end
  };

  template <class... Parts>
  [[noreturn]] void fail_tensor(size_t at, const Parts&... parts) const {
    fail_at(at, "tensor ", escape_text(entry_.name), ": ", parts...);
  }

  bool unexpected(const std::string& found) {
    const size_t at = offsets_.start();
    switch (place_) {
      case Place::top:
        fail_at(at, "the header must be a JSON object, found ", found, kDamaged);
      case Place::entry_value:
        fail_tensor(at, "an object with dtype, shape and data_offsets is required, found ", found,
                    kFaulty);
      case Place::dtype:
        fail_tensor(at, "dtype must be a string, found ", found, kFaulty);
      case Place::shape:
        fail_tensor(at, "shape must be a list, found ", found, kFaulty);
      case Place::shape_items:
        fail_tensor(at, "shape must hold whole numbers from 0, found ", found, kFaulty);
      case Place::data_offsets:
      case Place::offset_items:
        fail_tensor(at, "data_offsets must be [begin, end], two whole numbers from 0, found ",
                    found, kFaulty);
      case Place::metadata_object:
        fail_at(at, "__metadata__ must be an object of strings, found ", found, kFaulty);
      case Place::metadata_value:
        fail_at(at, "__metadata__ values must be strings, found ", found, kFaulty);
      default:
        fail_at(at, "unexpected ", found, kDamaged);
    }
  }

  void name_key(size_t at, std::string& key) {
    if (key == kMetadataKey) {
      if (std::exchange(has_metadata_, true)) fail_at(at, "__metadata__ stands twice", kFaulty);
      place_ = Place::metadata_object;
      return;
    }
    if (key.size() > kMaxNameBytes)
      fail_at(at, "a tensor name of ", key.size(), " bytes (", escape_text(key), "); the cap is ",
              kMaxNameBytes, kFaulty);
    if (header_.tensors.size() == kMaxTensors)
      fail_at(at, "more than ", kMaxTensors, " tensors, the cap", kFaulty);
    if (!names_.insert(key).second)
      fail_at(at, "tensor ", escape_text(key),
              " stands twice. The file was written by a faulty program; download it again.");
    entry_.name = std::move(key);
    place_ = Place::entry_value;
  }

  void field_key(size_t at, const std::string& key) {
    value_at_ = at;
    bool repeated = false;
    if (key == "dtype") {
      repeated = type_.has_value();
      place_ = Place::dtype;
    } else if (key == "shape") {
      repeated = std::exchange(has_shape_, true);
      place_ = Place::shape;
    } else if (key == "data_offsets") {
      repeated = std::exchange(has_offsets_, true);
      place_ = Place::data_offsets;
    } else {
      fail_tensor(at, "unknown field ", escape_text(key),
                  "; an entry has dtype, shape and data_offsets", kFaulty);
    }
    if (repeated)
      fail_tensor(at, "the field ", key,
                  " stands twice. The file was written by a faulty program; download it again.");
  }

  void finish_entry() {
    for (const auto& [name, present] : {std::pair{"dtype", type_.has_value()},
                                        {"shape", has_shape_},
                                        {"data_offsets", has_offsets_}})
      if (!present) fail_tensor(entry_at_, "the field ", name, " is missing", kFaulty);
    entry_.type = *type_;
    const uint64_t begin = offset_items_[0], end = offset_items_[1];
    if (begin > end)
      fail_tensor(entry_at_, "data_offsets [", begin, ", ", end, "] end before they begin",
                  kFaulty);
    uint64_t bytes = 0;
    if (!checked_tensor_bytes(entry_.type, entry_.shape, &bytes))
      fail_tensor(entry_at_, "shape ", shape_text(entry_.shape), " x ",
                  tensor_type_name(entry_.type), " overflows 64 bits", kFaulty);
    if (bytes != end - begin)
      fail_tensor(entry_at_, "shape ", shape_text(entry_.shape), " x ",
                  tensor_type_name(entry_.type), " = ", bytes, " bytes but data_offsets span ",
                  end - begin, kFaulty);
    entry_.offset = begin;
    entry_.bytes = bytes;
    header_.tensors.push_back(entry_);
  }

  std::string_view text_;
  const std::string& path_;
  TokenOffsets offsets_;
  Place place_ = Place::top;
  SafetensorsHeader header_;
  std::unordered_set<std::string> names_;
  bool has_metadata_ = false;
  std::string key_;
  // The entry being read.
  TensorEntry entry_;
  std::optional<TensorType> type_;
  bool has_shape_ = false, has_offsets_ = false;
  std::vector<uint64_t> offset_items_;
  size_t entry_at_ = 0, value_at_ = 0;
};

/// What a file that is no safetensors file may be instead.
const char* guess_format(std::string_view start) {
  if (start.starts_with("PK\x03\x04") || start.starts_with("\x80\x02"))
    return " This looks like a PyTorch pickle: convert it with transformers' "
           "save_pretrained(safe_serialization=True).";
  if (start.starts_with("GGUF")) return " This is a GGUF file: convert it to safetensors.";
  if (start.starts_with("version https://git-lfs"))
    return " This is a Git LFS pointer, not the file itself: run git lfs pull.";
  if (start.starts_with("<"))
    return " This looks like a web page, saved in place of the file; download it again.";
  return " Is it a safetensors file? If so it is damaged; download it again.";
}

/// Sorts by offset, makes the offsets relative to the file and checks that the spans tile [0,
/// data_bytes).
void check_spans(SafetensorsHeader& header, uint64_t data_begin, uint64_t data_bytes,
                 const std::string& path) {
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) {
              return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
            });
  uint64_t end = 0;
  for (TensorEntry& entry : header.tensors) {
    require(entry.offset == end, ErrorKind::data, "safetensors", path, ": tensor ",
            escape_text(entry.name), ": data begins at ", entry.offset,
            " but the tensor before it ends at ", end,
            entry.offset < end ? " (they overlap)" : " (a hole)", kFaulty);
    end = entry.offset + entry.bytes;  // no overflow: both come from one [begin, end]
    // A span beyond the file is refused below; until then its offset may wrap, and is not used.
    entry.offset += data_begin;
  }
  require(end == data_bytes, ErrorKind::data, "safetensors", path, ": the tensors take ", end,
          " bytes but the file holds ", data_bytes, " after the header (",
          end < data_bytes ? "bytes that belong to no tensor" : "cut short",
          "). Download it again.");
}

}  // namespace

int64_t tensor_type_bytes(TensorType type) {
  for (const TensorTypeInfo& info : kTensorTypes)
    if (info.type == type) return info.bytes;
  fail(ErrorKind::internal, "safetensors", "no such TensorType: ", static_cast<int>(type));
}

std::string_view tensor_type_name(TensorType type) {
  for (const TensorTypeInfo& info : kTensorTypes)
    if (info.type == type) return info.name;
  fail(ErrorKind::internal, "safetensors", "no such TensorType: ", static_cast<int>(type));
}

bool checked_tensor_bytes(TensorType type, const std::vector<int64_t>& shape, uint64_t* bytes) {
  int64_t product = tensor_type_bytes(type);
  for (const int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(product, size, &product)) return false;
  *bytes = static_cast<uint64_t>(product);
  return true;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (const int64_t size : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(size);
  return out + "]";
}

int64_t TensorEntry::elements() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>());
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file_start,
                                           uint64_t file_size, const std::string& path) {
  require(file_size >= kLengthBytes, ErrorKind::data, "safetensors", path, ": has ", file_size,
          " bytes; a safetensors file has at least the 8 of its header length. Download it again.");
  require(file_start.size() >= kLengthBytes, ErrorKind::internal, "safetensors", path, ": only ",
          file_start.size(), " bytes were read; the header length needs 8.");
  uint64_t length = 0;
  std::memcpy(&length, file_start.data(), kLengthBytes);
  const std::string_view start(reinterpret_cast<const char*>(file_start.data()),
                               std::min<size_t>(file_start.size(), 64));
  require(length <= kMaxHeaderBytes, ErrorKind::data, "safetensors", path,
          ": byte 0: header length ", length, " is above the cap of ", kMaxHeaderBytes, ".",
          guess_format(start));
  require(length <= file_size - kLengthBytes, ErrorKind::data, "safetensors", path,
          ": byte 0: header length ", length, " reaches beyond the end of the file (", file_size,
          " bytes).", guess_format(start));
  require(file_start.size() - kLengthBytes >= length, ErrorKind::internal, "safetensors", path,
          ": only ", file_start.size(), " bytes were read; the header needs ",
          kLengthBytes + length, ".");
  const std::string_view text(reinterpret_cast<const char*>(file_start.data()) + kLengthBytes,
                              length);
  HeaderReader reader(text, path);
  size_t offset = 0;
  if (const char* what = find_forbidden_byte(text, &offset))
    reader.fail_at(offset, "the header is not JSON: ", what, kDamaged);
  parse_json_events(text, reader, reader.reached());
  SafetensorsHeader header = reader.take();
  check_spans(header, kLengthBytes + length, file_size - kLengthBytes - length, path);
  return header;
}

SafetensorsFile::SafetensorsFile(FileSystem& files, const std::string& path)
    : path_(path),
      map_(files.map(path)),
      header_(parse_safetensors_header({map_->data(), static_cast<size_t>(map_->size())},
                                       map_->size(), path)) {}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  for (const TensorEntry& entry : header_.tensors)
    if (entry.name == name) return &entry;
  return nullptr;
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorEntry& entry) const {
  require(entry.offset <= map_->size() && entry.bytes <= map_->size() - entry.offset,
          ErrorKind::internal, "safetensors", path_, ": tensor ", escape_text(entry.name),
          " is not an entry of this file.");
  return {map_->data() + entry.offset, static_cast<size_t>(entry.bytes)};
}

}  // namespace pref
