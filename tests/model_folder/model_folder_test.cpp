// SPDX-License-Identifier: Apache-2.0
// Whole model folders: written in any sharding and read back, bad folders by name, links as a hub
// cache has them.
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "libpref/data/model_folder/model_files.h"
#include "tests/model_folder/model_folder_test_util.h"

namespace pref {
namespace {

using namespace pref::testing;  // NOLINT
using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

void write_model(const std::string& folder, const DecoderConfig& config, MemoryTensors tensors,
                 const std::string& source = "", uint64_t shard_bytes = 5'000'000'000) {
  write_model_folder(folder, config, "float32", {tensors.entries, &tensors}, source, shard_bytes);
}

std::vector<std::string> names_in(const std::string& folder) {
  return posix_file_system().list(folder);
}

std::string entry(const std::string& name, size_t begin = 0) {
  return "\"" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + std::to_string(begin) +
         "," + std::to_string(begin + 1) + "]}";
}

TEST(ModelFolder, ValueOfExpectedTensors) {
  DecoderConfig llama = small_config("llama");
  const auto find = [](const DecoderConfig& config, const std::string& name) {
    for (const ExpectedTensor& tensor : expected_tensors(config))
      if (tensor.name == name) return tensor.shape;
    return std::vector<int64_t>{-1};
  };
  using V = std::vector<int64_t>;
  EXPECT_EQ(expected_tensors(llama).size(), 2u * 9 + 3);
  EXPECT_EQ(expected_tensors(llama).front().name, "model.embed_tokens.weight");
  EXPECT_EQ(expected_tensors(llama).back().name, "lm_head.weight");
  EXPECT_EQ(find(llama, "model.embed_tokens.weight"), (V{10, 8}));
  EXPECT_EQ(find(llama, "model.layers.0.input_layernorm.weight"), (V{8}));
  EXPECT_EQ(find(llama, "model.layers.1.self_attn.q_proj.weight"), (V{8, 8}));
  EXPECT_EQ(find(llama, "model.layers.1.self_attn.k_proj.weight"), (V{4, 8}));
  EXPECT_EQ(find(llama, "model.layers.1.self_attn.v_proj.weight"), (V{4, 8}));
  EXPECT_EQ(find(llama, "model.layers.1.self_attn.o_proj.weight"), (V{8, 8}));
  EXPECT_EQ(find(llama, "model.layers.1.post_attention_layernorm.weight"), (V{8}));
  EXPECT_EQ(find(llama, "model.layers.1.mlp.gate_proj.weight"), (V{12, 8}));
  EXPECT_EQ(find(llama, "model.layers.1.mlp.up_proj.weight"), (V{12, 8}));
  EXPECT_EQ(find(llama, "model.layers.1.mlp.down_proj.weight"), (V{8, 12}));
  EXPECT_EQ(find(llama, "model.norm.weight"), (V{8}));
  llama.qkv_bias = llama.attention_out_bias = llama.mlp_bias = llama.tie_word_embeddings = true;
  llama.head_dim = 6;
  EXPECT_EQ(expected_tensors(llama).size(), 2u * 16 + 2);
  EXPECT_EQ(find(llama, "lm_head.weight"), (V{-1}));
  EXPECT_EQ(find(llama, "model.layers.0.self_attn.q_proj.bias"), (V{12}));
  EXPECT_EQ(find(llama, "model.layers.0.self_attn.k_proj.bias"), (V{6}));
  EXPECT_EQ(find(llama, "model.layers.0.self_attn.o_proj.weight"), (V{8, 12}));
  EXPECT_EQ(find(llama, "model.layers.0.self_attn.o_proj.bias"), (V{8}));
  EXPECT_EQ(find(llama, "model.layers.0.mlp.down_proj.bias"), (V{8}));
  EXPECT_EQ(find(small_config("qwen3"), "model.layers.0.self_attn.q_norm.weight"), (V{4}));
  EXPECT_EQ(find(small_config("qwen3"), "model.layers.0.self_attn.k_norm.weight"), (V{4}));
  EXPECT_EQ(expected_tensors(small_config("qwen3")).size(), 2u * 11 + 3);
  EXPECT_EQ(expected_tensors(small_config("qwen2")).size(), 2u * 12 + 3);
}

TEST(ModelFolder, RoundTripInAnySharding) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  TempFolder temp;
  const DecoderConfig config = small_config("qwen3");
  const MemoryTensors tensors = random_tensors(config, TensorType::f32, seed);
  std::string digest;
  for (const uint64_t shard_bytes :
       {uint64_t{5'000'000'000}, uint64_t{1000}, uint64_t{400}, uint64_t{1}}) {
    const std::string folder = temp.file("m" + std::to_string(shard_bytes));
    write_model(folder, config, tensors, "", shard_bytes);
    const bool sharded = fs::exists(folder + "/model.safetensors.index.json");
    EXPECT_EQ(sharded, shard_bytes <= 1000);
    EXPECT_EQ(fs::exists(folder + "/model.safetensors"), !sharded);
    if (sharded) {
      const Json index = Json::parse(read_text(folder + "/model.safetensors.index.json"));
      uint64_t total = 0;
      for (const auto& values : tensors.values) total += values.size();
      EXPECT_EQ(index["metadata"]["total_size"], total);
      EXPECT_EQ(index["weight_map"].size(), tensors.entries.size());
    }
    if (shard_bytes == 1) {
      EXPECT_TRUE(fs::exists(folder + "/model-00001-of-00025.safetensors"));
      EXPECT_TRUE(fs::exists(folder + "/model-00025-of-00025.safetensors"));
    }
    const DecoderConfig back = read_decoder_config(folder);
    const WeightFiles weights(folder);
    check_weights(back, weights);
    EXPECT_EQ(weights.names().size(), tensors.entries.size());
    for (size_t i = 0; i < tensors.entries.size(); ++i) {
      const TensorEntry& wanted = tensors.entries[i];
      std::vector<float> values(static_cast<size_t>(wanted.elements()));
      weights.read_f32(wanted.name, wanted.shape, values.data());
      EXPECT_EQ(std::memcmp(values.data(), tensors.values[i].data(), tensors.values[i].size()), 0)
          << wanted.name;
      EXPECT_EQ(weights.find(wanted.name).file->metadata().at("format"), "pt");
    }
    if (digest.empty()) digest = weights.digest();
    EXPECT_EQ(weights.digest(), digest);
  }
  EXPECT_EQ(names_in(temp.path()).size(), 4u) << "a temporary folder was left";

  MemoryTensors other = tensors;
  other.values[3][5] ^= std::byte{1};
  write_model(temp.file("other"), config, other);
  EXPECT_NE(WeightFiles(temp.file("other")).digest(), digest);
}

TEST(ModelFolder, RoundTripOf16BitWeights) {
  TempFolder temp;
  const DecoderConfig config = small_config("llama");
  for (const TensorType type : {TensorType::bf16, TensorType::f16}) {
    const MemoryTensors tensors = random_tensors(config, type, 5);
    const std::string folder = temp.file(std::string(tensor_type_name(type)));
    write_model(folder, config, tensors);
    const WeightFiles weights(folder);
    std::vector<float> values(80);
    weights.read_f32("lm_head.weight", {10, 8}, values.data());
    std::vector<std::byte> back(160);
    convert_from_f32(type, values.data(), 80, back.data());
    EXPECT_EQ(back, tensors.values.back());
  }
}

TEST(ModelFolder, RoundTripCopiesTokenizerFiles) {
  TempFolder temp;
  const std::vector<std::string> copied{"added_tokens.json",      "chat_template.jinja",
                                        "generation_config.json", "special_tokens_map.json",
                                        "tokenizer.json",         "tokenizer.model",
                                        "tokenizer_config.json"};
  for (const std::string& name : copied) temp.write("source/" + name, "bytes of " + name);
  temp.write("source/README.md", "no");
  temp.write("source/optimizer.pt", "no");
  const DecoderConfig config = small_config("llama");
  write_model(temp.file("out"), config, random_tensors(config, TensorType::f32, 1),
              temp.file("source"));
  for (const std::string& name : copied)
    EXPECT_EQ(read_text(temp.file("out/" + name)), "bytes of " + name);
  EXPECT_EQ(names_in(temp.file("out")).size(), copied.size() + 2);
  // A trailing slash, missing parents, and an empty folder in the way are all right.
  fs::create_directory(temp.file("empty"));
  write_model(temp.file("empty/"), config, random_tensors(config, TensorType::f32, 1));
  write_model(temp.file("a/b/c"), config, random_tensors(config, TensorType::f32, 1));
  EXPECT_EQ(names_in(temp.file("empty")), names_in(temp.file("a/b/c")));
}

TEST(ModelFolder, RejectsWritingOverAFolderAndLeavesNothingBehind) {
  TempFolder temp;
  const DecoderConfig config = small_config("llama");
  const MemoryTensors tensors = random_tensors(config, TensorType::f32, 1);
  temp.write("full/keep", "k");
  temp.write("file", "f");
  fs::create_directory(temp.file("target"));
  fs::create_symlink("target", temp.file("link"));
  const auto error = [&](const std::string& folder, const MemoryTensors& t,
                         const std::string& source = "") {
    return error_of([&] { write_model(folder, config, t, source); });
  };
  const auto expect = [](const std::string& text, const std::string& fragment) {
    EXPECT_NE(text.find(fragment), std::string::npos) << text;
  };
  expect(error(temp.file("full"), tensors), "the folder is not empty");
  expect(error(temp.file("file"), tensors), "exists and is not a folder");
  expect(error(temp.file("link"), tensors), "is a link");
  expect(error("", tensors), "a folder name is required, found \"\"");
  expect(error(temp.file("x"), tensors, temp.file("none")),
         "no such folder; looked for tokenizer files");
  MemoryTensors wrong = tensors;
  wrong.entries[0].shape = {8, 10};
  wrong.entries[1].name = "extra";
  wrong.entries.push_back(wrong.entries[2]);
  const std::string listed = error(temp.file("x"), wrong);
  expect(listed, "missing: model.layers.0.input_layernorm.weight");
  expect(listed, "shape: model.embed_tokens.weight: [10, 8] is required, found [8, 10]");
  expect(listed, "unexpected: \"extra\"");
  expect(listed, "twice: \"model.layers.0.self_attn.q_proj.weight\"");

  struct Breaks : MemoryTensors {
    std::span<const std::byte> bytes(size_t index) override {
      if (index == 4) fail(ErrorKind::io, "test", "the source broke");
      return MemoryTensors::bytes(index);
    }
  };
  Breaks breaks;
  static_cast<MemoryTensors&>(breaks) = tensors;
  for (const char* name : {"broken", "target"})
    expect(error_of([&] {
             write_model_folder(temp.file(name), config, "", {breaks.entries, &breaks}, "");
           }),
           "the source broke");
  EXPECT_TRUE(names_in(temp.file("target")).empty());
  EXPECT_EQ(names_in(temp.path()), (std::vector<std::string>{"file", "full", "link", "target"}));
  EXPECT_EQ(read_text(temp.file("full/keep")), "k");
}

TEST(ModelFolder, RejectsNamedBadFolders) {
  const std::string x = safetensors_bytes("{" + entry("a") + "}", "1");
  const std::string y = safetensors_bytes("{" + entry("b") + "}", "2");
  const std::string ab = R"("weight_map":{"a":"x.safetensors","b":"y.safetensors"})";
  const auto shard = [](const std::string& name) {
    return Json{{"weight_map", {{"a", name}}}}.dump();
  };
  using Files = std::vector<std::pair<std::string, std::string>>;
  const struct {
    const char* name;
    std::string index;  // "" for none
    Files files;
    const char* fragment;  // "" when the folder is good
  } cases[] = {
      {"good", "{" + ab + "}", {{"x.safetensors", x}, {"y.safetensors", y}}, ""},
      {"wrong total_size is no error",
       R"({"metadata":{"total_size":99},)" + ab + "}",
       {{"x.safetensors", x}, {"y.safetensors", y}},
       ""},
      {"single beside an index", "not even JSON", {{"model.safetensors", x}}, ""},
      {"unlisted file",
       "{" + ab + "}",
       {{"x.safetensors", x}, {"y.safetensors", y}, {"consolidated.safetensors", "?"}},
       ""},
      {"nothing", "", {}, "neither model.safetensors nor model.safetensors.index.json is there"},
      {"bin",
       "",
       {{"pytorch_model.bin", "x"}},
       "holds a PyTorch pickle (\"pytorch_model.bin\"), which may run code"},
      {"pt", "", {{"consolidated.00.pth", "x"}}, "save_pretrained(..., safe_serialization=True)"},
      {"adapter",
       "",
       {{"adapter_model.safetensors", x}},
       "holds an adapter (adapter_model.safetensors), not a model"},
      {"single is damaged", "", {{"model.safetensors", "PK"}}, "has 2 bytes"},
      {"index not JSON", "{", {}, "index.json:1:2: not JSON"},
      {"index a list", "[]", {}, "/: an object is required, found a list of 0"},
      {"no weight_map",
       "{}",
       {},
       "/weight_map: an object of tensor name to file name is required, found nothing"},
      {"weight_map a list", R"({"weight_map":[]})", {}, "/weight_map: an object of tensor name"},
      {"weight_map empty", R"({"weight_map":{}})", {}, "found an object without entries"},
      {"weight_map null", R"({"weight_map":null})", {}, "is required, found null"},
      {"shard a number",
       R"({"weight_map":{"a":1}})",
       {},
       "/weight_map/\"a\": a file name is required, found 1"},
      {"name twice",
       R"({"weight_map":{"a":"x.safetensors","a":"y.safetensors"}})",
       {},
       "the key \"a\" stands twice"},
      {"metadata a list", R"({"metadata":[],)" + ab + "}", {}, "/metadata: an object is required"},
      {"total_size text",
       R"({"metadata":{"total_size":"9"},)" + ab + "}",
       {},
       "/metadata/total_size: a number of bytes"},
      {"total_size negative",
       R"({"metadata":{"total_size":-9},)" + ab + "}",
       {},
       "/metadata/total_size: a number of bytes"},
      {"absolute",
       shard("/tmp/y.safetensors"),
       {},
       "\"/tmp/y.safetensors\" is not the plain name of a file"},
      {"climbing", shard("../y.safetensors"), {}, "is not the plain name"},
      {"in a folder",
       shard("sub/y.safetensors"),
       {{"sub/y.safetensors", x}},
       "is not the plain name"},
      {"backslash", shard("sub\\y.safetensors"), {}, "is not the plain name"},
      {"NUL", R"({"weight_map":{"a":"x\u0000.safetensors"}})", {}, "is not the plain name"},
      {"newline", shard("x\n.safetensors"), {}, "is not the plain name"},
      {"empty", shard(""), {}, "is not the plain name"},
      {"dots", shard(".."), {}, "is not the plain name"},
      {"a pickle as shard",
       shard("x.bin"),
       {{"x.bin", "x"}},
       "\"x.bin\" is not a .safetensors file"},
      {"missing shards",
       "{" + ab + "}",
       {},
       "2 of 2 shards are missing. Download them:\n  x.safetensors\n  y.safetensors"},
      {"a missing shard",
       "{" + ab + "}",
       {{"x.safetensors", x}},
       "1 of 2 shards are missing. Download them:\n  y.safetensors"},
      {"shard is damaged",
       "{" + ab + "}",
       {{"x.safetensors", x}, {"y.safetensors", "12345"}},
       "y.safetensors: has 5 bytes"},
      {"in the index only",
       R"({"weight_map":{"a":"x.safetensors","b":"y.safetensors","c":"y.safetensors"}})",
       {{"x.safetensors", x}, {"y.safetensors", y}},
       "\"c\" is in the index (y.safetensors) but in no shard"},
      {"in a shard only",
       R"({"weight_map":{"a":"x.safetensors","b":"y.safetensors"}})",
       {{"x.safetensors", x},
        {"y.safetensors", safetensors_bytes("{" + entry("b") + "," + entry("c", 1) + "}", "23")}},
       "\"c\" is in y.safetensors but not in the index"},
      {"in two",
       "{" + ab + "}",
       {{"x.safetensors", x},
        {"y.safetensors", safetensors_bytes("{" + entry("a") + "," + entry("b", 1) + "}", "12")}},
       "\"a\" is in two shards, x.safetensors and y.safetensors"},
      {"in the other",
       R"({"weight_map":{"a":"y.safetensors","b":"x.safetensors"}})",
       {{"x.safetensors", x}, {"y.safetensors", y}},
       "\"a\" is in x.safetensors, not in y.safetensors as the index says\n  \"b\" is in "
       "y.safetensors, not in x.safetensors"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    TempFolder folder;
    for (const auto& [name, bytes] : c.files) folder.write(name, bytes);
    if (!c.index.empty()) folder.write("model.safetensors.index.json", c.index);
    const std::string error = error_of([&] { WeightFiles weights(folder.path()); });
    if (*c.fragment == '\0') {
      EXPECT_EQ(error, "");
    } else {
      EXPECT_NE(error.find(c.fragment), std::string::npos) << error;
    }
  }
  TempFolder temp;
  EXPECT_EQ(kind_of([&] { WeightFiles weights(temp.file("none")); }), ErrorKind::missing_input);
  const std::string gone = error_of([&] { WeightFiles weights(temp.file("none")); });
  EXPECT_NE(
      gone.find("no such folder; looked for model.safetensors or model.safetensors.index.json"),
      std::string::npos);
  EXPECT_NE(error_of([&] { WeightFiles weights(temp.write("f", "")); }).find("not a folder"),
            std::string::npos);
}

TEST(ModelFolder, RejectsAnIndexAboveTheCap) {
  TempFolder folder;
  folder.write("model.safetensors.index.json", "{}");
  fs::resize_file(folder.file("model.safetensors.index.json"), 64'000'001);  // sparse
  EXPECT_NE(error_of([&] {
              WeightFiles weights(folder.path());
            }).find("the cap for this file is 64000000"),
            std::string::npos);
}

// A hub cache: snapshots/<revision>/<file> -> ../../blobs/<digest>.
TEST(ModelFolder, RejectsLinksThatLeaveTheFolderAndItsCache) {
  TempFolder temp;
  const std::string bytes = safetensors_bytes("{" + entry("a") + "}", "1");
  temp.write("hub/models--x/blobs/123", bytes);
  temp.write("outside/m", bytes);
  temp.write("hub/models--x/snapshots/rev/in", bytes);
  const std::string folder = temp.file("hub/models--x/snapshots/rev"),
                    file = folder + "/model.safetensors";
  const auto error_with = [&](const std::string& target) {
    fs::remove(file);
    fs::create_symlink(target, file);
    return error_of([&] { EXPECT_TRUE(WeightFiles(folder).find("a")); });
  };
  EXPECT_EQ(error_with("../../blobs/123"), "");
  EXPECT_EQ(error_with("in"), "");
  EXPECT_NE(error_with("../../../../outside/m").find("outside the folder and its hub cache"),
            std::string::npos);
  EXPECT_NE(error_with(temp.file("outside/m")).find("outside the folder and its hub cache"),
            std::string::npos);
  EXPECT_NE(error_with("../../blobs/456").find("the link leads nowhere"), std::string::npos);
  EXPECT_NE(error_with("model.safetensors").find("the link leads nowhere"), std::string::npos);
  EXPECT_NE(error_with("../../blobs").find("outside the folder"), std::string::npos);
  EXPECT_NE(error_with("/dev/zero").find("outside the folder"), std::string::npos);
  fs::create_directory(folder + "/d");
  EXPECT_NE(error_with("d").find("is not a regular file"), std::string::npos);
  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_NE(error_of([&] { WeightFiles weights(folder); }).find("not a regular file"),
            std::string::npos);
  // Without the cache's layout its blobs folder is a folder like any other.
  temp.write("plain/blobs/123", bytes);
  fs::create_directories(temp.file("plain/s/rev"));
  fs::create_symlink("../../blobs/123", temp.file("plain/s/rev/model.safetensors"));
  EXPECT_NE(
      error_of([&] { WeightFiles weights(temp.file("plain/s/rev")); }).find("outside the folder"),
      std::string::npos);
  // The folder itself may be reached through a link.
  fs::create_directory_symlink(folder, temp.file("to_folder"));
  fs::remove(file);
  fs::create_symlink("../../blobs/123", file);
  EXPECT_TRUE(WeightFiles(temp.file("to_folder")).find("a"));
}

TEST(ModelFolder, RejectsConfigThatIsNotThere) {
  TempFolder temp;
  const auto error = [](const std::string& folder) {
    return error_of([&] { read_decoder_config(folder); });
  };
  EXPECT_NE(error(temp.file("none")).find("no such folder; looked for config.json"),
            std::string::npos);
  EXPECT_EQ(kind_of([&] { read_decoder_config(temp.file("none")); }), ErrorKind::missing_input);
  temp.write("m/x", "");
  EXPECT_NE(error(temp.file("m")).find("m/config.json: no such file."), std::string::npos);
  EXPECT_EQ(kind_of([&] { read_decoder_config(temp.file("m")); }), ErrorKind::missing_input);
  temp.write("m/params.json", "{}");
  EXPECT_NE(error(temp.file("m")).find("convert the model to the Hugging Face layout"),
            std::string::npos);
  temp.write("m/adapter_config.json", "{}");
  EXPECT_NE(error(temp.file("m")).find("merge the adapter into its base model first"),
            std::string::npos);
  temp.write("m/config.json", std::string(1'000'001, ' '));
  EXPECT_NE(error(temp.file("m")).find("the cap for this file is 1000000"), std::string::npos);
}

/// A folder with these tensors, whatever a model needs.
void write_tensors(const std::string& folder, MemoryTensors tensors) {
  fs::create_directories(folder);
  write_safetensors(posix_file_system(), folder + "/model.safetensors", tensors.entries, tensors,
                    {});
}

TEST(ModelFolder, RejectsWeightsOfAnotherModel) {
  TempFolder temp;
  const DecoderConfig config = small_config("llama");
  int count = 0;
  const auto check_error = [&](const DecoderConfig& c, auto change) {
    MemoryTensors tensors = random_tensors(config, TensorType::f32, 3);
    change(tensors);
    const std::string folder = temp.file(std::to_string(count++));
    write_tensors(folder, tensors);
    return error_of([&] { check_weights(c, WeightFiles(folder)); });
  };
  const auto expect = [](const std::string& error, const std::string& fragment) {
    EXPECT_NE(error.find(fragment), std::string::npos) << error;
  };
  EXPECT_EQ(check_error(config, [](auto&) {}), "");
  expect(check_error(config,
                     [](auto& t) {
                       t.entries.pop_back(), t.entries[0].shape = {20, 4};
                     }),
         "shape: model.embed_tokens.weight: [10, 8] is required, found [20, 4]\n  missing: "
         "lm_head.weight");
  expect(check_error(config, [](auto& t) { t.entries[2].type = TensorType::i32; }),
         "type: model.layers.0.self_attn.q_proj.weight: a float type is required, the file has I32 "
         "(quantized?)");
  expect(check_error(config, [](auto& t) { t.entries[1].name = "n\n"; }), "unexpected: \"n\\n\"");
  DecoderConfig larger = config;
  larger.vocab_size = 11;
  expect(check_error(larger, [](auto&) {}), "[11, 8] is required, found [10, 8]");
  expect(check_error(small_config("qwen2"), [](auto&) {}),
         "missing: model.layers.0.self_attn.q_proj.bias");
  DecoderConfig deeper = config;
  deeper.num_hidden_layers = 9;
  const std::string many = check_error(deeper, [](auto&) {});
  expect(many, "missing: model.layers.2.input_layernorm.weight");
  expect(many, "\n  and 43 more");  // 7 layers of 9 tensors, 20 of them shown
  // Stored rotary buffers follow from the configuration.
  EXPECT_EQ(check_error(config,
                        [](auto& t) {
                          std::mt19937_64 random(1);
                          t.add("model.layers.0.self_attn.rotary_emb.inv_freq", TensorType::f32,
                                {2}, random);
                          t.add("model.rotary_emb.inv_freq", TensorType::f32, {2}, random);
                        }),
            "");
}

TEST(ModelFolder, RejectsATiedHeadThatDiffers) {
  TempFolder temp;
  DecoderConfig config = small_config("llama");
  config.tie_word_embeddings = true;
  int count = 0;
  const auto error_with = [&](auto change) {
    MemoryTensors tensors = random_tensors(config, TensorType::f32, 3);
    tensors.entries.push_back(
        {.name = "lm_head.weight", .type = TensorType::f32, .shape = {10, 8}});
    tensors.values.push_back(tensors.values[0]);
    change(tensors);
    const std::string folder = temp.file(std::to_string(count++));
    write_tensors(folder, tensors);
    return error_of([&] { check_weights(config, WeightFiles(folder)); });
  };
  const std::string differs =
      "lm_head.weight differs from model.embed_tokens.weight although config.json says tie";
  EXPECT_EQ(error_with([](auto&) {}), "");
  EXPECT_NE(error_with([](auto& t) { t.values.back()[319] ^= std::byte{1}; }).find(differs),
            std::string::npos);
  EXPECT_NE(error_with([](auto& t) {
              t.entries.back().shape = {8, 10};
            }).find(differs),
            std::string::npos);
  // The same values in another type are the same matrix.
  const auto widen = [](MemoryTensors& t, double factor) {
    t.entries.back().type = TensorType::f64;
    std::vector<std::byte> wide(640);
    for (int i = 0; i < 80; ++i) {
      float value;
      std::memcpy(&value, t.values[0].data() + 4 * i, 4);
      const double same = value * factor;
      std::memcpy(wide.data() + 8 * i, &same, 8);
    }
    t.values.back() = wide;
  };
  EXPECT_EQ(error_with([&](auto& t) { widen(t, 1); }), "");
  EXPECT_NE(error_with([&](auto& t) { widen(t, 2); }).find(differs), std::string::npos);
}

TEST(ModelFolder, RejectsReadingAnotherShape) {
  TempFolder temp;
  const DecoderConfig config = small_config("llama");
  write_model(temp.file("m"), config, random_tensors(config, TensorType::f32, 3));
  const WeightFiles weights(temp.file("m"));
  std::vector<float> out(80);
  EXPECT_NE(error_of([&] {
              weights.read_f32("lm_head.weight", {8, 10}, out.data());
            }).find("shape [8, 10] is required, found [10, 8]"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              weights.read_f32("none", {8, 10}, out.data());
            }).find("tensor \"none\" is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace pref
