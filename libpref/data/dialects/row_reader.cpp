// SPDX-License-Identifier: Apache-2.0
// See row_reader.h: fields and their errors.
#include "libpref/data/dialects/row_reader.h"

#include <algorithm>
#include <cmath>

#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/whitespace.h"

namespace pref::dialects {

void refuse(const char* code, const JsonValue& at, const std::string& text) {
  throw RowError(code, at.offset, text);
}

void refuse_type(const std::string& pointer, const JsonValue& found, const std::string& expected) {
  refuse("bad_type", found,
         pointer + " is " + std::string(found.kind_name()) + ", expected " + expected);
}

bool blank(std::string_view text) { return strip(text).empty(); }

bool has(const JsonValue& root, std::string_view key) {
  const JsonValue* value = root.find(key);
  return value != nullptr && !value->is_null();
}
bool has_string(const JsonValue& root, std::string_view key) {
  const JsonValue* value = root.find(key);
  return value != nullptr && value->is_string();
}
bool has_array(const JsonValue& root, std::string_view key) {
  const JsonValue* value = root.find(key);
  return value != nullptr && value->is_array();
}

const JsonValue* RowReader::find(std::string_view key) {
  const JsonValue* value = root.find(key);
  if (value != nullptr) read_.push_back(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const JsonValue& RowReader::require_member(std::string_view key) {
  const JsonValue* value = root.find(key);
  if (value == nullptr) missing(key);
  read_.push_back(key);
  return *value;
}

Field RowReader::value_field(const JsonValue& value, std::string pointer) {
  Field f{.json = &value, .pointer = std::move(pointer)};
  if (value.is_string())
    f.content.text = value.text;
  else if (value.is_array())
    f.content.messages = read_messages(value, f.pointer);
  else if (value.is_object())
    f.content.messages = {read_message(value, f.pointer)};
  else
    refuse_type(f.pointer, value, "a string or a list of messages");
  return f;
}

Field RowReader::field(std::string_view key, bool required) {
  if (!required && find(key) == nullptr) return {.pointer = "/" + std::string(key)};
  return value_field(require_member(key), "/" + std::string(key));
}

std::string RowReader::optional_text(std::string_view key) {
  const JsonValue* value = find(key);
  if (value == nullptr) return "";
  if (!value->is_string()) refuse_type("/" + std::string(key), *value, "a string");
  return blank(value->text) ? "" : value->text;
}

std::vector<Field> RowReader::response_list(std::string_view key) {
  const JsonValue& list = require_member(key);
  const std::string pointer = "/" + std::string(key);
  if (!list.is_array()) refuse_type(pointer, list, "a list of responses");
  if (list.items.empty())
    refuse("bad_type", list, pointer + " is an empty list, expected responses");
  std::vector<Field> out;
  for (size_t i = 0; i < list.items.size(); ++i)
    out.push_back(value_field(list.items[i], pointer + "/" + std::to_string(i)));
  return out;
}

double RowReader::number(const JsonValue& value, const std::string& pointer) const {
  if (!value.is_number() || !std::isfinite(value.number))
    refuse_type(pointer, value, "a finite number");
  return value.number;
}

void RowReader::note(const char* code) {
  if (std::find(out.notes.begin(), out.notes.end(), code) == out.notes.end())
    out.notes.emplace_back(code);
}

void RowReader::note_nul(const JsonValue& value) {  // depth is capped by the parser
  if (value.text.find('\0') != std::string::npos) note("nul_byte");
  for (const JsonValue& item : value.items) note_nul(item);
  for (const auto& [key, member] : value.members) note_nul(member);
}

std::vector<std::string> RowReader::unread() const {
  std::vector<std::string> out_keys;
  for (const auto& [key, value] : root.members)
    if (std::find(read_.begin(), read_.end(), key) == read_.end()) out_keys.push_back(key);
  return out_keys;
}

void RowReader::missing(std::string_view key) const {
  std::string found;
  for (const auto& [name, value] : root.members)
    found += (found.empty() ? "" : ", ") + escape_text(name, 40);
  if (found.size() > 200) found = found.substr(0, character_start(found, 200)) + "...";
  const std::string near = nearest_name(std::string(key), unread());
  throw RowError("missing_key", root.offset,
                 "field \"" + std::string(key) +
                     "\" is missing (found: " + (found.empty() ? "nothing" : found) + ")." +
                     (near.empty() ? "" : " Is " + escape_text(near, 40) + " meant?") +
                     " A row needs prompt, chosen, rejected; or chosen, rejected; or prompt, "
                     "completion; or messages; or another layout of docs/data_formats.md");
}

std::vector<Message> RowReader::opening(const std::string& system, const std::string& user) {
  std::vector<Message> out;
  if (!system.empty()) out.push_back({"system", system});
  out.push_back({"user", user});
  return out;
}

}  // namespace pref::dialects
