// SPDX-License-Identifier: Apache-2.0
// tokenizer.json: what is accepted has unique ids inside the vocabulary and encodes and decodes any
// text to ids inside it.
#include "libpref/base/log.h"
#include "libpref/data/tokenizer.h"
#include "libpref/data/tokenizers/token_files.h"
#include "tests/fuzz/fuzz_util.h"

using namespace pref;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = (set_log_level(LogLevel::error), true);
  (void)quiet;
  std::shared_ptr<const Tokenizer> tokenizer;
  const std::string bytes(fuzz::text_of(data, size));
  fuzz::accepts("t/tokenizer.json",
                [&] { tokenizer = parse_tokenizer_json(bytes, "t/tokenizer.json", {}); });
  if (tokenizer == nullptr) return 0;
  for (const std::string& text :
       {std::string("ab <s>a'll\n\t 12 é日😀<|end|>  "), bytes.substr(0, 200)}) {
    try {
      const std::vector<int32_t> ids = tokenizer->encode(text);
      for (const int32_t id : ids)
        fuzz::promise(id >= 0 && id < tokenizer->vocab_size(), "ids lie in the vocabulary");
      tokenizer->decode(ids);
    } catch (const Error& error) {  // a text that is not UTF-8 or cannot be written
      fuzz::check_message(error, "");
    }
  }
  return 0;
}
