// SPDX-License-Identifier: Apache-2.0
// config.json of the four families: values and defaults, both layouts of transformers, round trips,
// bad files by name.
#include <nlohmann/json.hpp>

#include "libpref/data/model_folder/config_families.h"
#include "tests/model_folder/model_folder_test_util.h"

namespace pref {
namespace {

using namespace pref::testing;  // NOLINT
using Json = nlohmann::ordered_json;

constexpr const char* kPath = "m/config.json";

Json sizes(const std::string& model_type) {
  return {{"architectures", {"X"}},   {"model_type", model_type}, {"hidden_size", 64},
          {"intermediate_size", 96},  {"num_hidden_layers", 4},   {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"vocab_size", 100},        {"max_position_embeddings", 512}};
}
DecoderConfig parse(const Json& json) { return parse_decoder_config(json.dump(1), kPath); }
Json with(Json json, const Json& changes) {
  for (const auto& [key, value] : changes.items()) json[key] = value;
  return json;
}
Json without(Json json, const char* key) {
  json.erase(key);
  return json;
}

void expect_equal(const DecoderConfig& a, const DecoderConfig& b) {
  EXPECT_EQ(a.model_type, b.model_type);
  EXPECT_EQ(a.hidden_size, b.hidden_size);
  EXPECT_EQ(a.intermediate_size, b.intermediate_size);
  EXPECT_EQ(a.num_hidden_layers, b.num_hidden_layers);
  EXPECT_EQ(a.num_attention_heads, b.num_attention_heads);
  EXPECT_EQ(a.num_key_value_heads, b.num_key_value_heads);
  EXPECT_EQ(a.head_dim, b.head_dim);
  EXPECT_EQ(a.vocab_size, b.vocab_size);
  EXPECT_EQ(a.max_position_embeddings, b.max_position_embeddings);
  EXPECT_EQ(a.rms_norm_eps, b.rms_norm_eps);
  EXPECT_EQ(a.rope_theta, b.rope_theta);
  EXPECT_TRUE(a.rope_scaling == b.rope_scaling);
  EXPECT_EQ(a.tie_word_embeddings, b.tie_word_embeddings);
  EXPECT_EQ(a.qkv_bias, b.qkv_bias);
  EXPECT_EQ(a.attention_out_bias, b.attention_out_bias);
  EXPECT_EQ(a.mlp_bias, b.mlp_bias);
  EXPECT_EQ(a.qk_norm, b.qk_norm);
  EXPECT_EQ(a.layer_window, b.layer_window);
  EXPECT_EQ(a.bos_token_id, b.bos_token_id);
  EXPECT_EQ(a.eos_token_id, b.eos_token_id);
  EXPECT_EQ(a.pad_token_id, b.pad_token_id);
}

const Json kLlama3 = {{"rope_type", "llama3"},
                      {"factor", 8},
                      {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0},
                      {"original_max_position_embeddings", 128}};

TEST(Config, ValueOfEveryFieldOfLlama) {
  const DecoderConfig config = parse(with(sizes("llama"), {{"head_dim", 32},
                                                           {"rms_norm_eps", 1e-5},
                                                           {"rope_theta", 500000.0},
                                                           {"rope_scaling", kLlama3},
                                                           {"tie_word_embeddings", true},
                                                           {"attention_bias", true},
                                                           {"mlp_bias", true},
                                                           {"bos_token_id", 1},
                                                           {"eos_token_id", {7, 2}},
                                                           {"pad_token_id", nullptr},
                                                           {"torch_dtype", "bfloat16"},
                                                           {"hidden_act", "silu"},
                                                           {"use_cache", true}}));
  EXPECT_EQ(config.model_type, "llama");
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.intermediate_size, 96);
  EXPECT_EQ(config.num_hidden_layers, 4);
  EXPECT_EQ(config.num_attention_heads, 4);
  EXPECT_EQ(config.num_key_value_heads, 2);
  EXPECT_EQ(config.head_dim, 32);
  EXPECT_EQ(config.vocab_size, 100);
  EXPECT_EQ(config.max_position_embeddings, 512);
  EXPECT_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_EQ(config.rope_theta, 500000);
  EXPECT_EQ(config.rope_scaling.kind, RopeScalingKind::llama3);
  EXPECT_EQ(config.rope_scaling.factor, 8);
  EXPECT_EQ(config.rope_scaling.low_freq_factor, 1);
  EXPECT_EQ(config.rope_scaling.high_freq_factor, 4);
  EXPECT_EQ(config.rope_scaling.original_max_position_embeddings, 128);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_TRUE(config.attention_out_bias);
  EXPECT_TRUE(config.mlp_bias);
  EXPECT_FALSE(config.qk_norm);
  EXPECT_EQ(config.layer_window, std::vector<int64_t>(4, 0));
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_id, 7);
  EXPECT_EQ(config.pad_token_id, std::nullopt);
  EXPECT_EQ(config.dtype, "bfloat16");
}

