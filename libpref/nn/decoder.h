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
#include "libpref/ops/tensor_kernels.h"

namespace pref {

class Decoder : public Network {
 public:
  /// Declares and allocates all parameters (zeros). `trainable` is asked by tensor name of the
  /// model folder.
  Decoder(DecoderConfig config, const std::function<bool(const std::string&)>& trainable,
          const Placement& placement = {});

  at::Tensor hidden(const PackedBatch& batch) override;
  Weight lm_head() override;
  ParameterStore& parameters() override { return store_; }
  const DecoderConfig& config() const { return config_; }

  /// The network with attention left open: attend(layer, qkv [T, (H + 2 K) d], rotated) returns [T,
  /// H d]. Packed training and cached sampling are two ways to attend. Every position is below
  /// `positions_end`. Returns hidden states [T, D].
  using Attend = std::function<at::Tensor(int64_t layer, const at::Tensor& qkv)>;
  at::Tensor run(const at::Tensor& tokens, const at::Tensor& positions, int64_t positions_end,
                 const Attend& attend, const ops::RowGroupTensors& token_groups = {});

  /// Keep a layer's input alone and compute the layer again in the backward pass
  /// (arXiv:1604.06174): about a third more work for a fraction of the activations.
  void set_recompute(bool on) { recompute_ = on; }

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
  // linear(f(x)) + residual with f nothing, RMSNorm by the leaf `norm`, or silu(gate) * up.
  enum class Before { nothing, norm, swiglu };
  at::Tensor project(const Projection& projection, const at::Tensor& x, Before before,
                     int64_t norm = -1, const at::Tensor& residual = {}) const;
  at::Tensor run_layer(int64_t layer, const at::Tensor& x, const at::Tensor& positions,
                       const Attend& attend) const;

  DecoderConfig config_;
  ParameterStore store_;
  std::vector<Layer> layers_;
  int64_t embedding_ = -1, final_norm_ = -1, lm_head_ = -1;
  RopeTable rope_;
  bool recompute_ = false;
  at::Tensor anchor_;  // requires a gradient, so that a recomputed layer has one
};

}  // namespace pref
