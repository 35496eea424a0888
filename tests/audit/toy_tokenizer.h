// SPDX-License-Identifier: Apache-2.0
// One id a character, so that tests can count tokens by hand: printable ASCII, line breaks and ESC are
// known, any other byte is the unknown token. "th" is one token, <s>, </s> and <|user|> are special.
#pragma once
#include <string>
#include <vector>

#include "libpref/data/tokenizer.h"

namespace pref::testing {

class ToyTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kUnknown = 0, kBos = 1, kEos = 2, kUser = 3, kTh = 4;
  ToyTokenizer() {
    pieces_ = {"<unk>", "<s>", "</s>", "<|user|>", "th", "\n", "\x1b"};
    for (char c = ' '; c <= '~'; ++c) pieces_.emplace_back(1, c);
    special_ = {.bos = kBos, .eos = kEos, .pad = std::nullopt, .unk = kUnknown};
  }
  std::vector<int32_t> encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    while (!text.empty()) {
      size_t id = 1;
      while (id < pieces_.size() && !text.starts_with(pieces_[id])) ++id;
      ids.push_back(id < pieces_.size() ? static_cast<int32_t>(id) : kUnknown);
      text.remove_prefix(id < pieces_.size() ? pieces_[id].size() : 1);
    }
    return ids;
  }
  std::string decode(const std::vector<int32_t>& ids) const override {
    std::string text;
    for (const int32_t id : ids) text += piece(id);
    return text;
  }
  int64_t vocab_size() const override { return static_cast<int64_t>(pieces_.size()); }
  std::string piece(int32_t id) const override { return pieces_.at(static_cast<size_t>(id)); }
  std::optional<int32_t> piece_id(std::string_view piece) const override {
    for (size_t id = 0; id < pieces_.size(); ++id)
      if (pieces_[id] == piece) return static_cast<int32_t>(id);
    return std::nullopt;
  }
  const SpecialTokens& special() const override { return special_; }
  bool adds_bos() const override { return true; }
  std::string kind() const override { return "toy"; }
  std::string digest() const override { return "toy"; }

 private:
  std::vector<std::string> pieces_;
  SpecialTokens special_;
};

}  // namespace pref::testing
