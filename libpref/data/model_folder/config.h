// SPDX-License-Identifier: Apache-2.0
// config.json of a Hugging Face decoder folder, checked field by field before anything is
// allocated. Reads the layouts of transformers 4 (rope_theta, rope_scaling) and 5
// (rope_parameters).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pref {

enum class RopeScalingKind { none, linear, llama3 };
struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::none;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  ///< llama3 only
  int64_t original_max_position_embeddings = 0;      ///< llama3 only
};

/// One decoder family member, as data: what differs between llama, mistral, qwen2 and qwen3 is said
/// by fields.
struct DecoderConfig {
  std::string model_type;  ///< llama, mistral, qwen2, qwen3
  int64_t hidden_size = 0, intermediate_size = 0, num_hidden_layers = 0;
  int64_t num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0;
  int64_t vocab_size = 0, max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;  ///< qwen2 always; llama, qwen3 by attention_bias
  bool attention_out_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  ///< qwen3: RMSNorm over each head of q and k
  /// Per layer: keys visible to a query, itself included; 0 = all earlier ones.
  std::vector<int64_t> layer_window;
  std::optional<int64_t> bos_token_id, eos_token_id,
      pad_token_id;   ///< the first where the file has a list
  std::string dtype;  ///< torch_dtype or dtype of the file, "" when absent
  std::string json;   ///< the file's own text, kept so that a saved folder loses no field
};

/// Parses and checks config.json's text; `path` is for messages (path: /json/path: required, found,
/// remedy). Unknown model_type, rope type, activation other than silu, quantization_config:
/// ErrorKind::data, naming what is supported.
DecoderConfig parse_decoder_config(const std::string& text, const std::string& path);

/// The text of a config.json for `config`: its own json with sizes and dtype as given now; a
/// minimal one when json is empty. Loads in transformers 4.40 and later. dtype "" keeps the file's.
/// ErrorKind::option, naming the field, for a configuration that the family's config.json cannot
/// express.
std::string write_decoder_config(const DecoderConfig& config, const std::string& dtype);

}  // namespace pref
