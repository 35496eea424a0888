// SPDX-License-Identifier: Apache-2.0
// Finds added tokens in text: at each place the longest that begins there, with the white space it
// swallows and the words it must not be part of, as in the tokenizers package.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "libpref/data/added_tokens.h"
#include "libpref/data/tokenizers/byte_trie.h"

namespace pref {

class AddedTokenFinder {
 public:
  struct Entry {
    int32_t id;
    std::string pattern;  ///< the content, normalized where the token is
    AddedToken token;
  };
  AddedTokenFinder() = default;
  explicit AddedTokenFinder(std::vector<Entry> entries);
  bool empty() const { return entries_.empty(); }

  struct Part {
    size_t begin, end;
    int32_t id;  ///< -1: plain text
  };
  /// The parts of `text` in order, appended to `out`.
  void split(std::string_view text, std::vector<Part>& out) const;

 private:
  size_t next_start(std::string_view text, size_t from) const;
  std::vector<Entry> entries_;
  ByteTrie trie_;  ///< values are indices into entries_
  std::array<bool, 256> begins_{};
  int only_first_ = -1;  ///< the byte that all tokens begin with, where there is one
};

}  // namespace pref