TEST(Config, ValueOfAbsentFields) {
  const Json llama =
      without(without(sizes("llama"), "num_key_value_heads"), "max_position_embeddings");
  const DecoderConfig config = parse(llama);
  EXPECT_EQ(config.num_key_value_heads, 4);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.max_position_embeddings, 2048);
  EXPECT_EQ(config.rms_norm_eps, 1e-6);
  EXPECT_EQ(config.rope_theta, 10000);
  EXPECT_EQ(config.rope_scaling.kind, RopeScalingKind::none);
  EXPECT_FALSE(config.tie_word_embeddings || config.qkv_bias || config.attention_out_bias ||
               config.mlp_bias);
  EXPECT_EQ(config.dtype, "");
  EXPECT_EQ(parse(sizes("qwen3")).head_dim, 128);
  EXPECT_EQ(parse(with(sizes("qwen3"), {{"head_dim", 16}})).head_dim, 16);
  // The class default of mistral is 8 key-value heads; null means as many as attention heads.
  const Json mistral =
      without(with(sizes("mistral"), {{"num_attention_heads", 16}}), "num_key_value_heads");
  EXPECT_EQ(parse(mistral).num_key_value_heads, 8);
  EXPECT_EQ(parse(with(mistral, {{"num_key_value_heads", nullptr}})).num_key_value_heads, 16);
  EXPECT_EQ(parse(with(sizes("llama"), {{"pad_token_id", -1}})).pad_token_id, std::nullopt);
}

TEST(Config, ValueOfBiases) {
  const auto biases = [](const std::string& type, const Json& changes) {
    const DecoderConfig c = parse(with(sizes(type), changes));
    return std::vector<bool>{c.qkv_bias, c.attention_out_bias, c.mlp_bias, c.qk_norm};
  };
  const Json on = {{"attention_bias", true}, {"mlp_bias", true}}, none = Json::object();
  EXPECT_EQ(biases("llama", none), (std::vector<bool>{false, false, false, false}));
  EXPECT_EQ(biases("llama", on), (std::vector<bool>{true, true, true, false}));
  EXPECT_EQ(biases("mistral", on), (std::vector<bool>{false, false, false, false}));
  EXPECT_EQ(biases("qwen2", none), (std::vector<bool>{true, false, false, false}));
  EXPECT_EQ(biases("qwen2", on), (std::vector<bool>{true, false, false, false}));
  EXPECT_EQ(biases("qwen3", none), (std::vector<bool>{false, false, false, true}));
  EXPECT_EQ(biases("qwen3", on), (std::vector<bool>{true, true, false, true}));
}

TEST(Config, ValueOfLayerWindows) {
  const auto windows = [](const std::string& type, const Json& changes) {
    return parse(with(sizes(type), changes)).layer_window;
  };
  using V = std::vector<int64_t>;
  EXPECT_EQ(windows("mistral", {{"sliding_window", 32}}), V(4, 32));
  EXPECT_EQ(windows("mistral", {{"sliding_window", nullptr}}), V(4, 0));
  EXPECT_EQ(windows("mistral", Json::object()), V(4, 4096));  // the class default
  EXPECT_EQ(windows("llama", {{"sliding_window", 32}}), V(4, 0));
  for (const char* type : {"qwen2", "qwen3"}) {
    EXPECT_EQ(windows(type, {{"sliding_window", 32}, {"max_window_layers", 1}}), V(4, 0));
    EXPECT_EQ(
        windows(type,
                {{"use_sliding_window", false}, {"sliding_window", 32}, {"max_window_layers", 1}}),
        V(4, 0));
    const Json on = {
        {"use_sliding_window", true}, {"sliding_window", 32}, {"max_window_layers", 1}};
    EXPECT_EQ(windows(type, on), (V{0, 32, 32, 32}));
    EXPECT_EQ(windows(type, with(on, {{"max_window_layers", 0}})), V(4, 32));
    EXPECT_EQ(windows(type, without(on, "max_window_layers")), V(4, 0));  // 28 by default
    EXPECT_EQ(windows(type, with(on, {{"sliding_window", nullptr}})), V(4, 0));
    const Json types = {"sliding_attention", "full_attention", "sliding_attention",
                        "full_attention"};
    EXPECT_EQ(windows(type, with(on, {{"layer_types", types}})), (V{32, 0, 32, 0}));
  }
}

