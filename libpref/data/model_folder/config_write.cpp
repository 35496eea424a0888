// SPDX-License-Identifier: Apache-2.0
// Writing config.json: the folder's own text with the fields that differ set anew, in the layout it
// has (transformers 4 or 5). The result is read back and compared, so a configuration that its
// family cannot express is never written.
#include <algorithm>

#include "libpref/base/error.h"
#include "libpref/data/model_folder/config_families.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

using Json = nlohmann::ordered_json;

Json rope_scaling_members(const RopeScaling& scaling, const char* type_key) {
  Json out = Json::object();
  if (scaling.kind == RopeScalingKind::linear) {
    out[type_key] = "linear";
    out["factor"] = scaling.factor;
  } else if (scaling.kind == RopeScalingKind::llama3) {
    out[type_key] = "llama3";
    out["factor"] = scaling.factor;
    out["low_freq_factor"] = scaling.low_freq_factor;
    out["high_freq_factor"] = scaling.high_freq_factor;
    out["original_max_position_embeddings"] = scaling.original_max_position_embeddings;
  } else {
    out[type_key] = "default";
  }
  return out;
}

void write_rope(const DecoderConfig& config, Json& json) {
  const RopeScaling& scaling = config.rope_scaling;
  if (json.contains("rope_parameters") && !json["rope_parameters"].is_null()) {
    json.erase("rope_theta");
    json.erase("rope_scaling");
    json["rope_parameters"] = rope_scaling_members(scaling, "rope_type");
    json["rope_parameters"]["rope_theta"] = config.rope_theta;
    return;
  }
  json["rope_theta"] = config.rope_theta;
  if (scaling.kind == RopeScalingKind::none) {
    json["rope_scaling"] = nullptr;
  } else {
    // transformers before 4.43 wants exactly "type" and "factor"; it does not know llama3.
    json["rope_scaling"] = rope_scaling_members(
        scaling, scaling.kind == RopeScalingKind::linear ? "type" : "rope_type");
  }
}

void write_windows(const DecoderConfig& config, const ModelType& type, Json& json) {
  const std::vector<int64_t>& windows = config.layer_window;
  const auto first =
      std::find_if(windows.begin(), windows.end(), [](int64_t window) { return window != 0; });
  const int64_t window = first == windows.end() ? 0 : *first;
  const bool to_the_end = std::all_of(first, windows.end(), [&](int64_t w) { return w == window; });
  if (type.sliding_window != 0 && (window != 0 || !type.window_per_layer))
    json["sliding_window"] = window == 0 ? Json(nullptr) : Json(window);
  if (type.window_per_layer) {
    json["use_sliding_window"] = window != 0;
    if (window != 0) json["max_window_layers"] = to_the_end ? first - windows.begin() : 0;
  }
  if ((json.contains("layer_types") && !json["layer_types"].is_null()) ||
      (type.window_per_layer && !to_the_end)) {
    Json names = Json::array();
    for (const int64_t w : windows)
      names.push_back(w != 0 ? "sliding_attention" : "full_attention");
    json["layer_types"] = std::move(names);
  }
}

void write_dtype(const std::string& dtype, Json& json) {
  if (dtype.empty()) return;
  const bool has_new = json.contains("dtype"), has_old = json.contains("torch_dtype");
  const bool layout_5 = json.contains("rope_parameters");
  if (has_new || (!has_old && layout_5)) json["dtype"] = dtype;
  if (has_old || (!has_new && !layout_5)) json["torch_dtype"] = dtype;
}

Json token_id(const std::optional<int64_t>& id) { return id ? Json(*id) : Json(nullptr); }

