// SPDX-License-Identifier: Apache-2.0
// Reading config.json. Every field has its range; what the network could not compute as
// transformers does is refused by name. Absent fields get the defaults of transformers'
// configuration classes.
#include "libpref/data/model_folder/config.h"

#include <cmath>
#include <sstream>
#include <utility>

#include "libpref/base/error.h"
#include "libpref/data/model_folder/config_families.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t kMaxHidden = 1 << 20, kMaxIntermediate = 1 << 22, kMaxLayers = 10000,
                  kMaxHeads = 1 << 14;
constexpr int64_t kMaxHeadDim = 1 << 14, kMaxVocabulary = 1 << 24, kMaxPositions = int64_t{1} << 32;

/// One JSON object of the file with its pointer; null members count as absent, as transformers
/// writes them.
constexpr const char* kRemedy = ". Correct the file or download it again.";
constexpr const char* kOtherModel = ". Use a model of a supported kind.";

class Fields {
 public:
  Fields(const Json& object, std::string path, std::string pointer)
      : object_(object), path_(std::move(path)), pointer_(std::move(pointer)) {
    require(object_.is_object(), ErrorKind::data, "config", path_, ": ",
            pointer_.empty() ? "/" : pointer_, ": an object is required, found ",
            describe_json(object_), kRemedy);
  }

  const Json* find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  bool is_null(const char* name) const { return object_.contains(name) && object_[name].is_null(); }
  Fields object(const char* name) const {
    return Fields(*find(name), path_, pointer_ + "/" + name);
  }
  const Json& json() const { return object_; }

  template <class... Parts>
  [[noreturn]] void fail_at(const std::string& name, const Parts&... parts) const {
    fail(ErrorKind::data, "config", path_, ": ", pointer_, "/", name, ": ", parts...);
  }
  template <class... Required>
  void need(bool ok, const std::string& name, const Json* found,
            const Required&... required) const {
    if (ok) return;
    fail_at(name, required..., " is required, found ",
            found == nullptr ? "nothing" : describe_json(*found), kRemedy);
  }

  int64_t integer(const char* name, int64_t low, int64_t high,
                  std::optional<int64_t> absent = {}) const {
    const Json* value = find(name);
    if (value == nullptr && absent) return *absent;
    return integer_of(name, value, low, high);
  }
  int64_t integer_of(const std::string& name, const Json* value, int64_t low, int64_t high) const {
    need(value != nullptr && value->is_number_unsigned() &&
             value->get<uint64_t>() <= static_cast<uint64_t>(high) &&
             value->get<uint64_t>() >= static_cast<uint64_t>(low),
         name, value, "a whole number in [", low, ", ", high, "]");
    return value->get<int64_t>();
  }
  double number(const char* name, double low, double high,
                std::optional<double> absent = {}) const {
    const Json* value = find(name);
    if (value == nullptr && absent) return *absent;
    need(value != nullptr && value->is_number() && value->get<double>() >= low &&
             value->get<double>() <= high,
         name, value, "a number in [", low, ", ", high, "]");
    return value->get<double>();
  }
  bool boolean(const char* name, bool absent) const {
    const Json* value = find(name);
    if (value == nullptr) return absent;
    need(value->is_boolean(), name, value, "true or false");
    return value->get<bool>();
  }
  std::string text(const char* name, const std::string& absent) const {
    const Json* value = find(name);
    if (value == nullptr) return absent;
    need(value->is_string(), name, value, "a string");
    return value->get<std::string>();
  }

 private:
  const Json& object_;
  std::string path_, pointer_;
};

struct Rope {
  std::optional<double> theta;
  RopeScaling scaling;
};

/// The members of rope_scaling (transformers 4) or rope_parameters (5).
Rope read_rope(const Fields& fields) {
  for (const auto& [name, value] : fields.json().items())
    if (value.is_object())
      fields.fail_at(
          name, "rotary parameters per layer type are not supported; one set for all layers is", kOtherModel);
  Rope rope;
  if (fields.find("rope_theta") != nullptr) rope.theta = fields.number("rope_theta", 1, 1e15);
  const char* key = fields.find("rope_type") != nullptr ? "rope_type" : "type";
  const std::string type = fields.text(key, "default");
  if (const std::string old = fields.text("type", type); old != type)
    fields.fail_at("type", escape_text(old), " contradicts rope_type ", escape_text(type),
                   ". Remove one of the two.");
  if (const double part = fields.number("partial_rotary_factor", 0, 1, 1); part != 1)
    fields.fail_at("partial_rotary_factor", "only 1 is supported, found ", part, kOtherModel);
  if (type == "default") return rope;
  if (type == "linear") {
    rope.scaling.kind = RopeScalingKind::linear;
    rope.scaling.factor = fields.number("factor", 1, 1e6);
    return rope;
  }
  if (type != "llama3")
    fields.fail_at(key, escape_text(type),
                   " is not supported; supported: default, linear, llama3", kOtherModel);
  rope.scaling.kind = RopeScalingKind::llama3;
  rope.scaling.factor = fields.number("factor", 1, 1e6);
  rope.scaling.low_freq_factor = fields.number("low_freq_factor", 1e-6, 1e6);
  rope.scaling.high_freq_factor = fields.number("high_freq_factor", 1e-6, 1e6);
  fields.need(rope.scaling.high_freq_factor > rope.scaling.low_freq_factor, "high_freq_factor",
              fields.find("high_freq_factor"), "a number above low_freq_factor (",
              rope.scaling.low_freq_factor, ")");
  rope.scaling.original_max_position_embeddings =
      fields.integer("original_max_position_embeddings", 1, kMaxPositions);
  return rope;
}