TEST(Config, ValueOfRopeInBothLayouts) {
  const auto rope = [](const Json& changes) {
    const DecoderConfig c = parse(with(sizes("llama"), changes));
    return std::tuple(c.rope_theta, c.rope_scaling.kind, c.rope_scaling.factor);
  };
  using K = RopeScalingKind;
  EXPECT_EQ(rope({{"rope_theta", 5000}, {"rope_scaling", nullptr}}),
            std::tuple(5000.0, K::none, 1.0));
  EXPECT_EQ(rope({{"rope_scaling", {{"type", "linear"}, {"factor", 2.5}}}}),
            std::tuple(10000.0, K::linear, 2.5));
  EXPECT_EQ(rope({{"rope_scaling", {{"rope_type", "default"}}}}),
            std::tuple(10000.0, K::none, 1.0));
  EXPECT_EQ(rope({{"rope_parameters", {{"rope_theta", 1e6}, {"rope_type", "default"}}}}),
            std::tuple(1e6, K::none, 1.0));
  EXPECT_EQ(rope({{"rope_theta", 1e6}, {"rope_parameters", {{"rope_theta", 1e6}}}}),
            std::tuple(1e6, K::none, 1.0));
  EXPECT_EQ(rope({{"rope_theta", 1e6}, {"rope_parameters", kLlama3}}),
            std::tuple(1e6, K::llama3, 8.0));
  EXPECT_EQ(rope({{"rope_scaling", kLlama3}, {"rope_parameters", kLlama3}}),
            std::tuple(10000.0, K::llama3, 8.0));
}

TEST(Config, RoundTripKeepsEveryFieldAndTheLayout) {
  const Json extra = {{"initializer_range", 0.02}, {"x_unknown", {{"deep", {1, 2.5, "\xc3\xa9"}}}}};
  const Json old_layout = with(with(sizes("llama"), extra), {{"rope_theta", 10000.0},
                                                             {"rope_scaling", nullptr},
                                                             {"torch_dtype", "bfloat16"},
                                                             {"eos_token_id", {3, 2}}});
  const Json new_layout =
      with(with(sizes("qwen3"), extra),
           {{"rope_parameters", {{"rope_theta", 1e6}, {"rope_type", "default"}}},
            {"dtype", "bfloat16"}});
  for (const Json& json : {old_layout, new_layout}) {
    const DecoderConfig config = parse(json);
    EXPECT_EQ(Json::parse(write_decoder_config(config, "")), json);
    const char* key = json.contains("dtype") ? "dtype" : "torch_dtype";
    EXPECT_EQ(Json::parse(write_decoder_config(config, "float32")), with(json, {{key, "float32"}}));

    DecoderConfig changed = config;
    changed.vocab_size = 128;
    changed.rope_theta = 2e6;
    changed.rope_scaling = {.kind = RopeScalingKind::linear, .factor = 2};
    changed.tie_word_embeddings = true;
    changed.pad_token_id = 127;
    const std::string text = write_decoder_config(changed, "float16");
    expect_equal(parse_decoder_config(text, kPath), changed);
    const Json written = Json::parse(text);
    EXPECT_EQ(written["x_unknown"], json["x_unknown"]);
    EXPECT_EQ(written.contains("rope_parameters"), json.contains("rope_parameters"));
    EXPECT_EQ(written.contains("rope_theta"), json.contains("rope_theta"));
    EXPECT_EQ(written.contains("eos_token_id"), json.contains("eos_token_id"));
  }
  // A dtype where the file has none goes under the name that belongs to the layout.
  EXPECT_EQ(
      Json::parse(write_decoder_config(parse(without(new_layout, "dtype")), "float32"))["dtype"],
      "float32");
  EXPECT_EQ(Json::parse(write_decoder_config(parse(without(old_layout, "torch_dtype")),
                                             "float32"))["torch_dtype"],
            "float32");
  // head_dim that followed from the sizes is kept when they change.
  DecoderConfig wider = parse(old_layout);
  wider.num_attention_heads = 8;
  expect_equal(parse_decoder_config(write_decoder_config(wider, ""), kPath), wider);
}

