// SPDX-License-Identifier: Apache-2.0
#include "libpref/nn/decoder.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/max.h>

#include <algorithm>
#include <map>

#include "libpref/base/error.h"
#include "libpref/ops/decoder_ops.h"

namespace pref {

Decoder::Projection Decoder::declare_projection(
    const std::string& block, const std::string& prefix,
    const std::vector<std::pair<std::string, int64_t>>& outputs, int64_t inputs, bool bias,
    const std::function<bool(const std::string&)>& trainable) {
  Projection projection;
  const auto declare = [&](const std::string& kind, bool matrix, std::vector<int64_t>& leaves) {
    std::vector<ParameterPart> parts;
    for (const auto& [name, rows] : outputs)
      parts.push_back({prefix + name + kind,
                       matrix ? std::vector<int64_t>{rows, inputs} : std::vector<int64_t>{rows}});
    const bool joined = std::all_of(parts.begin(), parts.end(), [&](const ParameterPart& part) {
      return trainable(part.name) == trainable(parts[0].name);
    });
    if (joined) {
      leaves.push_back(store_.declare(block, std::move(parts), matrix));
    } else {
      for (auto& part : parts) leaves.push_back(store_.declare(block, {std::move(part)}, matrix));
    }
  };
  declare(".weight", true, projection.weights);
  if (bias) declare(".bias", false, projection.biases);
  return projection;
}

Decoder::Decoder(DecoderConfig config, const std::function<bool(const std::string&)>& trainable)
    : config_(std::move(config)) {
  const DecoderConfig& c = config_;
  const auto norm = [&](const std::string& block, const std::string& name, int64_t width) {
    return store_.declare(block, {{name, {width}}}, false);
  };
  embedding_ = store_.declare("embedding",
                              {{"model.embed_tokens.weight", {c.vocab_size, c.hidden_size}}}, true);
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string block = "layer " + std::to_string(i),
                      prefix = "model.layers." + std::to_string(i) + ".";
    const int64_t q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
    Layer layer;
    layer.qkv = declare_projection(block, prefix + "self_attn.",
                                   {{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}, c.hidden_size,
                                   c.qkv_bias, trainable);
    layer.out = declare_projection(block, prefix + "self_attn.", {{"o_proj", c.hidden_size}}, q,
                                   c.attention_out_bias, trainable);
    layer.gate_up =
        declare_projection(block, prefix + "mlp.",
                           {{"gate_proj", c.intermediate_size}, {"up_proj", c.intermediate_size}},
                           c.hidden_size, c.mlp_bias, trainable);
    layer.down = declare_projection(block, prefix + "mlp.", {{"down_proj", c.hidden_size}},
                                    c.intermediate_size, c.mlp_bias, trainable);
    layer.input_norm = norm(block, prefix + "input_layernorm.weight", c.hidden_size);
    layer.post_norm = norm(block, prefix + "post_attention_layernorm.weight", c.hidden_size);
    if (c.qk_norm) {
      layer.q_norm = norm(block, prefix + "self_attn.q_norm.weight", c.head_dim);
      layer.k_norm = norm(block, prefix + "self_attn.k_norm.weight", c.head_dim);
    }
    layers_.push_back(std::move(layer));
  }
  final_norm_ = norm("head", "model.norm.weight", c.hidden_size);
  lm_head_ =
      c.tie_word_embeddings
          ? embedding_
          : store_.declare("head", {{"lm_head.weight", {c.vocab_size, c.hidden_size}}}, true);
  store_.allocate(trainable);
}

Weight Decoder::lm_head() { return store_.weight(lm_head_); }

ops::AttentionShape Decoder::attention_shape(int64_t layer) const {
  return {config_.num_attention_heads, config_.num_key_value_heads, config_.head_dim,
          config_.layer_window[layer]};
}

at::Tensor Decoder::project(const Projection& projection, const at::Tensor& x,
                            const at::Tensor& residual) const {
  if (projection.weights.size() == 1 && projection.biases.size() <= 1) {
    const Weight bias = projection.biases.empty() ? Weight{} : store_.weight(projection.biases[0]);
    return ops::linear(x, store_.weight(projection.weights[0]), bias, residual);
  }
  const auto join = [](const std::vector<at::Tensor>& parts, int64_t dim) {
    return parts.size() == 1 ? parts[0] : at::cat(parts, dim);
  };
  std::vector<at::Tensor> outputs, biases;
  for (const int64_t w : projection.weights) outputs.push_back(ops::linear(x, store_.weight(w)));
  for (const int64_t b : projection.biases) biases.push_back(store_.weight(b).value);
  at::Tensor out = join(outputs, 1);
  if (!biases.empty()) out = at::add(out, join(biases, 0));
  return residual.defined() ? at::add(out, residual) : out;
}

at::Tensor Decoder::run(const at::Tensor& tokens, const at::Tensor& positions,
                        const Attend& attend) {
  const DecoderConfig& c = config_;
  const int64_t needed = positions.numel() == 0 ? 1 : positions.max().item<int64_t>() + 1;
  if (!rope_.cosine.defined() || rope_.cosine.size(0) < needed)
    rope_ = make_rope_table(c, (needed + 1023) / 1024 * 1024);
  at::Tensor x = ops::embedding(tokens, store_.weight(embedding_));
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const Layer& layer = layers_[i];
    at::Tensor qkv =
        project(layer.qkv, ops::rms_norm(x, store_.weight(layer.input_norm), c.rms_norm_eps));
    if (c.qk_norm)
      qkv =
          ops::head_norm(qkv, store_.weight(layer.q_norm), store_.weight(layer.k_norm),
                         c.num_attention_heads, c.num_key_value_heads, c.head_dim, c.rms_norm_eps);
    qkv = ops::rope(qkv, positions, rope_.cosine, rope_.sine,
                    c.num_attention_heads + c.num_key_value_heads, c.head_dim);
    x = project(layer.out, attend(i, qkv), x);
    const at::Tensor gate_up =
        project(layer.gate_up, ops::rms_norm(x, store_.weight(layer.post_norm), c.rms_norm_eps));
    x = project(layer.down, ops::swiglu(gate_up), x);
  }
  return ops::rms_norm(x, store_.weight(final_norm_), c.rms_norm_eps);
}

at::Tensor Decoder::hidden(const PackedBatch& batch) {
  std::map<int64_t, std::shared_ptr<const ops::AttentionPlan>> plans;  // by window
  return run(batch.tokens, batch.positions, [&](int64_t layer, const at::Tensor& qkv) {
    const ops::AttentionShape shape = attention_shape(layer);
    auto& plan = plans[shape.window];
    if (!plan) plan = ops::make_attention_plan(batch.plan.segments, shape, at::kFloat);
    return ops::packed_attention(qkv, plan);
  });
}

}  // namespace pref
