// SPDX-License-Identifier: Apache-2.0
// The handler builds the value itself: nlohmann's own tree builder keeps the last of repeated keys
// in silence, and its ordered map looks every key up among all earlier ones, which is quadratic in
// the entries of an index file.
#include "libpref/data/model_folder/strict_json.h"

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

#include "libpref/base/utf8.h"

namespace pref {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRemedy = ". Correct the file or download it again.";

class StrictBuilder {
 public:
  StrictBuilder(std::string_view text, std::string_view where, const std::string& path,
                const JsonLimits& limits)
      : text_(text), where_(where), path_(path), limits_(limits), offsets_(text) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& key) {
    const size_t offset = offsets_.start();
    if (!open_.back().keys.insert(key).second)
      fail_at(offset, "the key " + escape_text(key) +
                          " stands twice in one object. Remove one of the two.");
    key_ = std::move(key);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const std::exception& error) {
    fail_at(position == 0 ? 0 : position - 1, "not JSON: " + json_syntax_message(error) + kRemedy);
  }

  const char** reached() { return offsets_.reached(); }
  Json take() { return std::move(root_); }

 private:
  struct Open {
    Json* value;
    std::unordered_set<std::string> keys;
  };

  [[noreturn]] void fail_at(size_t offset, const std::string& what) const {
    fail(ErrorKind::data, where_, path_, ":", line_and_column(text_, offset), ": ", what);
  }

  template <class T>
  Json* place(T&& value) {
    const size_t offset = offsets_.start();
    if (++count_ > limits_.max_values)
      fail_at(offset, "more than " + std::to_string(limits_.max_values) +
                          " values, the cap for this file" + kRemedy);
    if (open_.empty()) {
      root_ = std::forward<T>(value);
      return &root_;
    }
    Json& parent = *open_.back().value;
    if (parent.is_array())
      return &parent.get_ref<Json::array_t&>().emplace_back(std::forward<T>(value));
    // ordered_map is a vector of pairs; appending to it skips the search of its own emplace().
    Json::object_t& members = parent.get_ref<Json::object_t&>();
    members.push_back({std::move(key_), Json(std::forward<T>(value))});
    return &members.back().second;
  }
  template <class T>
  bool add(T&& value) {
    place(std::forward<T>(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() == limits_.max_depth)
      fail_at(offsets_.start(), "nested deeper than " + std::to_string(limits_.max_depth) +
                                    " levels, the cap for this file" + kRemedy);
    open_.push_back(
        {place(std::move(value)), {}});  // stable: a parent does not grow while a child is open
    return true;
  }
  bool close() {
    open_.pop_back();
    offsets_.close();
    return true;
  }

  std::string_view text_, where_;
  const std::string& path_;
  const JsonLimits& limits_;
  TokenOffsets offsets_;
  size_t count_ = 0;
  Json root_;
  std::string key_;
  std::vector<Open> open_;
};

}  // namespace

std::string escape_text(std::string_view text, size_t max_bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    std::string piece(1, text[at]);
    size_t taken = 1;
    if (byte == '"' || byte == '\\') {
      piece = {'\\', text[at]};
    } else if (byte == '\n') {
      piece = "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      piece = {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    } else if (byte >= 0x80) {
      taken = utf8_length(text, at);
      // U+0080 to U+009F are control characters too.
      if (taken != 0 && !(byte == 0xc2 && static_cast<unsigned char>(text[at + 1]) < 0xa0)) {
        piece = text.substr(at, taken);
      } else {
        taken = 1;
        piece = {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
      }
    }
    if (out.size() - 1 + piece.size() > max_bytes) return out + "...\"";
    out += piece;
    at += taken;
  }
  return out + "\"";
}

std::string describe_json(const Json& value) {
  if (value.is_string()) return escape_text(value.get_ref<const std::string&>());
  if (value.is_array()) return "a list of " + std::to_string(value.size());
  if (value.is_object()) return value.empty() ? "an object without entries" : "an object";
  return value.dump();
}

std::string json_syntax_message(const std::exception& error) {
  // "[json.exception.parse_error.101] parse error at line 1, column 2: what; last read: '...';
  // expected X"
  std::string text = error.what();
  if (const size_t end = text.find("] ");
      text.starts_with("[json.exception.") && end != std::string::npos)
    text.erase(0, end + 2);
  if (text.starts_with("parse error"))
    if (const size_t colon = text.find(": "); colon != std::string::npos) text.erase(0, colon + 2);
  if (const size_t read = text.find("; last read: '"); read != std::string::npos) {
    const size_t rest = text.rfind("'; expected ");
    text = text.substr(0, read) +
           (rest != std::string::npos && rest > read ? text.substr(rest + 1) : std::string());
  }
  std::string out = escape_text(text, 160);
  return out.substr(1, out.size() - 2);
}

const char* find_forbidden_byte(std::string_view text, size_t* offset) {
  *offset = 0;
  if (text.starts_with("\xef\xbb\xbf")) return "a UTF-8 byte-order mark";
  *offset = text.find('\0');
  return *offset == std::string_view::npos ? nullptr : "a NUL byte";
}

std::string line_and_column(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const size_t newline = before.rfind('\n');
  return std::to_string(1 + std::count(before.begin(), before.end(), '\n')) + ":" +
         std::to_string(1 + before.size() - (newline == std::string_view::npos ? 0 : newline + 1));
}

Json parse_json(std::string_view text, std::string_view where, const std::string& path,
                const JsonLimits& limits) {
  require(text.size() <= limits.max_bytes, ErrorKind::data, where, path, ": has ", text.size(),
          " bytes; the cap for this file is ", limits.max_bytes, kRemedy);
  size_t offset = 0;
  if (const char* what = find_forbidden_byte(text, &offset))
    fail(ErrorKind::data, where, path, ":", line_and_column(text, offset), ": not JSON: ", what,
         offset == 0 && text[0] != '\0' ? ". Save the file without it." : kRemedy);
  StrictBuilder builder(text, where, path, limits);
  parse_json_events(text, builder, builder.reached());
  return builder.take();
}

}  // namespace pref
