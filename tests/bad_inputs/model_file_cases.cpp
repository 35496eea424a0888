// SPDX-License-Identifier: Apache-2.0
// Bad config.json, safetensors and index.json files. tests/model_folder has more of the first two,
// numbered as the reference implementation's; these are other ones.
#include "tests/bad_inputs/bad_input.h"

namespace pref::testing {
namespace {

constexpr const char* kAgain = "download it again";

std::string config(const std::string& patch, const char* type = "llama") {
  return patched({{"model_type", type},
                  {"hidden_size", 64},
                  {"intermediate_size", 96},
                  {"num_hidden_layers", 4},
                  {"num_attention_heads", 4},
                  {"num_key_value_heads", 2},
                  {"vocab_size", 100},
                  {"max_position_embeddings", 512}},
                 patch);
}
/// A safetensors file with that header and so many bytes behind it.
std::string tensors(std::string_view header, size_t data) {
  std::string out(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  return out.append(header).append(data, '\0');
}
std::string entry(const std::string& fields) { return "{\"t\":{" + fields + "}}"; }

Table config_cases() {
  const auto kind = Parser::config;
  constexpr const char* kOther = "Use a model of a supported kind";
  const std::string file = "m/config.json: ";
  return {
      {"a git-lfs pointer", kind, "version https://git-lfs.github.com/spec/v1\n",
       "m/config.json:1:1", "not JSON", kAgain},
      {"a web page", kind, "<html>", "m/config.json:1:1", "not JSON", kAgain},
      {"a comment", kind, "{} // x", "m/config.json:1:4", "not JSON", kAgain},
      {"JSON lines", kind, "{}\n{}", "m/config.json:2:1", "not JSON", kAgain},
      {"a key twice, escaped", kind, R"({"model_type":1,"model_\u0074ype":2})",
       "m/config.json:1:17", "\"model_type\" stands twice", "Remove one of the two"},
      {"a string", kind, "\"llama\"", file + "/", "an object is required, found \"llama\"", kAgain},
      {"model_type null", kind, config(R"({"model_type":null})"), file + "/model_type",
       "nothing is not supported; supported: llama", kOther},
      {"model_type with control bytes", kind, config(R"({"model_type":"\u001b]0;x\u0007"})"),
       file + "/model_type", "\"\\x1b]0;x\\x07\" is not supported", kOther},
      {"hidden_size a list", kind, config(R"({"hidden_size":[64]})"), file + "/hidden_size",
       "a whole number in [1,", kAgain},
      {"layers zero", kind, config(R"({"num_hidden_layers":0})"), file + "/num_hidden_layers",
       "found 0", kAgain},
      {"intermediate negative", kind, config(R"({"intermediate_size":-1})"),
       file + "/intermediate_size", "found -1", kAgain},
      {"heads of 2^63", kind, config(R"({"num_attention_heads":9223372036854775808})"),
       file + "/num_attention_heads", "found 9223372036854775808", kAgain},
      {"heads zero", kind, config(R"({"num_attention_heads":0})"), file + "/num_attention_heads",
       "found 0", kAgain},
      {"KV heads zero", kind, config(R"({"num_key_value_heads":0})"), file + "/num_key_value_heads",
       "found 0", kAgain},
      {"KV heads a string", kind, config(R"({"num_key_value_heads":"2"})"),
       file + "/num_key_value_heads", "found \"2\"", kAgain},
      {"head_dim zero", kind, config(R"({"head_dim":0})"), file + "/head_dim", "found 0", kAgain},
      {"head_dim huge", kind, config(R"({"head_dim":1000000})"), file + "/head_dim",
       "found 1000000", kAgain},
      {"vocabulary a float", kind, config(R"({"vocab_size":1e2})"), file + "/vocab_size",
       "found 100.0", kAgain},
      {"positions a boolean", kind, config(R"({"max_position_embeddings":true})"),
       file + "/max_position_embeddings", "found true", kAgain},
      {"eps above 1", kind, config(R"({"rms_norm_eps":2})"), file + "/rms_norm_eps",
       "a number in [0, 1] is required, found 2", kAgain},
      {"theta negative", kind, config(R"({"rope_theta":-10000})"), file + "/rope_theta",
       "found -10000", kAgain},
      {"rope_scaling a string", kind, config(R"({"rope_scaling":"linear"})"),
       file + "/rope_scaling", "an object is required, found \"linear\"", kAgain},
      {"rope type a number", kind, config(R"({"rope_scaling":{"type":1}})"),
       file + "/rope_scaling/type", "a string is required, found 1", kAgain},
      {"longrope", kind, config(R"({"rope_scaling":{"rope_type":"longrope","factor":4}})"),
       file + "/rope_scaling/rope_type", "\"longrope\" is not supported", kOther},
      {"factor huge", kind, config(R"({"rope_scaling":{"rope_type":"linear","factor":1e7}})"),
       file + "/rope_scaling/factor", "a number in [1, 1e+06]", kAgain},
      {"eos_token_id beyond the vocabulary", kind, config(R"({"eos_token_id":100})"),
       file + "/eos_token_id", "found 100", kAgain},
      {"eos_token_id an empty list", kind, config(R"({"eos_token_id":[]})"), file + "/eos_token_id",
       "a token id or a list of token ids", kAgain},
      {"eos_token_id with a bad element", kind, config(R"({"eos_token_id":[1,"2"]})"),
       file + "/eos_token_id", "found \"2\"", kAgain},
      {"bos_token_id negative", kind, config(R"({"bos_token_id":-1})"), file + "/bos_token_id",
       "found -1", kAgain},
      {"dtype of integers", kind, config(R"({"torch_dtype":"int8"})"), file + "/torch_dtype",
       "\"int8\" is not supported; supported: float32", kOther},
      {"dtypes that differ", kind, config(R"({"torch_dtype":"float32","dtype":"float16"})"),
       file + "/dtype", "contradicts torch_dtype \"float32\"", "Remove one of the two"},
      {"layer types too few", kind, config(R"({"layer_types":["full_attention"]})", "qwen3"),
       file + "/layer_types", "a list of num_hidden_layers (4) names", kAgain},
      {"a layer type unknown", kind,
       config(R"({"layer_types":["full_attention","linear","x","y"]})", "qwen3"),
       file + "/layer_types/1", "\"linear\" is not supported", kOther},
      {"a layer slides without a window", kind,
       config(
           R"({"layer_types":["sliding_attention","full_attention","full_attention","full_attention"]})",
           "qwen3"),
       file + "/layer_types/0", "has no sliding window", kAgain},
      {"activation a list", kind, config(R"({"hidden_act":["silu"]})"), file + "/hidden_act",
       "a string is required, found a list of 1", kAgain},
      {"tie a number", kind, config(R"({"tie_word_embeddings":1})"), file + "/tie_word_embeddings",
       "true or false is required, found 1", kAgain},
  };
}

}  // namespace

Table model_file_cases() {
  const auto kind = Parser::safetensors, index = Parser::index;
  const std::string file = "m/model.safetensors: ", header = "m/model.safetensors: header byte ";
  const std::string fields = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  const std::string at = "m/model.safetensors.index.json: ";
  const auto mapped = [](const std::string& entries) {
    return R"({"weight_map":{)" + entries + "}}";
  };
  Table out = config_cases();
  const Table more{
      {"seven bytes", kind, "1234567", file, "has 7 bytes", "Download it again"},
      {"a length of 2^63", kind, std::string("\0\0\0\0\0\0\0\x80{}", 10), file + "byte 0",
       "header length 9223372036854775808 is above the cap", kAgain},
      {"a length beyond the file", kind, std::string("\x10\0\0\0\0\0\0\0{}", 10), file + "byte 0",
       "header length 16 reaches beyond the end", kAgain},
      {"an HDF5 file", kind, "\x89HDF\r\n\x1a\n rest of it", file + "byte 0", "is above the cap",
       kAgain},
      {"a header of one brace", kind, tensors("{", 0), header + "1", "the header is not JSON",
       kAgain},
      {"a header of Python", kind, tensors("{'t':1}", 0), header + "1", "the header is not JSON",
       kAgain},
      {"an entry true", kind, tensors("{\"t\":true}", 0), header + "5",
       "an object with dtype, shape and data_offsets is required, found true", kAgain},
      {"an entry without anything", kind, tensors(entry(""), 0), header + "5",
       "the field dtype is missing", kAgain},
      {"a dtype null", kind, tensors(entry(R"("dtype":null)"), 0), header + "14",
       "dtype must be a string, found null", kAgain},
      {"a dtype with control bytes", kind, tensors(entry(R"("dtype":"\u001b[31m")"), 0),
       header + "14", "dtype \"\\x1b[31m\" is not supported", "Convert the model"},
      {"a complex dtype", kind,
       tensors(entry(R"("dtype":"C64","shape":[1],"data_offsets":[0,8])"), 8), header + "14",
       "dtype \"C64\" is not supported (supported: F64", "Convert the model"},
      {"a shape an object", kind, tensors(entry(R"("dtype":"F32","shape":{})"), 0), header + "28",
       "shape must be a list, found an object", kAgain},
      {"a shape with null", kind, tensors(entry(R"("dtype":"F32","shape":[null])"), 0),
       header + "29", "shape must hold whole numbers from 0, found null", kAgain},
      {"a shape with true", kind, tensors(entry(R"("dtype":"F32","shape":[true])"), 0),
       header + "29", "found true", kAgain},
      {"offsets an object", kind, tensors(entry(R"("data_offsets":{"begin":0})"), 0), header + "21",
       "data_offsets must be [begin, end]", kAgain},
      {"offsets nested", kind, tensors(entry(R"("data_offsets":[[0,4]])"), 0), header + "22",
       "data_offsets must be [begin, end]", kAgain},
      {"offsets of strings", kind, tensors(entry(R"("data_offsets":["0","4"])"), 0), header + "22",
       "found \"0\"", kAgain},
      {"a span of 2^64", kind, tensors(entry(R"("data_offsets":[0,18446744073709551616])"), 0),
       header, "found \"18446744073709551616\"", kAgain},
      {"span one too short", kind,
       tensors(entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,3])"), 3), header + "5",
       "= 4 bytes but data_offsets span 3", kAgain},
      {"a third of the file missing", kind, tensors(entry(fields), 3), file,
       "the tensors take 4 bytes but the file holds 3", "Download it again"},
      {"bytes behind", kind, tensors(entry(fields), 5), file, "bytes that belong to no tensor",
       "Download it again"},
      {"no tensor, but bytes", kind, tensors("{}", 1), file, "bytes that belong to no tensor",
       "Download it again"},
      {"metadata with a nested list", kind, tensors(R"({"__metadata__":{"k":["v"]}})", 0),
       header + "21", "__metadata__ values must be strings, found a list", kAgain},
      {"metadata null", kind, tensors(R"({"__metadata__":null})", 0), header + "16",
       "__metadata__ must be an object of strings, found null", kAgain},

      {"index empty", index, "", "m/model.safetensors.index.json:1:1", "not JSON", kAgain},
      {"index a list", index, "[]", at + "/:", "an object is required, found a list of 0", kAgain},
      {"index without a map", index, "{}", at + "/weight_map:",
       "an object of tensor name to file name is required, found nothing", kAgain},
      {"index with an empty map", index, mapped(""),
       at + "/weight_map:", "found an object without entries", kAgain},
      {"index with a map a list", index, R"({"weight_map":["a"]})",
       at + "/weight_map:", "found a list of 1", kAgain},
      {"index with a number for a shard", index, mapped(R"("a":1)"),
       at + "/weight_map/\"a\":", "a file name is required, found 1", kAgain},
      {"index with null for a shard", index, mapped(R"("a":null)"),
       at + "/weight_map/\"a\":", "found null", kAgain},
      {"shard absolute", index, mapped(R"("a":"/etc/x.safetensors")"),
       at + "/weight_map/\"a\":", "is not the plain name of a file", "Download the index again"},
      {"shard climbs out", index, mapped(R"("a":"../x.safetensors")"), at + "/weight_map/\"a\":",
       "\"../x.safetensors\" is not the plain name", "Download the index again"},
      {"shard in a folder", index, mapped(R"("a":"b/x.safetensors")"), at, "is not the plain name",
       "Download the index again"},
      {"shard with a backslash", index, mapped(R"("a":"b\\x.safetensors")"), at,
       "is not the plain name", "Download the index again"},
      {"shard with NUL", index, mapped(R"("a":"x\u0000.safetensors")"), at,
       "\"x\\x00.safetensors\" is not the plain name", "Download the index again"},
      {"shard with a line break", index, mapped(R"("a":"x\n.safetensors")"), at,
       "is not the plain name", "Download the index again"},
      {"shard empty", index, mapped(R"("a":"")"), at, "\"\" is not the plain name",
       "Download the index again"},
      {"shard of 256 bytes", index, mapped("\"a\":\"" + std::string(244, 'x') + ".safetensors\""),
       at, "is not the plain name", "Download the index again"},
      {"shard a pickle", index, mapped(R"("a":"pytorch_model-1.bin")"), at,
       "is not a .safetensors file", "Download the safetensors form"},
      {"a tensor twice in the index", index, mapped(R"("a":"x.safetensors","a":"y.safetensors")"),
       "m/model.safetensors.index.json:1:36", "\"a\" stands twice", "Remove one of the two"},
      {"total_size negative", index, R"({"metadata":{"total_size":-1}})",
       at + "/metadata/total_size:", "a number of bytes is required, found -1", kAgain},
      {"total_size a fraction", index, R"({"metadata":{"total_size":1.5}})",
       at + "/metadata/total_size:", "found 1.5", kAgain},
      {"total_size beyond 64 bits", index, R"({"metadata":{"total_size":1e30}})",
       at + "/metadata/total_size:", "found 1e+30", kAgain},
      {"metadata a list", index, R"({"metadata":[]})", at + "/metadata:", "an object is required",
       kAgain},
  };
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace pref::testing
