// SPDX-License-Identifier: Apache-2.0
// See added_tokens.h.
#include "libpref/data/added_tokens.h"

#include <algorithm>
#include <charconv>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/whitespace.h"

namespace pref {
namespace {

using Json = nlohmann::ordered_json;
constexpr uint64_t kMaxConfigBytes = 32ull << 20;
constexpr int32_t kMaxAddedId = 1 << 24;
constexpr std::string_view kRemedy = "Correct the file or download it again.";

struct File {
  std::string path;
  Json json;
};

/// The text of a file of the folder, which may not be there.
std::optional<std::string> read_text_file(const std::string& path) {
  const FileInfo info = posix_file_system().info(path);
  if (!info.exists) return std::nullopt;
  require(info.is_regular, ErrorKind::data, "tokenizer", path,
          ": a regular file is required, found a folder or device. Put the file in its place.");
  return posix_file_system().read(path, kMaxConfigBytes);
}

[[noreturn]] void fail_type(const File& file, const std::string& pointer, std::string_view expected,
                            const Json& found) {
  fail(ErrorKind::data, "tokenizer", file.path, ": ", pointer, ": ", expected,
       " is required, found ", describe_json(found), ". ", kRemedy);
}

/// A token given as a string or as {"content": string, ...}.
std::string text_of_token(const File& file, const std::string& pointer, const Json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token.at("content").is_string())
    return token.at("content").get<std::string>();
  fail_type(file, pointer, "a token as a string or an object with content", token);
}

/// The token of that key; null and absent give nothing.
std::optional<std::string> token_text(const File& file, const std::string& key) {
  const auto found = file.json.find(key);
  if (found == file.json.end() || found->is_null()) return std::nullopt;
  return text_of_token(file, "/" + key, *found);
}

std::optional<bool> boolean(const File& file, const std::string& key) {
  const auto found = file.json.find(key);
  if (found == file.json.end() || found->is_null()) return std::nullopt;
  if (!found->is_boolean()) fail_type(file, "/" + key, "true or false", *found);
  return found->get<bool>();
}

void read_added(const File& file, TokenizerFolder& out) {
  const auto found = file.json.find("added_tokens_decoder");
  if (found == file.json.end()) return;
  if (!found->is_object()) fail_type(file, "/added_tokens_decoder", "an object", *found);
  for (const auto& [key, value] : found->items()) {
    const std::string pointer = "/added_tokens_decoder/" + escape_text(key);
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    require(error == std::errc() && end == key.data() + key.size() && id >= 0 && id < kMaxAddedId,
            ErrorKind::data, "tokenizer", file.path, ": ", pointer, ": a token id in [0, ",
            kMaxAddedId, ") is required as the key. ", kRemedy);
    if (!value.is_object() || !value.contains("content") || !value.at("content").is_string() ||
        value.at("content").get_ref<const std::string&>().empty())
      fail_type(file, pointer, "an object with a content that is not empty", value);
    AddedToken token{.content = value.at("content").get<std::string>()};
    bool normalized = false;
    for (const auto& [name, flag] : {std::pair{"special", &token.special},
                                     {"lstrip", &token.lstrip},
                                     {"rstrip", &token.rstrip},
                                     {"single_word", &token.single_word},
                                     {"normalized", &normalized}}) {
      if (!value.contains(name)) continue;
      if (!value.at(name).is_boolean())
        fail_type(file, pointer + "/" + name, "true or false", value.at(name));
      *flag = value.at(name).get<bool>();
    }
    if (value.contains("normalized")) token.normalized = normalized;
    require(out.added.emplace(id, std::move(token)).second, ErrorKind::data, "tokenizer", file.path,
            ": ", pointer, ": the id stands twice. ", kRemedy);
  }
}

void read_chat_template(const File& file, TokenizerFolder& out) {
  const auto found = file.json.find("chat_template");
  if (found == file.json.end() || found->is_null()) return;
  if (found->is_string()) {
    out.chat_template = found->get<std::string>();
  } else if (found->is_array()) {  // [{"name": "default", "template": ...}, ...]
    for (const Json& entry : *found)
      if (entry.is_object() && entry.value("name", Json()) == "default" &&
          entry.contains("template") && entry.at("template").is_string())
        out.chat_template = entry.at("template").get<std::string>();
  } else {
    fail_type(file, "/chat_template", "a string or a list of named templates", *found);
  }
}

}  // namespace

