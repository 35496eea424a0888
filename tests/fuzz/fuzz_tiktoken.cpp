// SPDX-License-Identifier: Apache-2.0
// tiktoken ranks, as tokenizer.model. The 256 bytes that every file must hold are put before the
// input, so that mutations reach what stands behind them.
#include "libpref/base/log.h"
#include "libpref/data/tokenizer.h"
#include "libpref/data/tokenizers/token_files.h"
#include "tests/data/tiny_models.h"
#include "tests/fuzz/fuzz_util.h"

using namespace pref;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string bytes = testing::tiny_ranks({});
  set_log_level(LogLevel::error);
  const std::string_view input = fuzz::text_of(data, size);
  fuzz::accepts("t/tokenizer.model",
                [&] { parse_tiktoken(std::string(input), "t/tokenizer.model", {}); });
  std::shared_ptr<const Tokenizer> tokenizer;
  fuzz::accepts("t/tokenizer.model", [&] {
    tokenizer = parse_tiktoken(bytes + std::string(input), "t/tokenizer.model", {});
  });
  if (tokenizer == nullptr) return 0;
  for (const char* text :
       {"ab <s>a'll\n\t 12 é日😀<|eot_id|>  ", "abcabcabcabcabcabcabcabcabcabcabcabcabc"})
    fuzz::promise(tokenizer->decode(tokenizer->encode(text)) == text, "decoding undoes encoding");
  return 0;
}
