// SPDX-License-Identifier: Apache-2.0
// See unigram.h. Ties, the penalty of an unknown character and the fusing of unknown neighbours are
// those of the tokenizers package (and of sentencepiece): of two equal paths the one found first
// stays, in the order of shorter tokens first.
#include "libpref/data/tokenizers/unigram.h"

#include <algorithm>

#include "libpref/base/error.h"
#include "libpref/base/utf8.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/tokenizers/byte_level.h"

namespace pref {
namespace {

constexpr double kUnknownPenalty = 10.0;

}  // namespace

Unigram::Unigram(Vocabulary vocabulary, std::vector<double> scores, std::optional<int32_t> unk,
                 bool byte_fallback)
    : vocabulary_(std::move(vocabulary)),
      scores_(std::move(scores)),
      unk_(unk),
      byte_fallback_(byte_fallback) {
  std::vector<std::pair<std::string, int32_t>> keys;
  for (int32_t id = 0; id < vocabulary_.end_id(); ++id) keys.emplace_back(vocabulary_.text(id), id);
  trie_ = ByteTrie(std::move(keys));
  unk_score_ = *std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty;
  for (int b = 0; b < 256 && byte_fallback_; ++b) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(b));
    byte_ids_[static_cast<size_t>(b)] = vocabulary_.find(name);
  }
}

void Unigram::encode(std::string_view piece, ModelScratch& scratch,
                     std::vector<int32_t>& out) const {
  if (piece.empty()) return;
  if (piece.size() > WordCache::kMaxBytes) return word(piece, scratch, out);
  const WordCache::Key key = WordCache::key_of(piece);
  if (scratch.cache.find(key, out)) return;
  const size_t before = out.size();
  word(piece, scratch, out);
  scratch.cache.put(key, out.data() + before, out.size() - before);
}

void Unigram::word(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& out) const {
  auto& nodes = scratch.nodes;
  nodes.assign(piece.size() + 1, {0.0, -1, -1});
  for (size_t at = 0; at < piece.size();) {
    const double here = nodes[at].score;
    const size_t character = utf8_length(piece, at);
    bool single = false;
    const auto offer = [&](size_t length, double score, int32_t id) {
      auto& node = nodes[at + length];
      if (node.start < 0 || score > node.score) node = {score, static_cast<int64_t>(at), id};
    };
    trie_.prefixes(piece, at, [&](size_t length, int32_t id) {
      ++scratch.operations;
      offer(length, scores_[static_cast<size_t>(id)] + here, id);
      single = single || length == character;
    });
    if (!single) {
      require(unk_.has_value(), ErrorKind::data, "tokenizer", "the text holds ",
              escape_text(piece.substr(at, character)),
              ", which this unigram vocabulary cannot write: it has no unknown token.");
      offer(character, unk_score_ + here, *unk_);
    }
    at += character;
  }
  // Backwards: the tokens' ends. Unknown neighbours become one token.
  std::vector<int32_t>& ends = scratch.ids;
  ends.clear();
  bool unknown_behind = false;
  for (auto end = static_cast<int64_t>(piece.size()); end > 0;
       end = nodes[static_cast<size_t>(end)].start) {
    const bool unknown = unk_ && nodes[static_cast<size_t>(end)].id == *unk_;
    if (!unknown || !unknown_behind) ends.push_back(static_cast<int32_t>(end));
    unknown_behind = unknown;
  }
  size_t first = 0;
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
    append_token(piece.substr(first, static_cast<size_t>(*end) - first), out);
    first = static_cast<size_t>(*end);
  }
}

void Unigram::append_token(std::string_view text, std::vector<int32_t>& out) const {
  if (const int32_t id = vocabulary_.find(text); id >= 0) return out.push_back(id);
  const auto token = [&](char b) { return byte_ids_[static_cast<uint8_t>(b)]; };
  if (byte_fallback_ &&
      std::all_of(text.begin(), text.end(), [&](char b) { return token(b) >= 0; })) {
    for (const char b : text) out.push_back(token(b));
    return;
  }
  out.push_back(*unk_);
}

}  // namespace pref
