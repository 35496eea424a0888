// SPDX-License-Identifier: Apache-2.0
#include "libpref/nn/decoder.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>
#include <memory>

#include "libpref/base/error.h"
#include "libpref/ops/decoder_ops.h"
#include "libpref/ops/device_batch.h"
#include "libpref/ops/varlen_attention.h"

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

Decoder::Decoder(DecoderConfig config, const std::function<bool(const std::string&)>& trainable,
                 const Placement& placement)
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
  store_.keep_gradient_wide(lm_head_);
  store_.allocate(trainable, placement);
  anchor_ = at::zeros({1}).requires_grad_(true);
}

Weight Decoder::lm_head() { return store_.weight(lm_head_); }

ops::AttentionShape Decoder::attention_shape(int64_t layer) const {
  return {config_.num_attention_heads, config_.num_key_value_heads, config_.head_dim,
          config_.layer_window[layer]};
}

at::Tensor Decoder::project(const Projection& projection, const at::Tensor& x, Before before,
                            int64_t norm, const at::Tensor& residual) const {
  const double eps = config_.rms_norm_eps;
  if (projection.weights.size() == 1 && projection.biases.size() <= 1) {
    const Weight weight = store_.weight(projection.weights[0]);
    const Weight bias = projection.biases.empty() ? Weight{} : store_.weight(projection.biases[0]);
    switch (before) {
      case Before::norm:
        return ops::norm_linear(x, store_.weight(norm), eps, weight, bias);
      case Before::swiglu:
        return ops::swiglu_linear(x, weight, bias, residual);
      default:
        return ops::linear(x, weight, bias, residual);
    }
  }
  const at::Tensor input = before == Before::norm     ? ops::rms_norm(x, store_.weight(norm), eps)
                           : before == Before::swiglu ? ops::swiglu(x)
                                                      : x;
  const auto join = [](const std::vector<at::Tensor>& parts, int64_t dim) {
    return parts.size() == 1 ? parts[0] : at::cat(parts, dim);
  };
  std::vector<at::Tensor> outputs, biases;
  for (const int64_t w : projection.weights)
    outputs.push_back(ops::linear(input, store_.weight(w)));
  for (const int64_t b : projection.biases) biases.push_back(store_.weight(b).value);
  at::Tensor out = join(outputs, 1);
  if (!biases.empty()) out = at::add(out, join(biases, 0));
  return residual.defined() ? at::add(out, residual) : out;
}

at::Tensor Decoder::run_layer(int64_t i, const at::Tensor& x, const at::Tensor& positions,
                              const Attend& attend) const {
  const DecoderConfig& c = config_;
  const Layer& layer = layers_[i];
  at::Tensor qkv = project(layer.qkv, x, Before::norm, layer.input_norm);
  if (c.qk_norm)
    qkv = ops::head_norm(qkv, store_.weight(layer.q_norm), store_.weight(layer.k_norm),
                         c.num_attention_heads, c.num_key_value_heads, c.head_dim, c.rms_norm_eps);
  qkv = ops::rope_(qkv, positions, rope_.cosine, rope_.sine,
                  c.num_attention_heads + c.num_key_value_heads, c.head_dim);
  const at::Tensor middle = project(layer.out, attend(i, qkv), Before::nothing, -1, x);
  const at::Tensor gate_up = project(layer.gate_up, middle, Before::norm, layer.post_norm);
  return project(layer.down, gate_up, Before::swiglu, -1, middle);
}

at::Tensor Decoder::run(const at::Tensor& tokens, const at::Tensor& positions,
                        int64_t positions_end, const Attend& attend,
                        const ops::RowGroupTensors& token_groups) {
  if (!rope_.cosine.defined() || rope_.cosine.size(0) < positions_end) {
    rope_ = make_rope_table(config_, (std::max<int64_t>(positions_end, 1) + 1023) / 1024 * 1024);
    const at::Device device = store_.placement().device;
    rope_ = {rope_.cosine.to(device), rope_.sine.to(device)};
  }
  at::Tensor x = ops::embedding(tokens, store_.weight(embedding_), token_groups);
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    if (recompute_ && at::GradMode::is_enabled())
      x = ops::recomputed(
          [this, i, positions, attend](const at::Tensor& input) {
            return run_layer(i, input, positions, attend);
          },
          x, anchor_);
    else
      x = run_layer(i, x, positions, attend);
  }
  return ops::rms_norm(x, store_.weight(final_norm_), config_.rms_norm_eps);
}

at::Tensor Decoder::hidden(const PackedBatch& batch) {
  const int64_t positions_end =
      batch.plan.positions.empty()
          ? 0
          : *std::max_element(batch.plan.positions.begin(), batch.plan.positions.end()) + 1;
  if (batch.on_device) {
    ops::check_tokens(batch.plan.tokens, config_.vocab_size, "embedding");
    return run(
        batch.tokens, batch.positions, positions_end,
        [this, device = batch.on_device](int64_t layer, const at::Tensor& qkv) {
          return ops::varlen_attention(qkv, attention_shape(layer), device->attention);
        },
        batch.on_device->token_groups);
  }
  require(store_.holds_plain_values(), ErrorKind::option, "decoder",
          "this network is on a device; a batch made for a device is required.");
  // By window; shared with the layers that are computed a second time.
  auto plans = std::make_shared<std::map<int64_t, std::shared_ptr<const ops::AttentionPlan>>>();
  return run(batch.tokens, batch.positions, positions_end,
             [this, plans, segments = batch.plan.segments](int64_t layer, const at::Tensor& qkv) {
               const ops::AttentionShape shape = attention_shape(layer);
               auto& plan = (*plans)[shape.window];
               if (!plan) plan = ops::make_attention_plan(segments, shape, at::kFloat);
               return ops::packed_attention(qkv, plan);
             });
}

}  // namespace pref
