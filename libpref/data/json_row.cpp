// SPDX-License-Identifier: Apache-2.0
// nlohmann's SAX events to a JsonValue tree. Containers under construction are on a stack: no
// recursion on input.
#include "libpref/data/json_row.h"

#include <algorithm>
#include <unordered_set>

#include "libpref/base/json_text.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

constexpr size_t kMaxDepth = 64;

class RowBuilder {
 public:
  explicit RowBuilder(std::string_view line) : line_(line) {}

  bool null() {
    add(JsonValue::Kind::null);
    return true;
  }
  bool boolean(bool value) {
    add(JsonValue::Kind::boolean).boolean = value;
    return true;
  }
  bool number_integer(int64_t value) {
    return number(static_cast<double>(value), std::to_string(value));
  }
  bool number_unsigned(uint64_t value) {
    return number(static_cast<double>(value), std::to_string(value));
  }
  bool number_float(double value, const std::string& text) { return number(value, text); }
  bool string(std::string& value) {
    add(JsonValue::Kind::string).text = std::move(value);
    return true;
  }
  bool binary(nlohmann::ordered_json::binary_t&) { return false; }
  bool start_object(size_t) { return open(JsonValue::Kind::object); }
  bool start_array(size_t) { return open(JsonValue::Kind::array); }
  bool key(std::string& key) {
    const size_t offset = token_offset();
    if (repeated(key))
      throw RowError("dup_key", offset,
                     path() + ": the key " + escape_text(key) + " stands twice in one object");
    open_.back()->members.emplace_back(std::move(key), JsonValue{});
    return true;
  }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool parse_error(size_t position, const std::string&, const std::exception& error) {
    throw RowError("bad_json", std::min(position == 0 ? 0 : position - 1, line_.size()),
                   "not JSON: " + json_syntax_message(error));
  }

  const char** reached() { return &reached_; }
  JsonValue take() { return std::move(root_); }

 private:
  /// Where the token that was just read begins: white space, ':' and ',' lie between two tokens.
  size_t token_offset() {
    size_t at = previous_;
    while (at < line_.size() &&
           std::string_view(" \t\r\n:,").find(line_[at]) != std::string_view::npos)
      ++at;
    previous_ = static_cast<size_t>(reached_ - line_.data());
    return at;
  }

  JsonValue& add(JsonValue::Kind kind) {
    JsonValue* value = &root_;
    if (!open_.empty()) {
      JsonValue& parent = *open_.back();
      value = parent.is_array() ? &parent.items.emplace_back() : &parent.members.back().second;
    }
    value->kind = kind;
    value->offset = token_offset();
    return *value;
  }
  bool number(double value, std::string text) {
    JsonValue& out = add(JsonValue::Kind::number);
    out.number = value;
    out.text = std::move(text);
    return true;
  }
  bool open(JsonValue::Kind kind) {
    if (open_.size() == kMaxDepth)
      throw RowError("bad_json", token_offset(),
                     "nesting is deeper than " + std::to_string(kMaxDepth));
    open_.push_back(&add(kind));
    keys_.emplace_back();
    return true;
  }
  /// Is `key` one of the open object's? Looked up among the members while they are few, in a set
  /// when a hostile line has many.
  bool repeated(const std::string& key) {
    constexpr size_t kFew = 32;
    const auto& members = open_.back()->members;
    if (members.size() < kFew) return open_.back()->find(key) != nullptr;
    std::unordered_set<std::string>& keys = keys_.back();
    if (keys.empty())
      for (const auto& [name, value] : members) keys.insert(name);
    return !keys.insert(key).second;
  }
  bool close() {
    open_.pop_back();
    keys_.pop_back();
    previous_ = static_cast<size_t>(reached_ - line_.data());
    return true;
  }
  /// The JSON pointer of the innermost open container.
  std::string path() const {
    std::string out;
    for (size_t i = 0; i + 1 < open_.size(); ++i) {
      const JsonValue& value = *open_[i];
      out += "/" + (value.is_array() ? std::to_string(value.items.size() - 1)
                                     : value.members.back().first);
    }
    return out.empty() ? "/" : out;
  }

  std::string_view line_;
  const char* reached_ = nullptr;
  size_t previous_ = 0;
  JsonValue root_;
  std::vector<JsonValue*> open_;  // stable: a parent does not grow while a child is open
  std::vector<std::unordered_set<std::string>> keys_;  // of each open object with many members
};

}  // namespace

JsonValue::JsonValue() = default;
JsonValue::JsonValue(const JsonValue&) = default;
JsonValue::JsonValue(JsonValue&&) noexcept = default;
JsonValue& JsonValue::operator=(const JsonValue&) = default;
JsonValue& JsonValue::operator=(JsonValue&&) noexcept = default;
JsonValue::~JsonValue() = default;

const JsonValue* JsonValue::find(std::string_view key) const {
  for (const auto& [name, value] : members)
    if (name == key) return &value;
  return nullptr;
}

std::string_view JsonValue::kind_name() const {
  switch (kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return "a boolean";
    case Kind::number:
      return "a number";
    case Kind::string:
      return "a string";
    case Kind::array:
      return "an array";
    case Kind::object:
      return "an object";
  }
  return "?";
}

std::string json_text(const JsonValue& value) {  // depth is capped by the parser
  switch (value.kind) {
    case JsonValue::Kind::null:
      return "null";
    case JsonValue::Kind::boolean:
      return json_value(value.boolean);
    case JsonValue::Kind::number:
      return value.text;
    case JsonValue::Kind::string:
      return json_value(value.text);
    case JsonValue::Kind::array: {
      JsonArray out;
      for (const JsonValue& item : value.items) out.add_raw(json_text(item));
      return out.str();
    }
    case JsonValue::Kind::object: {
      JsonObject out;
      for (const auto& [name, member] : value.members) out.add_raw(name, json_text(member));
      return out.str();
    }
  }
  return "null";
}

JsonValue parse_json_row(std::string_view line) {
  // nlohmann would skip it.
  if (line.starts_with("\xEF\xBB\xBF"))
    throw RowError(
        "bad_json", 0,
        "not JSON: a byte-order mark stands inside the file. Were files joined that each "
        "began with one? Remove it");
  RowBuilder builder(line);
  parse_json_events(line, builder, builder.reached());
  return builder.take();
}

}  // namespace pref
