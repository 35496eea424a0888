// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/audit/markers.h"

#include <algorithm>

#include "libpref/data/whitespace.h"

namespace pref::audit {
namespace {

constexpr size_t kLongestMarker = 64;
constexpr std::string_view kFullWidthBar = "\uFF5C";

/// Of the common chat templates and of plain-text transcripts.
constexpr std::string_view kTurns[] = {"<|im_start|>",
                                       "<|im_end|>",
                                       "<|user|>",
                                       "<|assistant|>",
                                       "<|system|>",
                                       "<|start_header_id|>",
                                       "<|end_header_id|>",
                                       "<|eot_id|>",
                                       "<|end|>",
                                       "<|endoftext|>",
                                       "<start_of_turn>",
                                       "<end_of_turn>",
                                       "[INST]",
                                       "[/INST]",
                                       "<<SYS>>",
                                       "<</SYS>>",
                                       "\n\nHuman:",
                                       "\n\nAssistant:",
                                       "### Instruction:",
                                       "### Response:"};

bool control_shape(std::string_view piece) {
  return piece.size() > 4 && piece.back() == '>' &&
         ((piece.starts_with("<|") && piece.ends_with("|>")) ||
          (piece.starts_with("<" + std::string(kFullWidthBar)) &&
           piece.ends_with(std::string(kFullWidthBar) + ">")));
}

bool bracketed(std::string_view word) {
  return word.size() <= kLongestMarker && ((word.front() == '<' && word.back() == '>') ||
                                           (word.front() == '[' && word.back() == ']'));
}

}  // namespace

Markers::Markers(const Tokenizer& tokenizer) {
  const SpecialTokens& special = tokenizer.special();
  for (const auto& id : {special.bos, special.eos, special.pad, special.unk})
    if (id) special_ids_.insert(*id);
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id)
    if (control_shape(tokenizer.piece(static_cast<int32_t>(id))))
      special_ids_.insert(static_cast<int32_t>(id));
  const auto one_token = [&](const std::string& word, int32_t id) {
    return tokenizer.encode_continuation(word) == std::vector<int32_t>{id};
  };
  for (const std::string_view turn : kTurns) {
    const std::string word(turn);
    if (const auto id = tokenizer.piece_id(word); id && one_token(word, *id))
      special_ids_.insert(*id);
    add(word, false);
  }
  for (const int32_t id : special_ids_) {
    const std::string word = tokenizer.piece(id);
    if (!word.empty() && one_token(word, id)) add(word, true);
  }
  if (special.eos) eos_ = tokenizer.piece(*special.eos);
}

void Markers::add(const std::string& word, bool special) {
  if (bracketed(word)) {
    bracketed_[word] = special;
    return;
  }
  std::erase_if(others_, [&](const auto& other) { return other.first == word; });
  others_.emplace_back(word, special);
}

void Markers::find(std::string_view text, Found& found) const {
  const auto note = [&](const std::string& word, bool special, size_t end) {
    (special ? found.special : found.turns).insert(word);
    if (special && word == eos_ && !strip(text.substr(end)).empty()) found.eos_inside = true;
  };
  for (size_t at = 0; (at = text.find_first_of("<[", at)) != std::string_view::npos; ++at) {
    const std::string_view rest = text.substr(at, kLongestMarker);
    // <<SYS>> ends with the second of two brackets.
    const char closing = rest[0] == '<' ? '>' : ']';
    for (size_t end = 0; (end = rest.find(closing, end)) != std::string_view::npos;) {
      const auto known = bracketed_.find(rest.substr(0, ++end));
      if (known != bracketed_.end()) note(known->first, known->second, at + end);
      if (known != bracketed_.end() || end >= rest.size() || rest[end] != closing) break;
    }
  }
  for (const auto& [word, special] : others_)
    for (size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; at += word.size())
      note(word, special, at + word.size());
}

void Markers::find(const Content& content, Found& found) const {
  if (!content.conversational()) find(content.text, found);
  for (const Message& message : content.messages) find(message.content, found);
}

}  // namespace pref::audit