void read_rope_fields(const Fields& fields, DecoderConfig& config) {
  std::optional<double> theta;
  if (fields.find("rope_theta") != nullptr) theta = fields.number("rope_theta", 1, 1e15);
  if (const double part = fields.number("partial_rotary_factor", 0, 1, 1); part != 1)
    fields.fail_at("partial_rotary_factor", "only 1 is supported, found ", part, kOtherModel);
  std::optional<Rope> read;
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    if (fields.find(name) == nullptr) continue;
    const Rope rope = read_rope(fields.object(name));
    if (read && !(read->scaling == rope.scaling))
      fields.fail_at(name, "contradicts rope_parameters. Remove one of the two.");
    if (rope.theta && theta && *theta != *rope.theta)
      fields.fail_at(std::string(name) + "/rope_theta", *rope.theta, " contradicts /rope_theta ",
                     *theta, ". Remove one of the two.");
    if (rope.theta) theta = rope.theta;
    if (!read) read = rope;
  }
  config.rope_theta = theta.value_or(10000);
  if (read) config.rope_scaling = read->scaling;
}

void read_windows(const Fields& fields, const ModelType& type, DecoderConfig& config) {
  const auto layers = static_cast<size_t>(config.num_hidden_layers);
  config.layer_window.assign(layers, 0);
  int64_t window = 0;
  if (type.sliding_window != 0 &&
      (!type.window_per_layer || fields.boolean("use_sliding_window", false)) &&
      !fields.is_null("sliding_window"))
    window = fields.integer("sliding_window", 1, kMaxPositions, type.sliding_window);
  const int64_t first = type.window_per_layer ? fields.integer("max_window_layers", 0, INT32_MAX,
                                                               kDefaultMaxWindowLayers)
                                              : 0;
  for (size_t i = 0; i < layers; ++i)
    if (static_cast<int64_t>(i) >= first) config.layer_window[i] = window;

  const Json* types = fields.find("layer_types");
  if (types == nullptr) return;
  fields.need(types->is_array() && types->size() == layers, "layer_types", types,
              "a list of num_hidden_layers (", layers, ") names");
  for (size_t i = 0; i < layers; ++i) {
    const Json& item = (*types)[i];
    const std::string name = "layer_types/" + std::to_string(i);
    fields.need(item.is_string(), name, &item, "a string");
    const bool sliding = item == "sliding_attention";
    if (!sliding && item != "full_attention")
      fields.fail_at(name, describe_json(item),
                     " is not supported; supported: full_attention, sliding_attention", kOtherModel);
    if (sliding && window == 0)
      fields.fail_at(name, "sliding_attention, but this configuration has no sliding window",
                     type.window_per_layer ? " (use_sliding_window and sliding_window)" : "", kRemedy);
    if (!sliding && window != 0 && !type.window_per_layer)
      fields.fail_at(name, "full_attention contradicts sliding_window ", window, ", which ",
                     type.name, " applies to all layers", kRemedy);
    config.layer_window[i] = sliding ? window : 0;
  }
}

std::optional<int64_t> read_token_id(const Fields& fields, const char* name, int64_t vocab_size) {
  const Json* value = fields.find(name);
  if (value == nullptr) return std::nullopt;
  const auto is_id = [&](const Json& id) {
    return id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(vocab_size);
  };
  if (value->is_array()) {
    fields.need(!value->empty(), name, value, "a token id or a list of token ids");
    for (const Json& id : *value)
      fields.need(is_id(id), name, &id, "token ids in [0, vocab_size = ", vocab_size, ")");
    return value->front().get<int64_t>();
  }
  // Early llama conversions say "no padding" with -1.
  if (std::string_view(name) == "pad_token_id" && *value == -1) return std::nullopt;
  fields.need(is_id(*value), name, value, "a token id in [0, vocab_size = ", vocab_size, ")");
  return value->get<int64_t>();
}

std::string read_dtype(const Fields& fields) {
  std::string out;
  const char* earlier = nullptr;
  for (const char* key : {"torch_dtype", "dtype"}) {
    std::string name = fields.text(key, "");
    if (name.empty()) continue;
    if (name.starts_with("torch.")) name.erase(0, 6);
    if (name != "float32" && name != "bfloat16" && name != "float16" && name != "float64")
      fields.fail_at(key, escape_text(name),
                     " is not supported; supported: float32, bfloat16, float16, float64", kOtherModel);
    if (earlier != nullptr && name != out)
      fields.fail_at(key, escape_text(name), " contradicts torch_dtype ", escape_text(out),
                     ". Remove one of the two.");
    out = name;
    earlier = key;
  }
  return out;
}