void add_tokenizer_config(const std::string& text, const std::string& path, TokenizerFolder& out) {
  const File file{
      path, parse_json(text, "tokenizer", path,
                       {.max_bytes = kMaxConfigBytes, .max_depth = 64, .max_values = 4'000'000})};
  if (!file.json.is_object()) fail_type(file, "/", "an object", file.json);
  for (const auto& [key, slot] : {std::pair{"bos_token", &out.bos},
                                  {"eos_token", &out.eos},
                                  {"pad_token", &out.pad},
                                  {"unk_token", &out.unk}})
    if (auto token = token_text(file, key)) *slot = std::move(token);
  if (const auto more = file.json.find("additional_special_tokens");
      more != file.json.end() && !more->is_null()) {
    if (!more->is_array()) fail_type(file, "/additional_special_tokens", "a list", *more);
    for (size_t i = 0; i < more->size(); ++i)
      out.additional.push_back(
          text_of_token(file, "/additional_special_tokens/" + std::to_string(i), (*more)[i]));
  }
  if (auto flag = boolean(file, "add_bos_token")) out.add_bos = flag;
  if (auto flag = boolean(file, "add_eos_token")) out.add_eos = flag;
  if (auto flag = boolean(file, "legacy")) out.legacy = flag;
  read_added(file, out);
  read_chat_template(file, out);
}

TokenizerFolder read_tokenizer_folder(const std::string& folder) {
  TokenizerFolder out;
  // special_tokens_map.json first: what tokenizer_config.json says wins.
  for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
    const std::string path = join_path(folder, name);
    if (const auto text = read_text_file(path)) add_tokenizer_config(*text, path, out);
  }
  if (auto text = read_text_file(join_path(folder, "chat_template.jinja")))
    out.chat_template = std::move(*text);
  return out;
}

void AddedTokenSplitter::add(int32_t id, AddedToken token) {
  auto& bucket = by_first_byte_[static_cast<uint8_t>(token.content.at(0))];
  const bool known = tokens_.contains(id);
  if (known) {  // the folder's own entry for a token that the model has too
    auto& old = by_first_byte_[static_cast<uint8_t>(tokens_.at(id).content[0])];
    old.erase(std::find(old.begin(), old.end(), id));
  }
  tokens_[id] = std::move(token);
  bucket.push_back(id);
  std::stable_sort(bucket.begin(), bucket.end(), [&](int32_t a, int32_t b) {
    return tokens_.at(a).content.size() > tokens_.at(b).content.size();
  });
}

std::vector<AddedTokenSplitter::Part> AddedTokenSplitter::split(std::string_view text) const {
  std::vector<Part> parts;
  size_t plain = 0;  // start of the plain text not yet emitted
  for (size_t i = 0; i < text.size();) {
    const AddedToken* token = nullptr;
    int32_t id = -1;
    for (const int32_t candidate : by_first_byte_[static_cast<uint8_t>(text[i])]) {
      const AddedToken& t = tokens_.at(candidate);
      if (text.compare(i, t.content.size(), t.content) != 0) continue;
      token = &t;
      id = candidate;
      break;
    }
    if (token == nullptr) {
      ++i;
      continue;
    }
    size_t first = i, last = i + token->content.size();
    if (token->lstrip) {
      const std::string_view before = text.substr(plain, i - plain);
      size_t kept = before.size();
      while (kept > 0) {
        const size_t previous = character_start(before, kept - 1);
        if (whitespace_bytes(before, previous) == 0) break;
        kept = previous;
      }
      first = plain + kept;
    }
    if (token->rstrip)
      while (const size_t bytes = whitespace_bytes(text, last)) last += bytes;
    if (first > plain) parts.push_back({text.substr(plain, first - plain), -1});
    parts.push_back({text.substr(first, last - first), id});
    plain = i = last;
  }
  if (plain < text.size()) parts.push_back({text.substr(plain), -1});
  return parts;
}

const std::string* AddedTokenSplitter::content(int32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second.content;
}

std::optional<int32_t> AddedTokenSplitter::find(std::string_view content) const {
  if (content.empty()) return std::nullopt;
  for (const int32_t id : by_first_byte_[static_cast<uint8_t>(content[0])])
    if (tokens_.at(id).content == content) return id;
  return std::nullopt;
}

}  // namespace pref