/// The first field in which two configurations differ, json and dtype left aside; nullptr when
/// there is none.
const char* first_difference(const DecoderConfig& a, const DecoderConfig& b) {
#define PREF_COMPARE(field) \
  if (!(a.field == b.field)) return #field
  PREF_COMPARE(model_type);
  PREF_COMPARE(hidden_size);
  PREF_COMPARE(intermediate_size);
  PREF_COMPARE(num_hidden_layers);
  PREF_COMPARE(num_attention_heads);
  PREF_COMPARE(num_key_value_heads);
  PREF_COMPARE(head_dim);
  PREF_COMPARE(vocab_size);
  PREF_COMPARE(max_position_embeddings);
  PREF_COMPARE(rms_norm_eps);
  PREF_COMPARE(rope_theta);
  PREF_COMPARE(rope_scaling);
  PREF_COMPARE(tie_word_embeddings);
  PREF_COMPARE(qkv_bias);
  PREF_COMPARE(attention_out_bias);
  PREF_COMPARE(mlp_bias);
  PREF_COMPARE(qk_norm);
  PREF_COMPARE(layer_window);
  PREF_COMPARE(bos_token_id);
  PREF_COMPARE(eos_token_id);
  PREF_COMPARE(pad_token_id);
#undef PREF_COMPARE
  return nullptr;
}

}  // namespace

std::string write_decoder_config(const DecoderConfig& config, const std::string& dtype) {
  constexpr const char* kPath = "config.json";  // for messages: the text has no file yet
  const ModelType* type = find_model_type(config.model_type);
  require(type != nullptr, ErrorKind::option, "config", kPath, ": model_type ",
          escape_text(config.model_type), " is not supported; supported: ", supported_model_types(),
          ".");
  const bool fresh = config.json.empty();
  Json json = Json::object();
  DecoderConfig before;
  if (fresh) {
    json["architectures"] = Json::array({std::string(type->architecture)});
    json["model_type"] = config.model_type;
    json["hidden_act"] = "silu";
  } else {
    before = parse_decoder_config(config.json, kPath);
    require(before.model_type == config.model_type, ErrorKind::option, "config", kPath,
            ": its own text is of model_type ", before.model_type, ", its fields say ",
            config.model_type, ".");
    json = parse_json(config.json, "config", kPath);
  }
  const auto set = [&](const char* name, const auto& now, const auto& was) {
    if (fresh || !(now == was)) json[name] = now;
  };
  set("hidden_size", config.hidden_size, before.hidden_size);
  set("intermediate_size", config.intermediate_size, before.intermediate_size);
  set("num_hidden_layers", config.num_hidden_layers, before.num_hidden_layers);
  set("num_attention_heads", config.num_attention_heads, before.num_attention_heads);
  set("num_key_value_heads", config.num_key_value_heads, before.num_key_value_heads);
  set("vocab_size", config.vocab_size, before.vocab_size);
  set("max_position_embeddings", config.max_position_embeddings, before.max_position_embeddings);
  set("rms_norm_eps", config.rms_norm_eps, before.rms_norm_eps);
  set("tie_word_embeddings", config.tie_word_embeddings, before.tie_word_embeddings);
  if (type->attention_bias)
    set("attention_bias", config.attention_out_bias, before.attention_out_bias);
  if (type->mlp_bias) set("mlp_bias", config.mlp_bias, before.mlp_bias);
  set("bos_token_id", token_id(config.bos_token_id), token_id(before.bos_token_id));
  set("eos_token_id", token_id(config.eos_token_id), token_id(before.eos_token_id));
  set("pad_token_id", token_id(config.pad_token_id), token_id(before.pad_token_id));
  if (fresh || config.rope_theta != before.rope_theta ||
      !(config.rope_scaling == before.rope_scaling))
    write_rope(config, json);
  if (fresh || config.layer_window != before.layer_window) write_windows(config, *type, json);
  // An absent head_dim follows hidden_size and heads, which may have changed.
  set("head_dim", config.head_dim, before.head_dim);
  if (!fresh && !json.contains("head_dim") && type->head_dim == 0 &&
      (config.hidden_size != before.hidden_size ||
       config.num_attention_heads != before.num_attention_heads))
    json["head_dim"] = config.head_dim;
  write_dtype(dtype.empty() ? config.dtype : dtype, json);

  const std::string text = json.dump(2) + "\n";
  const DecoderConfig after = parse_decoder_config(text, kPath);
  if (const char* field = first_difference(config, after))
    fail(ErrorKind::option, "config", kPath, ": a ", config.model_type,
         " configuration cannot express this ", field, ".");
  return text;
}

}  // namespace pref