TEST(Config, RoundTripOfLayerWindows) {
  using V = std::vector<int64_t>;
  for (const char* type : {"qwen2", "qwen3"})
    for (const V& windows :
         {V{0, 0, 0, 0}, V{5, 5, 5, 5}, V{0, 0, 5, 5}, V{5, 0, 5, 0}, V{5, 0, 0, 0}})
      for (const bool fresh : {true, false})
        for (const bool list : {true, false}) {
          Json json = sizes(type);
          if (list)
            json["layer_types"] = Json::array(
                {"full_attention", "full_attention", "full_attention", "full_attention"});
          DecoderConfig config = parse(json);
          config.layer_window = windows;
          if (fresh) config.json.clear();
          expect_equal(parse_decoder_config(write_decoder_config(config, ""), kPath), config);
        }
  for (const int64_t window : {0, 9}) {
    DecoderConfig config = parse(sizes("mistral"));
    config.layer_window = V(4, window);
    expect_equal(parse_decoder_config(write_decoder_config(config, ""), kPath), config);
  }
}

TEST(Config, RoundTripOfFreshTexts) {
  for (const ModelType& type : kModelTypes) {
    DecoderConfig config = small_config(std::string(type.name));
    config.rms_norm_eps = 1e-5;
    config.rope_theta = 12345.5;
    config.tie_word_embeddings = true;
    config.eos_token_id = 3;
    for (const RopeScaling& scaling :
         {RopeScaling{}, RopeScaling{.kind = RopeScalingKind::linear, .factor = 4},
          RopeScaling{.kind = RopeScalingKind::llama3,
          .factor = 8,
          .original_max_position_embeddings = 32}}) {
      config.rope_scaling = scaling;
      const std::string text = write_decoder_config(config, "float32");
      const DecoderConfig back = parse_decoder_config(text, kPath);
      expect_equal(back, config);
      EXPECT_EQ(back.dtype, "float32");
      const Json json = Json::parse(text);
      EXPECT_EQ(json["architectures"], Json::array({std::string(type.architecture)}));
      EXPECT_EQ(json["hidden_act"], "silu");
      EXPECT_TRUE(json.contains("rope_theta") && json.contains("torch_dtype") &&
                  json.contains("head_dim"));
      EXPECT_EQ(write_decoder_config(back, ""), text);
    }
  }
}

TEST(Config, RejectsWritingWhatTheFamilyCannotExpress) {
  const auto error_with = [](const std::string& type, auto change) {
    DecoderConfig config = small_config(type);
    change(config);
    return error_of([&] { write_decoder_config(config, "float32"); });
  };
  const auto expect = [](const std::string& error, const std::string& fragment) {
    EXPECT_NE(error.find(fragment), std::string::npos) << error;
  };
  expect(error_with("mistral", [](auto& c) { c.qkv_bias = true; }),
         "a mistral configuration cannot express this qkv_bias");
  expect(error_with("qwen2", [](auto& c) { c.qkv_bias = false; }), "cannot express this qkv_bias");
  expect(error_with("llama", [](auto& c) { c.attention_out_bias = true; }),
         "cannot express this qkv_bias");
  expect(error_with("qwen3", [](auto& c) { c.mlp_bias = true; }), "cannot express this mlp_bias");
  expect(error_with("llama", [](auto& c) { c.qk_norm = true; }), "cannot express this qk_norm");
  expect(error_with("llama",
                    [](auto& c) {
                      c.layer_window = {4, 4};
                    }),
         "cannot express this layer_window");
  expect(error_with("mistral",
                    [](auto& c) {
                      c.layer_window = {4, 0};
                    }),
         "cannot express this layer_window");
  expect(error_with("qwen2",
                    [](auto& c) {
                      c.layer_window = {4, 5};
                    }),
         "cannot express this layer_window");
  expect(error_with("llama", [](auto& c) { c.layer_window = {0}; }),
         "cannot express this layer_window");
  expect(error_with("gpt2", [](auto&) {}), "model_type \"gpt2\" is not supported");
  expect(error_with("llama", [](auto& c) { c.hidden_size = 0; }), "/hidden_size: a whole number");
  expect(error_with("llama", [](auto& c) { c.eos_token_id = 10; }),
         "/eos_token_id: a token id in [0, vocab_size = 10)");
  expect(error_with("llama", [](auto& c) { c.dtype = "", c.json = R"({"model_type":"qwen2"})"; }),
         "/hidden_size");
  expect(error_with("llama", [](auto& c) { c.json = sizes("qwen2").dump(); }),
         "its own text is of model_type qwen2, its fields say llama");
  EXPECT_NE(error_of([] {
              write_decoder_config(small_config("llama"), "int8");
            }).find("\"int8\" is not supported"),
            std::string::npos);
}

