// SPDX-License-Identifier: Apache-2.0
// What a model folder must hold, compared with what it holds, before anything of the model's size
// is allocated.
#include "libpref/data/model_folder/model_folder.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/data/model_folder/model_files.h"
#include "libpref/data/model_folder/safetensors_format.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

/// Equal values, whatever the two types are.
bool same_values(const WeightFiles::Found& a, const WeightFiles::Found& b) {
  if (a.entry->shape != b.entry->shape) return false;
  const std::span<const std::byte> x = a.file->bytes(*a.entry), y = b.file->bytes(*b.entry);
  if (a.entry->type == b.entry->type)
    return x.empty() || std::memcmp(x.data(), y.data(), x.size()) == 0;
  constexpr int64_t kChunk = 1 << 16;
  std::vector<float> p(kChunk), q(kChunk);
  const int64_t count = a.entry->elements();
  for (int64_t at = 0; at < count; at += kChunk) {
    const int64_t n = std::min(kChunk, count - at);
    convert_to_f32(a.entry->type, x.data() + at * tensor_type_bytes(a.entry->type), n, p.data());
    convert_to_f32(b.entry->type, y.data() + at * tensor_type_bytes(b.entry->type), n, q.data());
    if (!std::equal(p.begin(), p.begin() + n, q.begin())) return false;
  }
  return true;
}

bool is_float(TensorType type) {
  return type == TensorType::f64 || type == TensorType::f32 || type == TensorType::f16 ||
         type == TensorType::bf16;
}

}  // namespace

DecoderConfig read_decoder_config(const std::string& folder) {
  require_model_folder(folder, "config.json");
  const std::string path = join_path(folder, "config.json");
  std::string text;
  if (read_model_file(folder, "config.json", 1'000'000, &text))
    return parse_decoder_config(text, path);
  const auto there = [&](const char* name) {
    return posix_file_system().info(join_path(folder, name)).exists;
  };
  fail(ErrorKind::missing_input, "model folder", path, ": no such file.",
       there("adapter_config.json")
           ? " adapter_config.json is there: merge the adapter into its base model first."
       : there("params.json")
           ? " params.json is there: convert the model to the Hugging Face layout first."
           : "");
}

std::vector<ExpectedTensor> expected_tensors(const DecoderConfig& c) {
  const int64_t q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  std::vector<ExpectedTensor> out{{kEmbedding, {c.vocab_size, c.hidden_size}}};
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    const auto linear = [&](const char* name, int64_t outputs, int64_t inputs, bool bias) {
      out.push_back({layer + name + ".weight", {outputs, inputs}});
      if (bias) out.push_back({layer + name + ".bias", {outputs}});
    };
    const auto norm = [&](const char* name, int64_t size) {
      out.push_back({layer + name + ".weight", {size}});
    };
    norm("input_layernorm", c.hidden_size);
    linear("self_attn.q_proj", q, c.hidden_size, c.qkv_bias);
    linear("self_attn.k_proj", kv, c.hidden_size, c.qkv_bias);
    linear("self_attn.v_proj", kv, c.hidden_size, c.qkv_bias);
    if (c.qk_norm) norm("self_attn.q_norm", c.head_dim);
    if (c.qk_norm) norm("self_attn.k_norm", c.head_dim);
    linear("self_attn.o_proj", c.hidden_size, q, c.attention_out_bias);
    norm("post_attention_layernorm", c.hidden_size);
    linear("mlp.gate_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
    linear("mlp.up_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
    linear("mlp.down_proj", c.hidden_size, c.intermediate_size, c.mlp_bias);
  }
  out.push_back({"model.norm.weight", {c.hidden_size}});
  if (!c.tie_word_embeddings) out.push_back({kHead, {c.vocab_size, c.hidden_size}});
  return out;
}

void check_weights(const DecoderConfig& config, const WeightFiles& weights) {
  std::vector<std::string> problems;
  std::unordered_set<std::string> expected;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    expected.insert(tensor.name);
    const WeightFiles::Found found = weights.find(tensor.name);
    if (!found) {
      problems.push_back("missing: " + tensor.name);
    } else if (found.entry->shape != tensor.shape) {
      problems.push_back("shape: " + tensor.name + ": " + shape_text(tensor.shape) +
                         " is required, found " + shape_text(found.entry->shape));
    } else if (!is_float(found.entry->type)) {
      problems.push_back("type: " + tensor.name + ": a float type is required, the file has " +
                         std::string(tensor_type_name(found.entry->type)) + " (quantized?)");
    }
  }
  const WeightFiles::Found embedding = weights.find(kEmbedding);
  for (const std::string& name : weights.names()) {
    if (expected.contains(name)) continue;
    if (name.ends_with("rotary_emb.inv_freq")) {
      log_debug("[model folder] ", escape_text(name), " is ignored: it follows from config.json.");
    } else if (name == kHead) {  // some writers store the tied matrix twice
      const WeightFiles::Found head = weights.find(name);
      if (embedding && is_float(head.entry->type) && is_float(embedding.entry->type) &&
          !same_values(head, embedding))
        problems.push_back(std::string(kHead) + " differs from " + kEmbedding +
                           " although config.json says tie_word_embeddings");
    } else {
      problems.push_back("unexpected: " + escape_text(name));
    }
  }
  require(problems.empty(), ErrorKind::data, "model folder", "the weights are not those of this ",
          config.model_type, " config.json; is each from the same model?", list_lines(problems));
}

}  // namespace pref
