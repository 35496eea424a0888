// SPDX-License-Identifier: Apache-2.0
// Words in the data that mean something to a tokenizer or a chat template: special tokens written
// out, and the marks of turns of templates that the data once went through.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "libpref/data/rows.h"
#include "libpref/data/tokenizer.h"

namespace pref::audit {

class Markers {
 public:
  /// Special tokens are the tokenizer's BOS, EOS, PAD and unknown token and its pieces of the shape
  /// <|...|>, as far as it makes one token of them where they stand in a text, and common marks of
  /// turns that it makes one token of.
  explicit Markers(const Tokenizer& tokenizer);

  struct Found {
    std::set<std::string> special;  ///< become one token of the tokenizer
    std::set<std::string> turns;    ///< marks of turns that are plain text to the tokenizer
    bool eos_inside = false;        ///< EOS stands before the end of the text
  };
  void find(std::string_view text, Found& found) const;
  void find(const Content& content, Found& found) const;

  bool is_special(int32_t id) const { return special_ids_.contains(id); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  void add(const std::string& word, bool special);
  std::unordered_map<std::string, bool, Hash, std::equal_to<>> bracketed_;  ///< word, is it special
  std::vector<std::pair<std::string, bool>> others_;  ///< words that < or [ does not open
  std::unordered_set<int32_t> special_ids_;
  std::string eos_;
};

}  // namespace pref::audit
