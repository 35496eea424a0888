// SPDX-License-Identifier: Apache-2.0
// Trains a sentencepiece tokenizer on a list of sentences and writes it as a Hugging Face tokenizer
// folder, so that the quickstart needs no download and its models load elsewhere.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pref {

/// Writes DIRECTORY/tokenizer.model (sentencepiece BPE with byte fallback; ids: <unk> 0, <s> 1,
/// </s> 2, the 256 bytes, then pieces; no padding token; text is not normalised) and
/// DIRECTORY/tokenizer_config.json (LlamaTokenizer, BOS added, EOS not), which transformers'
/// AutoTokenizer loads. Returns the path of tokenizer.model.
///
/// A number is the same piece wherever it stands: digits are kept apart from punctuation behind
/// them. vocab_size in [320, 1000000] is a limit: a small language may need less (every word is a
/// piece then). The result depends on the arguments alone. The directory is created; a tokenizer
/// already in it is an error (cannot_create). Throws ErrorKind::option for no sentences, an empty
/// one, one with a NUL byte, or a vocab_size that is out of range or too small for the sentences'
/// characters.
std::string train_sentencepiece(const std::vector<std::string>& sentences, int64_t vocab_size,
                                const std::string& directory);

}  // namespace pref