void refuse_unsupported(const Fields& fields) {
  if (fields.find("quantization_config") != nullptr)
    fields.fail_at(
        "quantization_config",
        "quantized weights are not supported. Use the bfloat16, float16 or float32 model.");
  if (const std::string name = fields.text("hidden_act", "silu"); name != "silu")
    fields.fail_at("hidden_act", escape_text(name), " is not supported; supported: silu", kOtherModel);
  if (fields.number("attention_dropout", 0, 1, 0) != 0)
    fields.fail_at("attention_dropout", "dropout in attention is not supported; set it to 0.");
  if (fields.boolean("is_encoder_decoder", false))
    fields.fail_at("is_encoder_decoder", "encoder-decoder models are not supported", kOtherModel);
}

}  // namespace

const ModelType* find_model_type(std::string_view name) {
  for (const ModelType& type : kModelTypes)
    if (type.name == name) return &type;
  return nullptr;
}

std::string supported_model_types() {
  std::string out;
  for (const ModelType& type : kModelTypes) out.append(out.empty() ? "" : ", ").append(type.name);
  return out;
}

bool operator==(const RopeScaling& a, const RopeScaling& b) {
  if (a.kind != b.kind || a.kind == RopeScalingKind::none) return a.kind == b.kind;
  if (a.factor != b.factor || a.kind == RopeScalingKind::linear) return a.factor == b.factor;
  return a.low_freq_factor == b.low_freq_factor && a.high_freq_factor == b.high_freq_factor &&
         a.original_max_position_embeddings == b.original_max_position_embeddings;
}

DecoderConfig parse_decoder_config(const std::string& text, const std::string& path) {
  const Json json = parse_json(text, "config", path,
                               {.max_bytes = 1'000'000, .max_depth = 32, .max_values = 100'000});
  const Fields fields(json, path, "");
  DecoderConfig config;
  config.json = text;
  config.model_type = fields.text("model_type", "");
  const ModelType* type = find_model_type(config.model_type);
  if (type == nullptr)
    fields.fail_at("model_type",
                   config.model_type.empty() ? "nothing" : escape_text(config.model_type),
                   " is not supported; supported: ", supported_model_types(), kOtherModel);
  refuse_unsupported(fields);

  config.hidden_size = fields.integer("hidden_size", 1, kMaxHidden);
  config.intermediate_size = fields.integer("intermediate_size", 1, kMaxIntermediate);
  config.num_hidden_layers = fields.integer("num_hidden_layers", 1, kMaxLayers);
  config.vocab_size = fields.integer("vocab_size", 1, kMaxVocabulary);
  config.max_position_embeddings =
      fields.integer("max_position_embeddings", 1, kMaxPositions, type->max_position_embeddings);

  const int64_t heads = config.num_attention_heads =
      fields.integer("num_attention_heads", 1, kMaxHeads);
  // transformers takes an absent field for its class's default, and null for "as many as attention
  // heads".
  const bool as_many = type->num_key_value_heads == 0 || fields.is_null("num_key_value_heads");
  config.num_key_value_heads = fields.integer("num_key_value_heads", 1, kMaxHeads,
                                              as_many ? heads : type->num_key_value_heads);
  if (heads % config.num_key_value_heads != 0)
    fields.fail_at("num_key_value_heads", "a divisor of num_attention_heads (", heads,
                   ") is required, found ", config.num_key_value_heads, kRemedy);
  if (fields.find("head_dim") == nullptr && type->head_dim == 0) {
    if (config.hidden_size % heads != 0)
      fields.fail_at("num_attention_heads", "a divisor of hidden_size (", config.hidden_size,
                     ") is required where head_dim is not given, found ", heads, kRemedy);
    config.head_dim = config.hidden_size / heads;
  } else {
    config.head_dim = fields.integer("head_dim", 1, kMaxHeadDim, type->head_dim);
  }
  if (config.head_dim % 2 != 0)
    fields.fail_at("head_dim", "an even number is required by rotary embeddings, found ",
                   config.head_dim, kRemedy);

  config.rms_norm_eps = fields.number("rms_norm_eps", 0, 1, 1e-6);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  const bool attention_bias = type->attention_bias && fields.boolean("attention_bias", false);
  config.qkv_bias = type->qkv_bias || attention_bias;
  config.attention_out_bias = attention_bias;
  config.mlp_bias = type->mlp_bias && fields.boolean("mlp_bias", false);
  config.qk_norm = type->qk_norm;
  read_rope_fields(fields, config);
  read_windows(fields, *type, config);
  config.bos_token_id = read_token_id(fields, "bos_token_id", config.vocab_size);
  config.eos_token_id = read_token_id(fields, "eos_token_id", config.vocab_size);
  config.pad_token_id = read_token_id(fields, "pad_token_id", config.vocab_size);
  config.dtype = read_dtype(fields);
  return config;
}

}  // namespace pref
