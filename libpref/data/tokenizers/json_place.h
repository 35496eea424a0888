// SPDX-License-Identifier: Apache-2.0
// A value of a JSON file and the way to it, for readers that name both in every error:
//   [tokenizer] model/tokenizer.json: /model/merges/17: two tokens are required, found "a".
// Needs nlohmann in the including file.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pref {

class JsonPlace {
 public:
  using Json = nlohmann::ordered_json;
  JsonPlace(const Json& value, const std::string& file, std::string pointer)
      : value_(&value), file_(&file), pointer_(std::move(pointer)) {}

  [[noreturn]] void fail_here(std::string_view required) const;  ///< "..., found <value>."
  [[noreturn]] void fail_with(std::string_view text) const;
  [[noreturn]] void fail_unsupported_here(std::string_view what) const;

  const Json& json() const { return *value_; }
  const std::string& file() const { return *file_; }
  const std::string& pointer() const { return pointer_; }

  const Json& object() const;
  const Json& list() const;
  std::string string() const;
  bool boolean() const;
  int64_t integer(int64_t low, int64_t high) const;  ///< in [low, high]

  JsonPlace at(std::string_view key) const;                   ///< required
  std::optional<JsonPlace> find(std::string_view key) const;  ///< neither absent nor null
  std::vector<JsonPlace> items() const;                       ///< of a list

  bool boolean_or(std::string_view key, bool otherwise) const;
  std::string string_or(std::string_view key, std::string otherwise) const;
  /// An object whose keys are all among these: an option that is not known is an error, for it may
  /// change ids.
  void only(std::initializer_list<std::string_view> keys) const;

 private:
  const Json* value_;
  const std::string* file_;
  std::string pointer_;
};

}  // namespace pref
