// SPDX-License-Identifier: Apache-2.0
// Folders that hold the wrong files for a tokenizer or for weights, and what the fuzzers found.
#include <sys/stat.h>

#include "tests/bad_inputs/bad_input.h"

namespace pref::testing {
namespace {

constexpr const char* kIndexText = R"({"weight_map":{"a":"x.safetensors","b":"y.safetensors"}})";

std::string one_tensor(const std::string& name) {
  const std::string header = "{\"" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  std::string out(8, '\0');
  out[0] = static_cast<char>(header.size());
  return out + header + "x";
}

}  // namespace

Table folder_cases() {
  const auto tokenizer = Parser::tokenizer_folder, model = Parser::model_folder;
  const auto missing = ErrorKind::missing_input;
  using Folder = const TempFolder&;
  const auto link = [](Folder folder, const std::string& target, const std::string& name) {
    std::filesystem::create_symlink(target, folder.path() + "/" + name);
  };
  return {
      {"nothing there", tokenizer, "", "pref_data_",
       "no tokenizer.json, tokenizer.model or *.tiktoken", "Download the model's tokenizer files",
       missing, [](Folder) {}},
      {"GPT-2's old files", tokenizer, "", "pref_data_",
       "vocab.json, merges.txt alone is not supported", "save_pretrained", missing,
       [](Folder folder) {
         folder.write("vocab.json", "{}");
         folder.write("merges.txt", "");
       }},
      {"BERT's vocabulary", tokenizer, "", "pref_data_", "vocab.txt alone is not supported",
       "save_pretrained", missing, [](Folder folder) { folder.write("vocab.txt", "[PAD]"); }},
      {"a file of XLM-R", tokenizer, "", "pref_data_", "sentencepiece.bpe.model alone",
       "save_pretrained", missing,
       [](Folder folder) { folder.write("sentencepiece.bpe.model", "x"); }},
      {"two rank files", tokenizer, "", "pref_data_", "two rank files, a.tiktoken and b.tiktoken",
       "Name the one to use", ErrorKind::data,
       [](Folder folder) {
         folder.write("a.tiktoken", tiny_ranks());
         folder.write("b.tiktoken", tiny_ranks());
       }},
      {"a rank file that is a FIFO", tokenizer, "", "a.tiktoken", "not a regular file",
       "Give a tokenizer file", ErrorKind::data,
       [](Folder folder) { mkfifo((folder.path() + "/a.tiktoken").c_str(), 0600); }},
      {"tokenizer_config.json a folder", tokenizer, "", "tokenizer_config.json",
       "a regular file is required", "Put the file in its place", ErrorKind::data,
       [](Folder folder) {
         folder.write("tokenizer.json", byte_level_json().dump());
         std::filesystem::create_directory(folder.path() + "/tokenizer_config.json");
       }},
      {"chat_template.jinja a FIFO", tokenizer, "", "chat_template.jinja",
       "a regular file is required", "Put the file in its place", ErrorKind::data,
       [](Folder folder) {
         folder.write("tokenizer.json", byte_level_json().dump());
         mkfifo((folder.path() + "/chat_template.jinja").c_str(), 0600);
       }},
      {"a damaged tokenizer.json beside a sound model", tokenizer, "",
       "tokenizer.json:1:", "not JSON", "download it again", ErrorKind::data,
       [](Folder folder) {
         folder.write("tokenizer.json", "{");
         folder.write("tokenizer.model", tiny_model());
       }},
      {"a tokenizer.model that is a git-lfs pointer", tokenizer, "", "tokenizer.model: byte",
       "wire type", "download it again", ErrorKind::data,
       [](Folder folder) {
         folder.write("tokenizer.model", "version https://git-lfs.github.com/spec/v1\n");
       }},

      {"no weights", model, "", "pref_data_", "neither model.safetensors nor", "is there", missing,
       [](Folder) {}},
      {"a pickle", model, "", "pref_data_", "holds a PyTorch pickle (\"pytorch_model.bin\")",
       "safe_serialization=True", ErrorKind::data,
       [](Folder folder) { folder.write("pytorch_model.bin", "\x80\x02"); }},
      {"a checkpoint of Lightning", model, "", "pref_data_",
       "holds a PyTorch pickle (\"last.ckpt\")", "Convert it", ErrorKind::data,
       [](Folder folder) { folder.write("last.ckpt", "PK"); }},
      {"an adapter", model, "", "pref_data_", "holds an adapter", "Merge it into its base model",
       ErrorKind::data, [](Folder folder) { folder.write("adapter_model.safetensors", "x"); }},
      {"weights that are empty", model, "", "model.safetensors", "has 0 bytes", "Download it again",
       ErrorKind::data, [](Folder folder) { folder.write("model.safetensors", ""); }},
      {"weights that are a folder", model, "", "model.safetensors", "not a regular file",
       "Put the file itself in its place", ErrorKind::data,
       [](Folder folder) {
         std::filesystem::create_directory(folder.path() + "/model.safetensors");
       }},
      {"weights that link outside", model, "", "model.safetensors",
       "outside the folder and its hub cache", "Copy the file into the folder", ErrorKind::data,
       [link](Folder folder) { link(folder, "/etc/passwd", "model.safetensors"); }},
      {"weights that link to a device", model, "", "model.safetensors", "the link leads to",
       "Copy the file into the folder", ErrorKind::data,
       [link](Folder folder) { link(folder, "/dev/zero", "model.safetensors"); }},
      {"weights that link nowhere", model, "", "model.safetensors", "the link leads nowhere",
       "Download the model again", ErrorKind::data,
       [link](Folder folder) { link(folder, "blobs/none", "model.safetensors"); }},
      {"weights that link to themselves", model, "", "model.safetensors", "the link leads nowhere",
       "Download the model again", ErrorKind::data,
       [link](Folder folder) { link(folder, "model.safetensors", "model.safetensors"); }},
      {"shards missing", model, "", "model.safetensors.index.json", "2 of 2 shards are missing",
       "Download them:\n  x.safetensors\n  y.safetensors", missing,
       [](Folder folder) { folder.write("model.safetensors.index.json", kIndexText); }},
      {"a shard that links outside", model, "", "x.safetensors",
       "outside the folder and its hub cache", "Copy the file into the folder", ErrorKind::data,
       [link](Folder folder) {
         folder.write("model.safetensors.index.json", kIndexText);
         link(folder, "/etc/passwd", "x.safetensors");
       }},
      {"a tensor in the other shard", model, "", "model.safetensors.index.json",
       "\"a\" is in y.safetensors, not in x.safetensors as the index says", "download both again",
       ErrorKind::data,
       [](Folder folder) {
         folder.write("model.safetensors.index.json", kIndexText);
         folder.write("x.safetensors", one_tensor("b"));
         folder.write("y.safetensors", one_tensor("a"));
       }},
      {"a tensor in two shards", model, "", "model.safetensors.index.json",
       "\"a\" is in two shards, x.safetensors and y.safetensors", "download both again",
       ErrorKind::data,
       [](Folder folder) {
         folder.write("model.safetensors.index.json", kIndexText);
         folder.write("x.safetensors", one_tensor("a"));
         folder.write("y.safetensors", one_tensor("a"));
       }},
      {"a tensor in no shard", model, "", "model.safetensors.index.json",
       "\"b\" is in the index (y.safetensors) but in no shard", "download both again",
       ErrorKind::data,
       [](Folder folder) {
         folder.write("model.safetensors.index.json", kIndexText);
         folder.write("x.safetensors", one_tensor("a"));
         folder.write("y.safetensors", one_tensor("c"));
       }},
  };
}

Table fuzz_cases() {
  const auto chat = Parser::chat_template;
  return {
      {"join of undefined items by a long mark", chat,
       "{{ range(100000)|map(attribute='x')|join('y' * 3999999) }}", "m/chat_template.jinja:1: ",
       "the cap is 4000000", "Correct the conversation or the template"},
      {"a transcript of many turns of one name", Parser::rows,
       R"({"chosen":")" + repeated("\\n\\nHuman:", 400'000) + R"(","rejected":"\n\nHuman: a"})",
       "rows.jsonl:1:", "does not end with an \"Assistant:\" turn", "Fix the row"},
      {"a row of many keys", Parser::rows,
       [] {
         std::string line = "{";
         for (int i = 0; i < 300'000; ++i) line += "\"" + std::to_string(i) + "\":0,";
         return line + "\"x\":0}";
       }(),
       "rows.jsonl:1:", "\"chosen\" is missing", "Fix the row"},
  };
}

}  // namespace pref::testing
