// SPDX-License-Identifier: Apache-2.0
// The unigram language model (arXiv:1804.10959): of all ways to cut a piece into tokens the one of
// the highest sum of scores, by Viterbi's algorithm over a trie. O(bytes x longest token).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/tokenizers/byte_trie.h"
#include "libpref/data/tokenizers/model.h"

namespace pref {

class Unigram final : public TokenModel {
 public:
  /// scores[id], one for each token of the vocabulary.
  Unigram(Vocabulary vocabulary, std::vector<double> scores, std::optional<int32_t> unk,
          bool byte_fallback);
  void encode(std::string_view piece, ModelScratch& scratch,
              std::vector<int32_t>& out) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string name() const override {
    return byte_fallback_ ? "unigram with byte fallback" : "unigram";
  }

 private:
  void word(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& out) const;
  void append_token(std::string_view text, std::vector<int32_t>& out) const;
  Vocabulary vocabulary_;
  std::vector<double> scores_;
  std::optional<int32_t> unk_;
  bool byte_fallback_;
  std::vector<int32_t> byte_ids_ = std::vector<int32_t>(256, -1);
  double unk_score_ = 0;
  ByteTrie trie_;
};

}  // namespace pref
