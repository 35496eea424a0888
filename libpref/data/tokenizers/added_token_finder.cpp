// SPDX-License-Identifier: Apache-2.0
// See added_token_finder.h.
#include "libpref/data/tokenizers/added_token_finder.h"

#include <algorithm>
#include <cstring>

#include "libpref/data/tokenizers/regex.h"
#include "libpref/data/tokenizers/unicode.h"

namespace pref {
namespace {

/// Does a word character stand at the edge of `text`?
bool word_at(std::string_view text, bool at_end) {
  static const Regex first("\\A\\w", RegexDialect::rust, "single_word");
  static const Regex last("\\w\\z", RegexDialect::rust, "single_word");
  if (text.empty()) return false;
  // One character suffices, whatever the length of the text.
  size_t at = at_end ? text.size() - 1 : 0;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  size_t end = at;
  next_character(text, end);
  std::string buffer;
  const std::string_view subject = Regex::subject(text.substr(at, end - at), buffer);
  size_t begin = 0;
  return (at_end ? last : first).find(subject, 0, begin, end);
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::vector<std::pair<std::string, int32_t>> keys;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const std::string& pattern = entries_[i].pattern;
    if (pattern.empty()) continue;
    keys.emplace_back(pattern, static_cast<int32_t>(i));
    begins_[static_cast<uint8_t>(pattern[0])] = true;
  }
  // Two tokens may normalize to one text; the first one is found.
  std::stable_sort(keys.begin(), keys.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  keys.erase(std::unique(keys.begin(), keys.end(),
                         [](const auto& a, const auto& b) { return a.first == b.first; }),
             keys.end());
  trie_ = ByteTrie(std::move(keys));
  if (std::count(begins_.begin(), begins_.end(), true) == 1)
    only_first_ =
        static_cast<int>(std::find(begins_.begin(), begins_.end(), true) - begins_.begin());
}

size_t AddedTokenFinder::next_start(std::string_view text, size_t from) const {
  if (only_first_ >= 0) {
    const void* found = from < text.size()
                            ? std::memchr(text.data() + from, only_first_, text.size() - from)
                            : nullptr;
    return found != nullptr ? static_cast<size_t>(static_cast<const char*>(found) - text.data())
                            : text.size();
  }
  while (from < text.size() && !begins_[static_cast<uint8_t>(text[from])]) ++from;
  return from;
}

void AddedTokenFinder::split(std::string_view text, std::vector<Part>& out) const {
  size_t plain = 0;
  if (!entries_.empty()) {
    for (size_t at = next_start(text, 0); at < text.size();) {
      size_t length = 0;
      int32_t index = -1;
      trie_.prefixes(text, at, [&](size_t bytes, int32_t value) {
        length = bytes;
        index = value;
      });
      if (index < 0) {
        at = next_start(text, at + 1);
        continue;
      }
      const Entry& entry = entries_[static_cast<size_t>(index)];
      size_t begin = at, end = at + length;
      at = next_start(text, end);
      if (entry.token.single_word &&
          (word_at(text.substr(0, begin), true) || word_at(text.substr(end), false)))
        continue;
      if (entry.token.lstrip)
        begin = std::max(begin - white_space_suffix(text.substr(0, begin)), plain);
      if (entry.token.rstrip) end += white_space_prefix(text.substr(end));
      if (plain < begin) out.push_back({plain, begin, -1});
      out.push_back({begin, end, entry.id});
      plain = end;
    }
  }
  if (plain < text.size()) out.push_back({plain, text.size(), -1});
}

}  // namespace pref
