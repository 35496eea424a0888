// SPDX-License-Identifier: Apache-2.0
// sentencepiece models: our own walk, then the library, then encoding and decoding.
#include "libpref/base/log.h"
#include "libpref/data/tokenizer.h"
#include "libpref/data/tokenizers/token_files.h"
#include "tests/fuzz/fuzz_util.h"

using namespace pref;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = (set_log_level(LogLevel::error), true);
  (void)quiet;
  std::shared_ptr<const Tokenizer> tokenizer;
  fuzz::accepts("t/tokenizer.model", [&] {
    tokenizer =
        parse_sentencepiece(std::string(fuzz::text_of(data, size)), "t/tokenizer.model", {});
  });
  if (tokenizer == nullptr) return 0;
  for (const char* text : {"ab <s>a'll\n\t 12 é日😀<|end|>  ", "", " ", "aaaaaaaaaaaaaaaaaaaaaaaa"})
    for (const bool start : {true, false})
      fuzz::accepts("t/tokenizer.model", [&] {
        const std::vector<int32_t> ids =
            start ? tokenizer->encode(text) : tokenizer->encode_continuation(text);
        for (const int32_t id : ids)
          fuzz::promise(id >= 0 && id < tokenizer->vocab_size(), "ids lie in the vocabulary");
        tokenizer->decode(ids);
      });
  return 0;
}
