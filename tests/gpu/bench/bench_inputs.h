// SPDX-License-Identifier: Apache-2.0
// Inputs of the head's and the step's benchmarks: rows of given lengths, hidden states and a
// vocabulary matrix of random numbers, a model with random weights made on the device.
#pragma once
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <memory>
#include <vector>

#include "libpref/base/random.h"
#include "libpref/nn/model.h"
#include "libpref/ops/device_head.h"
#include "libpref/train/step.h"
#include "tests/gpu/bench/bench_run.h"

namespace pref::bench {

inline at::TensorOptions on_device(at::ScalarType type) {
  return at::TensorOptions(type).device(at::Device(device_name()));
}

struct PairLengths {
  int64_t prompt, chosen, rejected;
};

inline std::vector<TokenizedRow> rows_of(const std::vector<PairLengths>& lengths, int64_t vocab) {
  RandomStream random(1, "bench rows");
  const auto ids = [&](int64_t count) {
    std::vector<int32_t> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<int32_t>(random.below(vocab)));
    return out;
  };
  std::vector<TokenizedRow> rows;
  for (const PairLengths& l : lengths)
    rows.push_back({.id = std::to_string(rows.size()),
                    .prompt = ids(l.prompt),
                    .branches = {ids(l.chosen), ids(l.rejected)}});
  return rows;
}

inline std::vector<int64_t> every(size_t count) {
  std::vector<int64_t> out;
  for (size_t i = 0; i < count; ++i) out.push_back(static_cast<int64_t>(i));
  return out;
}

/// A head over labels of whole pairs, ready to run.
struct HeadInputs {
  at::Tensor weight, gradient, hidden, d_hidden;  // [V, H] bf16 and f32, [T, H] bf16
  std::vector<TokenizedRow> rows;
  std::vector<double> ref_logp;
  Objective objective{DPO{.beta = 0.1}};
  std::unique_ptr<DeviceHead> head;
  ops::Uploader uploader{at::Device(device_name())};
  std::vector<HeadGroup> groups;
  PackedBatch batch;
  int64_t labels = 0;

  HeadInputs(const std::vector<PairLengths>& lengths, int64_t width, int64_t vocab,
             LogitsType logits, int64_t budget = int64_t{4} << 30) {
    weight = (at::randn({vocab, width}, on_device(at::kFloat)) *
              (3 / std::sqrt(static_cast<double>(width))))
                 .to(at::kBFloat16);
    gradient = at::zeros({vocab, width}, on_device(at::kFloat));
    rows = rows_of(lengths, vocab);
    PackingPlan plan = pack_rows(rows, every(rows.size()));
    hidden = at::randn({plan.num_tokens(), width}, on_device(at::kBFloat16));
    d_hidden = at::zeros_like(hidden);
    labels = plan.num_labels();
    ref_logp.assign(static_cast<size_t>(plan.num_sequences()), -100.0);
    head = std::make_unique<DeviceHead>(Weight{weight, gradient},
                                        HeadOptions{.logits_bytes = budget}, logits);
    groups = head->groups(labels_of(plan));
    RowInputs inputs = row_inputs(plan);
    inputs.ref_logp = ref_logp;
    batch = make_packed_batch(std::move(plan), inputs, groups, uploader);
  }
  void run() {
    const auto pairs = static_cast<double>(rows.size());
    head->backward(hidden, batch, groups, objective, {pairs, static_cast<double>(labels)},
                   d_hidden);
  }
};

/// Llama-shaped, weights random on the device.
inline std::unique_ptr<Model> device_llama(const DecoderConfig& config) {
  auto model = std::make_unique<Model>(config, nullptr,
                                       ModelOptions{.device = device_name(), .dtype = DType::bf16});
  const c10::NoGradGuard no_grad;
  for (const Parameter& p : model->network().parameters().parameters()) {
    at::Tensor value = p.value.detach();
    if (p.decay)
      value.normal_(0, 0.02);
    else
      value.fill_(1);
  }
  return model;
}

inline DecoderConfig llama_config(int64_t hidden, int64_t inner, int64_t layers, int64_t heads,
                                  int64_t key_heads, int64_t vocab) {
  DecoderConfig c;
  c.model_type = "llama";
  c.hidden_size = hidden;
  c.intermediate_size = inner;
  c.num_hidden_layers = layers;
  c.num_attention_heads = heads;
  c.num_key_value_heads = key_heads;
  c.head_dim = hidden / heads;
  c.vocab_size = vocab;
  c.rope_theta = 500000;
  c.rms_norm_eps = 1e-5;
  c.layer_window.assign(static_cast<size_t>(layers), 0);
  return c;
}

}  // namespace pref::bench
