// SPDX-License-Identifier: Apache-2.0
// What a Hugging Face folder says about a tokenizer beside the vocabulary: special tokens, tokens
// added to the vocabulary, the policy for BOS. Read from tokenizer_config.json,
// special_tokens_map.json and chat_template.jinja.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pref {

struct AddedToken {
  std::string content;
  bool special = false;
  bool lstrip = false, rstrip = false;  ///< swallows white space on that side
  bool single_word = false;             ///< not found inside a word
  std::optional<bool> normalized;  ///< looked for in normalized text; by default if not special
};

struct TokenizerFolder {
  std::map<int32_t, AddedToken> added;            ///< added_tokens_decoder
  std::optional<std::string> bos, eos, pad, unk;  ///< token texts
  std::vector<std::string> additional;            ///< additional_special_tokens
  std::optional<bool> add_bos, add_eos;
  std::optional<bool>
      legacy;  ///< Llama: is every stretch of text between special tokens a text of its own?
  std::string chat_template;
};

/// What one such file (tokenizer_config.json or special_tokens_map.json) says, put over what `out`
/// has. `path` is for messages.
void add_tokenizer_config(const std::string& text, const std::string& path, TokenizerFolder& out);

/// Reads what is there of the files; a folder without any gives the defaults. Throws
/// ErrorKind::data with the path.
TokenizerFolder read_tokenizer_folder(const std::string& folder);

/// Splits texts at added tokens. The longest token that begins at a place wins, as in Hugging
/// Face's tokenizers.
class AddedTokenSplitter {
 public:
  void add(int32_t id, AddedToken token);
  struct Part {
    std::string_view
        text;         ///< plain text, or the token's occurrence with the white space it swallowed
    int32_t id = -1;  ///< the token's id, -1 for plain text
  };
  std::vector<Part> split(std::string_view text) const;
  /// The token's text, or nullptr when `id` was not added here.
  const std::string* content(int32_t id) const;
  std::optional<int32_t> find(std::string_view content) const;
  const std::map<int32_t, AddedToken>& tokens() const { return tokens_; }

 private:
  std::map<int32_t, AddedToken> tokens_;
  std::vector<std::vector<int32_t>> by_first_byte_ =
      std::vector<std::vector<int32_t>>(256);  ///< longest content first
};

}  // namespace pref
