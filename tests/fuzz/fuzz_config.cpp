// SPDX-License-Identifier: Apache-2.0
// config.json: what is accepted is consistent, and reads back the same after it is written.
#include "libpref/data/model_folder/config.h"
#include "tests/fuzz/fuzz_util.h"

using namespace pref;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  DecoderConfig config;
  const std::string text(fuzz::text_of(data, size));
  if (!fuzz::accepts("m/config.json",
                     [&] { config = parse_decoder_config(text, "m/config.json"); }))
    return 0;
  fuzz::promise(config.num_attention_heads % config.num_key_value_heads == 0,
                "key-value heads divide the heads");
  fuzz::promise(config.head_dim % 2 == 0 && config.head_dim > 0, "head sizes are even");
  fuzz::promise(config.layer_window.size() == static_cast<size_t>(config.num_hidden_layers),
                "every layer has a window");
  DecoderConfig again;
  fuzz::promise(
      fuzz::accepts(
          "",
          [&] { again = parse_decoder_config(write_decoder_config(config, ""), "m/config.json"); }),
      "what was accepted is written and accepted again");
  fuzz::promise(again.hidden_size == config.hidden_size && again.head_dim == config.head_dim &&
                    again.vocab_size == config.vocab_size &&
                    again.layer_window == config.layer_window &&
                    again.rope_theta == config.rope_theta &&
                    again.num_key_value_heads == config.num_key_value_heads &&
                    again.tie_word_embeddings == config.tie_word_embeddings,
                "writing loses nothing");
  return 0;
}
