// SPDX-License-Identifier: Apache-2.0
// See json_place.h.
#include "libpref/data/tokenizers/json_place.h"

#include <algorithm>

#include "libpref/base/error.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/tokenizers/unsupported.h"

namespace pref {
namespace {

/// Keys may come from the file itself; in messages they are short and on one line.
std::string pointer_part(std::string_view key) {
  const std::string quoted = escape_text(key);
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

void JsonPlace::fail_with(std::string_view text) const {
  fail(ErrorKind::data, "tokenizer", *file_, ": ", pointer_.empty() ? "/" : pointer_, ": ", text,
       " The file is damaged or was made by another program; download it again.");
}

void JsonPlace::fail_here(std::string_view required) const {
  fail_with(std::string(required) + " is required, found " + describe_json(*value_) + ".");
}

void JsonPlace::fail_unsupported_here(std::string_view what) const {
  fail_unsupported(*file_, ": ", pointer_, ": ", what,
                   " is not supported. Use the tokenizer.model of the same model where there is "
                   "one, or tokenize with the tokenizers package and train on ids.");
}

const JsonPlace::Json& JsonPlace::object() const {
  if (!value_->is_object()) fail_here("an object");
  return *value_;
}
const JsonPlace::Json& JsonPlace::list() const {
  if (!value_->is_array()) fail_here("a list");
  return *value_;
}
std::string JsonPlace::string() const {
  if (!value_->is_string()) fail_here("a string");
  return value_->get<std::string>();
}
bool JsonPlace::boolean() const {
  if (!value_->is_boolean()) fail_here("true or false");
  return value_->get<bool>();
}
int64_t JsonPlace::integer(int64_t low, int64_t high) const {
  const bool fits = value_->is_number_unsigned()
                        ? value_->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                        : value_->is_number_integer();
  if (!fits || value_->get<int64_t>() < low || value_->get<int64_t>() > high)
    fail_here("an integer from " + std::to_string(low) + " to " + std::to_string(high));
  return value_->get<int64_t>();
}

JsonPlace JsonPlace::at(std::string_view key) const {
  const auto found = object().find(std::string(key));
  if (found == value_->end()) fail_with("the key " + escape_text(key) + " is missing.");
  return {*found, *file_, pointer_ + "/" + pointer_part(key)};
}

std::optional<JsonPlace> JsonPlace::find(std::string_view key) const {
  const auto found = object().find(std::string(key));
  if (found == value_->end() || found->is_null()) return std::nullopt;
  return JsonPlace(*found, *file_, pointer_ + "/" + pointer_part(key));
}

std::vector<JsonPlace> JsonPlace::items() const {
  std::vector<JsonPlace> out;
  for (const Json& item : list())
    out.emplace_back(item, *file_, pointer_ + "/" + std::to_string(out.size()));
  return out;
}

bool JsonPlace::boolean_or(std::string_view key, bool otherwise) const {
  const auto found = find(key);
  return found ? found->boolean() : otherwise;
}

std::string JsonPlace::string_or(std::string_view key, std::string otherwise) const {
  const auto found = find(key);
  return found ? found->string() : std::move(otherwise);
}

void JsonPlace::only(std::initializer_list<std::string_view> keys) const {
  for (const auto& [key, value] : object().items())
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      JsonPlace(value, *file_, pointer_ + "/" + pointer_part(key))
          .fail_unsupported_here("the option " + escape_text(key));
}

}  // namespace pref
