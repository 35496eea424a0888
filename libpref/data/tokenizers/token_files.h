// SPDX-License-Identifier: Apache-2.0
// The readers that load_tokenizer chooses from. Each takes one file and what the folder's
// configuration says beside it (nothing, for a file given alone).
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "libpref/data/added_tokens.h"
#include "libpref/data/tokenizer.h"

namespace pref {

std::shared_ptr<const Tokenizer> load_sentencepiece(const std::string& path,
                                                    const TokenizerFolder& folder);
/// Hugging Face's tokenizer.json. Throws ErrorKind::data with path and JSON pointer;
/// UnsupportedTokenizer for what is sound but not built.
std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::string& path,
                                                     const TokenizerFolder& folder);
/// Lines of base64 token and rank. The split pattern and special tokens are not in the file: they
/// follow from its name or its number of ranks (tiktoken.cpp).
std::shared_ptr<const Tokenizer> load_tiktoken(const std::string& path,
                                               const TokenizerFolder& folder);
/// Do the first bytes of a file look like tiktoken ranks?
bool looks_like_tiktoken(std::string_view bytes);

}  // namespace pref
