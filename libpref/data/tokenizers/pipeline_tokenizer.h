// SPDX-License-Identifier: Apache-2.0
// The tokenizer that tokenizer.json and tiktoken files describe: added tokens, normalizer, added
// tokens again, pre-tokenizer, model; and the decoder back. A pool of scratch memory makes encode
// const and usable from many threads at once without sharing a cache line between them.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libpref/data/added_tokens.h"
#include "libpref/data/tokenizer.h"
#include "libpref/data/tokenizers/added_token_finder.h"
#include "libpref/data/tokenizers/decoder.h"
#include "libpref/data/tokenizers/model.h"
#include "libpref/data/tokenizers/normalizer.h"
#include "libpref/data/tokenizers/pre_tokenizer.h"

namespace pref {

/// What the file's post-processor would put around a single text. Known, not applied: encode_row
/// places BOS and EOS.
struct SurroundingTokens {
  std::vector<int32_t> before, after;
};

struct TokenizerParts {
  std::string path;          ///< in messages
  std::string source;        ///< "tokenizer.json", for the log
  std::string bytes_digest;  ///< of the file
  std::map<int32_t, AddedToken> added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<TokenModel> model;
  Decoder decoder;
  SurroundingTokens surrounding;
  std::optional<std::string> unk;  ///< the model's own unknown token
  int32_t reserved_end = 0;        ///< ids below belong to the model though they have no name here
};

/// Puts what tokenizer_config.json and special_tokens_map.json say on top of the parts. Throws
/// ErrorKind::data where the files contradict each other.
std::shared_ptr<const Tokenizer> make_pipeline_tokenizer(TokenizerParts parts,
                                                         const TokenizerFolder& folder);

}  // namespace pref
