// SPDX-License-Identifier: Apache-2.0
// The readers that load_tokenizer chooses from. Each takes one file's bytes, its path for messages,
// and what the folder's configuration says beside it (nothing, for a file given alone).
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "libpref/data/added_tokens.h"
#include "libpref/data/tokenizer.h"

namespace pref {

constexpr uint64_t kMaxTokenizerJsonBytes = 256ull << 20;
constexpr uint64_t kMaxRankFileBytes = 64ull << 20;

std::shared_ptr<const Tokenizer> parse_sentencepiece(const std::string& bytes,
                                                     const std::string& path,
                                                     const TokenizerFolder& folder);
/// Hugging Face's tokenizer.json. Throws ErrorKind::data with path and JSON pointer;
/// UnsupportedTokenizer for what is sound but not built.
std::shared_ptr<const Tokenizer> parse_tokenizer_json(const std::string& bytes,
                                                      const std::string& path,
                                                      const TokenizerFolder& folder);
/// Lines of base64 token and rank. The split pattern and special tokens are not in the file: they
/// follow from its name or its number of ranks (tiktoken.cpp).
std::shared_ptr<const Tokenizer> parse_tiktoken(const std::string& bytes, const std::string& path,
                                                const TokenizerFolder& folder);
/// Do the first bytes of a file look like tiktoken ranks?
bool looks_like_tiktoken(std::string_view bytes);

}  // namespace pref
