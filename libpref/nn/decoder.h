// SPDX-License-Identifier: Apache-2.0
// Decoder families llama, mistral, qwen2 and qwen3 as one network: what differs between them is
// data (DecoderConfig).
//   x = E[tokens];  per layer: x += O attention(rope(QKV norm(x)));  x += D (silu(G norm(x)) * U
//                   norm(x));  norm(x)
// q, k, v and gate, up are one matrix each, so that a layer is four matrix products forward.
#pragma once
#include <ATen/core/TensorBody.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "libpref/data/model_folder/config.h"
#include "libpref/nn/network.h"
#include "libpref/nn/rope_table.h"
#include "libpref/ops/attention.h"

namespace pref {

class Decoder : public Network {
 public:
  /// Declares and allocates all parameters (zeros). `trainable` is asked by tensor name of the
  /// model folder.
  Decoder(DecoderConfig config, const std::function<bool(const std::string&)>& trainable);

  at::Tensor hidden(const PackedBatch& batch) override;
  Weight lm_head() override;
  ParameterStore& parameters() override { return store_; }
  const DecoderConfig& config() const { return config_; }

  /// The network with attention left open: attend(layer, qkv [T, (H + 2 K) d], rotated) returns [T,
  /// H d]. Packed training and cached sampling are two ways to attend. Returns hidden states [T,
  /// D].
  using Attend = std::function<at::Tensor(int64_t layer, const at::Tensor& qkv)>;
  at::Tensor run(const at::Tensor& tokens, const at::Tensor& positions, const Attend& attend);

  ops::AttentionShape attention_shape(int64_t layer) const;

 private:
  // One matrix product's leaves: a single joined leaf, or one a part where some parts are frozen
  // and others are not.
  struct Projection {
    std::vector<int64_t> weights, biases;
  };
  struct Layer {
    Projection qkv, out, gate_up, down;
    int64_t input_norm = -1, post_norm = -1, q_norm = -1, k_norm = -1;
  };
  Projection declare_projection(const std::string& block, const std::string& prefix,
                                const std::vector<std::pair<std::string, int64_t>>& outputs,
                                int64_t inputs, bool bias,
                                const std::function<bool(const std::string&)>& trainable);
  at::Tensor project(const Projection& projection, const at::Tensor& x,
                     const at::Tensor& residual = {}) const;

  DecoderConfig config_;
  ParameterStore store_;
  std::vector<Layer> layers_;
  int64_t embedding_ = -1, final_norm_ = -1, lm_head_ = -1;
  RopeTable rope_;
};

}  // namespace pref
