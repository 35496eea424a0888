// SPDX-License-Identifier: Apache-2.0
// The parts of tokenizer.json other than the model, each read strictly: every field typed, every
// kind and option known or refused by name. Needs nlohmann in the including file.
#pragma once
#include <map>
#include <vector>

#include "libpref/data/added_tokens.h"
#include "libpref/data/tokenizers/decoder.h"
#include "libpref/data/tokenizers/json_place.h"
#include "libpref/data/tokenizers/normalizer.h"
#include "libpref/data/tokenizers/pipeline_tokenizer.h"
#include "libpref/data/tokenizers/pre_tokenizer.h"

namespace pref {

std::map<int32_t, AddedToken> read_json_added_tokens(const JsonPlace& list);
std::vector<NormalizerStep> read_json_normalizer(const JsonPlace& place);

struct JsonPreTokenizer {
  std::vector<PreTokenizerStep> steps;
  bool byte_level = false;  ///< ByteLevel stands in it
  bool bytes_last = false;  ///< the last step turns bytes into characters of its alphabet
};
JsonPreTokenizer read_json_pre_tokenizer(const JsonPlace& place);
std::vector<DecoderStep> read_json_decoder(const JsonPlace& place);
SurroundingTokens read_json_post_processor(const JsonPlace& place);

}  // namespace pref
