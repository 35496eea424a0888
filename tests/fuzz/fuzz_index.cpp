// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json: every shard name that is accepted is a child of the folder. The same
// input as tokenizer_config.json, which shares the JSON reader.
#include "libpref/data/added_tokens.h"
#include "libpref/data/model_folder/weight_index.h"
#include "tests/fuzz/fuzz_util.h"

using namespace pref;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  fuzz::accepts("m/model.safetensors.index.json", [&] {
    const WeightIndex index = parse_weight_index(text, "m/model.safetensors.index.json");
    fuzz::promise(!index.shards.empty(), "an index names a shard");
    for (const std::string& shard : index.shards)
      fuzz::promise(shard.find('/') == std::string::npos && shard.find('\0') == std::string::npos &&
                        shard != ".." && shard.ends_with(".safetensors"),
                    "shards are plain file names");
  });
  fuzz::accepts("m/tokenizer_config.json", [&] {
    TokenizerFolder folder;
    add_tokenizer_config(text, "m/tokenizer_config.json", folder);
    for (const auto& [id, token] : folder.added)
      fuzz::promise(id >= 0 && !token.content.empty(), "added tokens have an id and a text");
  });
  return 0;
}
