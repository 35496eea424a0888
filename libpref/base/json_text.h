// SPDX-License-Identifier: Apache-2.0
// Writing JSON (RFC 8259): metrics lines, run.json, digest inputs. Members keep the order they were
// added in, so equal
// values give equal bytes. Reading is simdjson's and nlohmann-json's.
//   JsonObject().add("step", 3).add("loss", 0.5).add_raw("tags", JsonArray().add("a").str()).str()
//     == {"step":3,"loss":0.5,"tags":["a"]}
#pragma once
#include <concepts>
#include <string>
#include <string_view>

namespace pref {

/// A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
std::string json_value(std::string_view text);
inline std::string json_value(const char* text) { return json_value(std::string_view(text)); }
inline std::string json_value(const std::string& text) {
  return json_value(std::string_view(text));
}
/// The shortest text that reads back as the same double; null for NaN and infinities, which JSON
/// does not have.
std::string json_value(double value);
template <std::integral T>
std::string json_value(T value) {
  if constexpr (std::same_as<T, bool>)
    return value ? "true" : "false";
  else
    return std::to_string(value);
}

class JsonObject {
 public:
  template <class T>
  JsonObject& add(std::string_view name, const T& value) {
    return add_raw(name, json_value(value));
  }
  /// `json` is JSON text, taken as it stands.
  JsonObject& add_raw(std::string_view name, std::string_view json);
  JsonObject& add_null(std::string_view name) { return add_raw(name, "null"); }
  bool empty() const { return members_.empty(); }
  std::string str() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

class JsonArray {
 public:
  template <class T>
  JsonArray& add(const T& value) {
    return add_raw(json_value(value));
  }
  JsonArray& add_raw(std::string_view json);
  bool empty() const { return elements_.empty(); }
  std::string str() const { return "[" + elements_ + "]"; }

 private:
  std::string elements_;
};

}  // namespace pref
