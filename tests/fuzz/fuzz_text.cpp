// SPDX-License-Identifier: Apache-2.0
// Encoding and decoding of arbitrary texts by two fixed tokenizers. Every text that is UTF-8 comes
// back; one that is not is refused; arbitrary ids decode or are refused.
#include <cstring>

#include "libpref/base/log.h"
#include "libpref/data/tokenizer.h"
#include "libpref/data/tokenizers/token_files.h"
#include "tests/data/tiny_models.h"
#include "tests/fuzz/fuzz_util.h"

using namespace pref;

namespace {

void check_text(const Tokenizer& tokenizer, std::string_view text) {
  const bool valid = find_invalid_utf8(text) == std::string_view::npos;
  std::vector<int32_t> ids, behind;
  const bool encoded = fuzz::accepts("", [&] {
    ids = tokenizer.encode(text);
    behind = tokenizer.encode_continuation(text);
  });
  fuzz::promise(encoded == valid, "exactly the texts that are UTF-8 are encoded");
  if (!valid) return;
  for (const int32_t id : ids)
    fuzz::promise(id >= 0 && id < tokenizer.vocab_size(), "ids lie in the vocabulary");
  fuzz::promise(tokenizer.decode(ids) == text, "decoding undoes encoding");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizers = [] {
    set_log_level(LogLevel::error);
    return std::vector{
        parse_tokenizer_json(testing::byte_level_json().dump(), "tokenizer.json", {}),
        parse_tiktoken(testing::tiny_ranks(), "tokenizer.model", {}),
        parse_sentencepiece(testing::tiny_model(), "tokenizer.model", {})};
  }();
  const std::string_view text = fuzz::text_of(data, size);
  // sentencepiece drops NUL-terminated tails and writes its space mark for a space; only the
  // byte-level ones promise every text.
  for (size_t i = 0; i < 2; ++i) check_text(*tokenizers[i], text);
  fuzz::accepts("", [&] { tokenizers[2]->decode(tokenizers[2]->encode(text)); });

  std::vector<int32_t> ids(size / 2);
  for (size_t i = 0; i < ids.size(); ++i) {
    uint16_t id = 0;
    std::memcpy(&id, data + 2 * i, 2);
    ids[i] = static_cast<int32_t>(id % 300) - 1;
  }
  for (const auto& tokenizer : tokenizers) fuzz::accepts("", [&] { tokenizer->decode(ids); });
  return 0;
}
