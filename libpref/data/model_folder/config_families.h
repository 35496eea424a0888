// SPDX-License-Identifier: Apache-2.0
// What the supported model types differ in, and the defaults of their configuration classes in
// transformers (LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config), which a config.json may
// leave out.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "libpref/data/model_folder/config.h"

namespace pref {

struct ModelType {
  std::string_view name, architecture;
  int64_t num_key_value_heads;  ///< 0: as many as attention heads
  int64_t head_dim;             ///< 0: hidden_size / num_attention_heads
  int64_t max_position_embeddings;
  int64_t sliding_window;  ///< 0: none
  bool window_per_layer;   ///< use_sliding_window, max_window_layers and layer_types choose the
                           ///< layers
  bool qkv_bias;           ///< always there
  bool attention_bias, mlp_bias;  ///< reads these fields; attention_bias covers q, k, v and o
  bool qk_norm;
};

inline constexpr ModelType kModelTypes[] = {
    {"llama", "LlamaForCausalLM", 0, 0, 2048, 0, false, false, true, true, false},
    {"mistral", "MistralForCausalLM", 8, 0, 4096 * 32, 4096, false, false, false, false, false},
    {"qwen2", "Qwen2ForCausalLM", 32, 0, 32768, 4096, true, true, false, false, false},
    {"qwen3", "Qwen3ForCausalLM", 32, 128, 32768, 4096, true, false, true, false, true}};
inline constexpr int64_t kDefaultMaxWindowLayers = 28;

const ModelType* find_model_type(std::string_view name);  ///< nullptr when not supported
std::string supported_model_types();                      ///< "llama, mistral, ..."

bool operator==(const RopeScaling& a, const RopeScaling& b);

}  // namespace pref