TEST(Config, RejectsNamedBadFiles) {
  const auto llama = [](const Json& changes) { return with(sizes("llama"), changes).dump(); };
  const auto qwen = [](const Json& changes) { return with(sizes("qwen2"), changes).dump(); };
  const auto rope = [&](const Json& members) { return llama({{"rope_scaling", members}}); };
  const Json full = "full_attention", sliding = "sliding_attention";
  const std::string raw = sizes("llama").dump();
  const auto raw_with = [&](const std::string& members) {
    return raw.substr(0, raw.size() - 1) + "," + members + "}";
  };
  std::string deep = "{\"x\":";
  deep += std::string(40, '[') + std::string(40, ']') + "}";
  const struct {
    const char* name;
    std::string text;
    const char* fragment;
  } cases[] = {
      {"empty", "", "config.json:1:1: not JSON"},
      {"not JSON", "{\n hidden_size: 1}", "config.json:2:2: not JSON: "},
      {"cut", "{\"a\":1", "not JSON"},
      {"two values", raw + raw, "not JSON"},
      {"byte-order mark", "\xef\xbb\xbf" + raw,
       "a UTF-8 byte-order mark. Save the file without it"},
      {"NUL", raw + std::string(1, '\0'), "not JSON: a NUL byte"},
      {"not UTF-8", raw_with("\"x\":\"\xff\""), "not JSON"},
      {"NaN", raw_with("\"rope_theta\":NaN"), "not JSON"},
      {"infinite", raw_with("\"rope_theta\":1e999"), "not JSON: "},
      {"key twice", "{\n\"hidden_size\":1,\"hidden_size\":2}",
       "config.json:2:17: the key \"hidden_size\" stands twice"},
      {"key twice, deep", raw_with("\"x\":{\"y\":[{\"z\":1,\"z\":1}]}"),
       "the key \"z\" stands twice"},
      {"nested deeply", deep, "nested deeper than 32 levels, the cap"},
      {"above 1 MB", raw + std::string(1'000'000, ' '), "the cap for this file is 1000000"},
      {"too many values",
       "[0" +
           [] {
             std::string s;
             for (int i = 0; i < 100'000; ++i) s += ",0";
             return s;
           }() +
           "]",
       "more than 100000 values, the cap"},
      {"a list", "[]", "/: an object is required, found a list of 0"},
      {"no model_type", without(sizes("llama"), "model_type").dump(),
       "/model_type: nothing is not supported"},
      {"other model_type", llama({{"model_type", "gpt2"}}),
       "/model_type: \"gpt2\" is not supported; supported: llama, mistral"},
      {"model_type a number", llama({{"model_type", 3}}),
       "/model_type: a string is required, found 3"},
      {"no hidden_size", without(sizes("llama"), "hidden_size").dump(),
       "/hidden_size: a whole number in [1, 1048576] is required, found nothing"},
      {"null hidden_size", llama({{"hidden_size", nullptr}}), "/hidden_size: a whole number"},
      {"zero", llama({{"hidden_size", 0}}), "found 0"},
      {"negative", llama({{"hidden_size", -64}}), "found -64"},
      {"fractional", llama({{"hidden_size", 64.5}}), "found 64.5"},
      {"float", llama({{"hidden_size", 64.0}}), "/hidden_size: a whole number"},
      {"text", llama({{"hidden_size", "64"}}), "found \"64\""},
      {"boolean", llama({{"hidden_size", true}}), "found true"},
      {"2^64", raw_with("\"head_dim\":18446744073709551616"), "/head_dim: a whole number"},
      {"2^63", raw_with("\"head_dim\":9223372036854775808"), "found 9223372036854775808"},
      {"huge layers", llama({{"num_hidden_layers", 1'000'000'000}}),
       "/num_hidden_layers: a whole number in [1, 10000]"},
      {"huge vocabulary", llama({{"vocab_size", 1 << 25}}), "/vocab_size: a whole number"},
      {"no intermediate_size", without(sizes("llama"), "intermediate_size").dump(),
       "/intermediate_size"},
      {"no layers", without(sizes("llama"), "num_hidden_layers").dump(), "/num_hidden_layers"},
      {"no heads", without(sizes("llama"), "num_attention_heads").dump(), "/num_attention_heads"},
      {"no vocabulary", without(sizes("llama"), "vocab_size").dump(), "/vocab_size"},
      {"no positions", llama({{"max_position_embeddings", 0}}),
       "/max_position_embeddings: a whole number"},
      {"heads do not divide", llama({{"num_attention_heads", 6}}),
       "/num_attention_heads: a divisor of hidden_size (64) is required where head_dim is not "
       "given, found 6"},
      {"more KV heads than heads", llama({{"num_key_value_heads", 8}}),
       "a divisor of num_attention_heads (4) is required, found 8"},
      {"KV heads do not divide", llama({{"num_key_value_heads", 3}}),
       "/num_key_value_heads: a divisor"},
      {"odd head_dim", llama({{"head_dim", 15}}), "/head_dim: an even number"},
      {"eps negative", llama({{"rms_norm_eps", -1}}), "/rms_norm_eps: a number in [0, 1]"},
      {"eps text", llama({{"rms_norm_eps", "1e-6"}}),
       "/rms_norm_eps: a number in [0, 1] is required, found \"1e-6\""},
      {"tie text", llama({{"tie_word_embeddings", "yes"}}),
       "/tie_word_embeddings: true or false is required"},
      {"bias a number", llama({{"attention_bias", 1}}),
       "/attention_bias: true or false is required, found 1"},
      {"mlp_bias a number", llama({{"mlp_bias", 1}}), "/mlp_bias: true or false"},
      {"activation", llama({{"hidden_act", "gelu"}}),
       "/hidden_act: \"gelu\" is not supported; supported: silu"},
      {"quantized", llama({{"quantization_config", {{"bits", 4}}}}),
       "/quantization_config: quantized weights"},
      {"dropout", llama({{"attention_dropout", 0.1}}),
       "/attention_dropout: dropout in attention is not supported"},
      {"encoder-decoder", llama({{"is_encoder_decoder", true}}),
       "/is_encoder_decoder: encoder-decoder"},
      {"theta zero", llama({{"rope_theta", 0}}), "/rope_theta: a number in ["},
      {"theta text", llama({{"rope_theta", "10000"}}), "/rope_theta: a number"},
      {"rope_scaling a list", rope(Json::array()),
       "/rope_scaling: an object is required, found a list of 0"},
      {"yarn", rope({{"type", "yarn"}, {"factor", 4}}),
       "/rope_scaling/type: \"yarn\" is not supported; supported: default, linear, llama3"},
      {"dynamic", rope({{"rope_type", "dynamic"}, {"factor", 4}}),
       "/rope_scaling/rope_type: \"dynamic\" is not supported"},
      {"two rope types", rope({{"rope_type", "linear"}, {"type", "dynamic"}, {"factor", 4}}),
       "/rope_scaling/type: \"dynamic\" contradicts rope_type \"linear\""},
      {"no factor", rope({{"type", "linear"}}), "/rope_scaling/factor: a number in [1,"},
      {"factor text", rope({{"type", "linear"}, {"factor", "4.0"}}), "found \"4.0\""},
      {"factor below 1", rope({{"type", "linear"}, {"factor", 0.5}}), "/rope_scaling/factor"},
      {"llama3 without positions", rope(without(kLlama3, "original_max_position_embeddings")),
       "/rope_scaling/original_max_position_embeddings: a whole number"},
      {"llama3 without factors", rope(without(kLlama3, "low_freq_factor")),
       "/rope_scaling/low_freq_factor"},
      {"llama3 factors reversed", rope(with(kLlama3, {{"low_freq_factor", 4.0}})),
       "/rope_scaling/high_freq_factor: a number above low_freq_factor (4) is required, found 4"},
      {"rope per layer type",
       llama({{"rope_parameters", {{"full_attention", {{"rope_theta", 1e4}}}}}}),
       "/rope_parameters/full_attention: rotary parameters per layer type"},
      {"two thetas", llama({{"rope_theta", 1e4}, {"rope_parameters", {{"rope_theta", 1e6}}}}),
       "/rope_parameters/rope_theta: 1e+06 contradicts /rope_theta 10000"},
      {"two scalings",
       llama({{"rope_parameters", {{"rope_type", "default"}}}, {"rope_scaling", kLlama3}}),
       "/rope_scaling: contradicts rope_parameters"},
      {"partial rotary", llama({{"partial_rotary_factor", 0.5}}),
       "/partial_rotary_factor: only 1 is supported, found 0.5"},
      {"partial rotary inside", llama({{"rope_parameters", {{"partial_rotary_factor", 0.5}}}}),
       "/rope_parameters/partial_rotary_factor: only 1"},
      {"window zero", with(sizes("mistral"), {{"sliding_window", 0}}).dump(),
       "/sliding_window: a whole number"},
      {"window negative", qwen({{"use_sliding_window", true}, {"sliding_window", -1}}),
       "/sliding_window: a whole number"},
      {"window layers negative", qwen({{"max_window_layers", -2}}),
       "/max_window_layers: a whole number in [0, 2147483647] is required, found -2"},
      {"use_sliding_window a number", qwen({{"use_sliding_window", 1}}),
       "/use_sliding_window: true or false"},
      {"layer types too few", qwen({{"layer_types", {full}}}),
       "/layer_types: a list of num_hidden_layers (4) names is required, found a list of 1"},
      {"layer types unknown", qwen({{"layer_types", {full, full, "linear_attention", full}}}),
       "/layer_types/2: \"linear_attention\" is not supported"},
      {"layer types a number", qwen({{"layer_types", {full, 1, full, full}}}),
       "/layer_types/1: a string is required, found 1"},
      {"sliding without a window", qwen({{"layer_types", {full, full, full, sliding}}}),
       "/layer_types/3: sliding_attention, but this configuration has no sliding window "
       "(use_sliding_window"},
      {"sliding llama", llama({{"layer_types", {sliding, full, full, full}}}),
       "has no sliding window"},
      {"full mistral", with(sizes("mistral"), {{"layer_types", {full, full, full, full}}}).dump(),
       "/layer_types/0: full_attention contradicts sliding_window 4096, which mistral applies to "
       "all layers"},
      {"bos beyond", llama({{"bos_token_id", 100}}),
       "/bos_token_id: a token id in [0, vocab_size = 100) is required, found 100"},
      {"bos negative", llama({{"bos_token_id", -1}}), "/bos_token_id: a token id"},
      {"eos list beyond", llama({{"eos_token_id", {1, 100}}}),
       "/eos_token_id: token ids in [0, vocab_size = 100) is required, found 100"},
      {"eos list empty", llama({{"eos_token_id", Json::array()}}), "found a list of 0"},
      {"pad beyond", llama({{"pad_token_id", -2}}), "/pad_token_id: a token id"},
      {"dtype", llama({{"torch_dtype", "int8"}}),
       "/torch_dtype: \"int8\" is not supported; supported: float32"},
      {"two dtypes", llama({{"torch_dtype", "float32"}, {"dtype", "bfloat16"}}),
       "/dtype: \"bfloat16\" contradicts torch_dtype \"float32\""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto run = [&] { parse_decoder_config(c.text, kPath); };
    const std::string error = error_of(run);
    EXPECT_TRUE(error.starts_with("[config] m/config.json")) << error;
    EXPECT_NE(error.find(c.fragment), std::string::npos) << error;
    EXPECT_EQ(kind_of(run), ErrorKind::data);
  }
}

TEST(Config, RejectsTruncationAtEveryByte) {
  const std::string text = with(sizes("llama"), {{"rope_scaling", kLlama3}}).dump(1);
  EXPECT_EQ(error_of([&] { parse_decoder_config(text, kPath); }), "");
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_NE(error_of([&] { parse_decoder_config(text.substr(0, size), kPath); }), "") << size;
}

}  // namespace
}  // namespace pref
