// SPDX-License-Identifier: Apache-2.0
// Oracle of the decoder: one sequence at a time, from the definitions, with ATen's own operators
// and autograd, in the number type of the weights it is given. Knows nothing of packing, joined
// matrices or kernels.
#pragma once
#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "libpref/data/model_folder/config.h"
#include "libpref/nn/parameter_store.h"

namespace pref::reference {

using NamedTensors = std::map<std::string, at::Tensor>;

/// The weights of a store by their names in the model folder, as leaves of their own.
inline NamedTensors named_weights(const ParameterStore& store, at::ScalarType type) {
  NamedTensors out;
  for (const Parameter& p : store.parameters()) {
    int64_t row = 0;
    for (const ParameterPart& part : p.parts) {
      out[part.name] =
          p.value.detach().narrow(0, row, part.shape[0]).to(type).clone().requires_grad_();
      row += part.shape[0];
    }
  }
  return out;
}

/// Inverse frequencies by wavelength, as the Llama 3.1 release describes its scaling.
inline std::vector<double> inverse_frequencies(const DecoderConfig& c) {
  std::vector<double> out;
  for (int64_t i = 0; i < c.head_dim / 2; ++i) {
    const double f =
        1 / std::pow(c.rope_theta, 2.0 * static_cast<double>(i) / static_cast<double>(c.head_dim));
    const RopeScaling& s = c.rope_scaling;
    if (s.kind == RopeScalingKind::none) {
      out.push_back(f);
    } else if (s.kind == RopeScalingKind::linear) {
      out.push_back(f / s.factor);
    } else {
      const double wavelength = 2 * std::numbers::pi / f,
                   context = static_cast<double>(s.original_max_position_embeddings);
      const double longest = context / s.low_freq_factor, shortest = context / s.high_freq_factor;
      const double smooth =
          (context / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
      out.push_back(wavelength < shortest  ? f
                    : wavelength > longest ? f / s.factor
                                           : (1 - smooth) * f / s.factor + smooth * f);
    }
  }
  return out;
}

inline at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x * at::rsqrt(x.square().mean(-1, true) + eps) * weight;
}

/// x [T, H, d] turned by its positions: (a, b) becomes (a cos - b sin, b cos + a sin).
inline at::Tensor rotate(const at::Tensor& x, const DecoderConfig& c) {
  const at::Tensor frequency =
      at::tensor(at::ArrayRef<double>(inverse_frequencies(c)), at::kDouble);
  const at::Tensor angle =
      at::outer(at::arange(x.size(0), at::kDouble), frequency).unsqueeze(1);  // [T, 1, d/2]
  const at::Tensor cosine = angle.cos().to(x.scalar_type()), sine = angle.sin().to(x.scalar_type());
  const at::Tensor a = x.narrow(2, 0, c.head_dim / 2),
                   b = x.narrow(2, c.head_dim / 2, c.head_dim / 2);
  return at::cat({a * cosine - b * sine, b * cosine + a * sine}, 2);
}

/// Hidden states [T, D] after the final norm.
inline at::Tensor decoder_hidden(const DecoderConfig& c, const NamedTensors& w,
                                 const std::vector<int64_t>& tokens) {
  const int64_t length = static_cast<int64_t>(tokens.size());
  const auto linear = [&](const at::Tensor& x, const std::string& name) {
    const at::Tensor y = at::matmul(x, w.at(name + ".weight").t());
    return w.contains(name + ".bias") ? y + w.at(name + ".bias") : y;
  };
  at::Tensor x = w.at("model.embed_tokens.weight")
                     .index_select(0, at::tensor(at::ArrayRef<int64_t>(tokens), at::kLong));
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const at::Tensor h = rms_norm(x, w.at(prefix + "input_layernorm.weight"), c.rms_norm_eps);
    const auto heads = [&](const char* name, int64_t count) {
      return linear(h, prefix + "self_attn." + name + "_proj").view({length, count, c.head_dim});
    };
    at::Tensor q = heads("q", c.num_attention_heads), k = heads("k", c.num_key_value_heads);
    if (c.qk_norm) {
      q = rms_norm(q, w.at(prefix + "self_attn.q_norm.weight"), c.rms_norm_eps);
      k = rms_norm(k, w.at(prefix + "self_attn.k_norm.weight"), c.rms_norm_eps);
    }
    const int64_t group = c.num_attention_heads / c.num_key_value_heads;
    q = rotate(q, c).transpose(0, 1);  // [H, T, d]
    k = rotate(k, c).repeat_interleave(group, 1).transpose(0, 1);
    const at::Tensor v =
        heads("v", c.num_key_value_heads).repeat_interleave(group, 1).transpose(0, 1);
    const at::Tensor position = at::arange(length);
    const at::Tensor distance = position.unsqueeze(1) - position.unsqueeze(0);
    at::Tensor hidden = distance < 0;
    if (c.layer_window[layer] > 0) hidden = hidden.logical_or(distance >= c.layer_window[layer]);
    const at::Tensor scores =
        at::matmul(q, k.transpose(1, 2)) / std::sqrt(static_cast<double>(c.head_dim));
    const at::Tensor attended = at::matmul(scores.masked_fill(hidden, -INFINITY).softmax(-1), v);
    x = x + linear(attended.transpose(0, 1).reshape({length, -1}), prefix + "self_attn.o_proj");
    const at::Tensor m =
        rms_norm(x, w.at(prefix + "post_attention_layernorm.weight"), c.rms_norm_eps);
    const at::Tensor gate = linear(m, prefix + "mlp.gate_proj");
    x = x +
        linear(gate * gate.sigmoid() * linear(m, prefix + "mlp.up_proj"), prefix + "mlp.down_proj");
  }
  return rms_norm(x, w.at("model.norm.weight"), c.rms_norm_eps);
}

/// Logits [T, V].
inline at::Tensor decoder_logits(const DecoderConfig& c, const NamedTensors& w,
                                 const std::vector<int64_t>& tokens) {
  const char* head = c.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  return at::matmul(decoder_hidden(c, w, tokens), w.at(head).t());
}

}  // namespace pref::reference
