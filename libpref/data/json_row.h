// SPDX-License-Identifier: Apache-2.0
// One line of JSON as a small tree that knows where each value stands, for messages with a column.
// Strict: repeated keys are refused, depth is capped. And the one error of a row, with the code
// that reports count it by.
#pragma once
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pref {

struct JsonValue {
  enum class Kind { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  bool boolean = false;
  double number = 0;
  std::string text;  ///< of a string; of a number as written
  std::vector<JsonValue> items;
  std::vector<std::pair<std::string, JsonValue>> members;
  size_t offset = 0;  ///< of the value's first byte in the line

  // Defined in json_row.cpp, where `members` is complete; clang does not compile implicit ones.
  JsonValue();
  JsonValue(const JsonValue&);
  JsonValue(JsonValue&&) noexcept;
  JsonValue& operator=(const JsonValue&);
  JsonValue& operator=(JsonValue&&) noexcept;
  ~JsonValue();

  bool is_string() const { return kind == Kind::string; }
  bool is_array() const { return kind == Kind::array; }
  bool is_object() const { return kind == Kind::object; }
  bool is_number() const { return kind == Kind::number; }
  bool is_null() const { return kind == Kind::null; }
  const JsonValue* find(std::string_view key) const;  ///< of an object; nullptr when absent
  std::string_view kind_name() const;                 ///< "null", "a string", "an array", ...
};

/// Why a row cannot be used. `code` is the short name that reports and rejects.jsonl carry;
/// `offset` is a byte of the line. Caught by load_preferences, which adds the place and, in strict
/// mode, throws pref::Error.
struct RowError : std::runtime_error {
  RowError(std::string code_, size_t offset_, const std::string& text)
      : std::runtime_error(text), code(std::move(code_)), offset(offset_) {}
  std::string code;
  size_t offset;
};

/// Parses a line. Throws RowError bad_json, dup_key.
JsonValue parse_json_row(std::string_view line);

/// The value as JSON text: members in order, numbers as they were written.
std::string json_text(const JsonValue& value);

}  // namespace pref
