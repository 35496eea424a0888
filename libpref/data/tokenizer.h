// SPDX-License-Identifier: Apache-2.0
// Text to ids and back. Encoding adds no special tokens: BOS and EOS are placed by the assembly
// (encode_row), once, by explicit policy.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pref {

struct SpecialTokens {
  std::optional<int32_t> bos, eos, pad, unk;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Ids of `text` (UTF-8). Pieces that the tokenizer declares as special or user-defined are
  /// recognised in the text.
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;
  /// Ids of `text` where it continues other text: without the space that a tokenizer puts before
  /// the start of a text.
  virtual std::vector<int32_t> encode_continuation(std::string_view text) const {
    return encode(text);
  }
  /// Special tokens are written as their text, so that decode undoes encode.
  virtual std::string decode(const std::vector<int32_t>& ids) const = 0;
  virtual int64_t vocab_size() const = 0;
  virtual std::string piece(int32_t id) const = 0;
  virtual std::optional<int32_t> piece_id(std::string_view piece) const = 0;
  virtual const SpecialTokens& special() const = 0;
  virtual bool adds_bos() const = 0;  ///< the folder's policy: does a sequence begin with BOS?
  /// Would the folder's own post-processing end a sequence with EOS? Known, never applied:
  /// EosPolicy decides.
  virtual bool adds_eos() const { return false; }
  virtual std::string kind() const = 0;    ///< "sentencepiece bpe", for the log
  virtual std::string digest() const = 0;  ///< of everything that decides ids; part of cache keys
  virtual std::string chat_format() const {
    return "";
  }  ///< "zephyr", "chatml", "llama-2" when recognised, else ""
  /// The folder's chat template, as text; "" when it has none.
  virtual std::string chat_template() const { return ""; }
};

/// Loads the tokenizer of a Hugging Face folder and logs which file it took, the first of
///   tokenizer.json       byte-level BPE, BPE with byte fallback, Unigram
///   tokenizer.model      sentencepiece, or tiktoken ranks as Llama 3's
///   *.tiktoken           tiktoken ranks of a known encoding
/// with tokenizer_config.json, special_tokens_map.json and chat_template.jinja where present. `path`
/// may also name one such file, then read alone, or a model of the local Hugging Face cache
/// (hub_cache.h). A tokenizer.json that is sound but of a kind
/// that is not built gives way to tokenizer.model with a warning. Throws missing_input or data,
/// naming the kind and the remedy.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& path);

}  // namespace pref
