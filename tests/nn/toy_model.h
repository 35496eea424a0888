// SPDX-License-Identifier: Apache-2.0
// Decoders small enough for exhaustive tests, one of every family with what is special to it, and
// rows of ids for them.
#pragma once
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "libpref/base/log.h"
#include "libpref/base/random.h"
#include "libpref/data/load_preferences.h"
#include "libpref/nn/model.h"

namespace pref::testing {

/// Toy models run on one thread, where waking others costs more than they do; tests of threads say
/// so by ThreadCount.
class ToyEnvironment : public ::testing::Environment {
  void SetUp() override {
    at::set_num_threads(1);
    set_log_level(LogLevel::error);
  }
};
inline const ::testing::Environment* const toy_environment =
    ::testing::AddGlobalTestEnvironment(new ToyEnvironment);

class ThreadCount {
 public:
  explicit ThreadCount(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~ThreadCount() { at::set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

inline const std::vector<std::string>& families() {
  static const std::vector<std::string> names = {"llama", "mistral", "qwen2", "qwen3"};
  return names;
}

/// llama: scaled rope; mistral: a window shorter than the rows; qwen2: biases and a tied head;
/// qwen3: head norms, heads wider than the hidden state, a window from the second layer on.
inline DecoderConfig toy_config(const std::string& family, int64_t vocab_size = 23) {
  DecoderConfig c;
  c.model_type = family;
  c.hidden_size = 16;
  c.intermediate_size = 24;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = family == "mistral" ? 1 : 2;
  c.head_dim = family == "qwen3" ? 6 : 4;
  c.vocab_size = vocab_size;
  c.max_position_embeddings = 2048;
  c.rms_norm_eps = family == "llama" ? 1e-5 : 1e-6;
  c.rope_theta = family == "qwen3" ? 1e6 : 1e4;
  if (family == "llama") c.rope_scaling = {RopeScalingKind::llama3, 8, 1, 4, 64};
  c.tie_word_embeddings = family == "qwen2";
  c.qkv_bias = family == "qwen2";
  c.qk_norm = family == "qwen3";
  c.layer_window = {0, 0};
  if (family == "mistral") c.layer_window = {3, 3};
  if (family == "qwen3") c.layer_window = {0, 4};
  return c;
}

/// Every weight random, norms and biases too: none may hide behind a zero or a one.
inline void randomize_weights(ParameterStore& store, uint64_t seed) {
  uint64_t index = 0;
  for (const Parameter& p : store.parameters()) {
    RandomStream random(seed, "test weights", index++);
    float* data = p.value.mutable_data_ptr<float>();
    const bool norm = p.parts[0].name.find("norm") != std::string::npos;
    for (int64_t i = 0; i < p.value.numel(); ++i)
      data[i] = static_cast<float>((norm ? 1.0 : 0.0) + 0.3 * random.normal());
  }
}

inline std::vector<int32_t> random_ids(RandomStream& random, int64_t count, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(random.below(vocab_size)));
  return ids;
}

/// Prompts of 1 to 6 tokens; min_branches to max_branches branches of 1 to 5.
inline std::vector<TokenizedRow> random_rows(int64_t count, int64_t min_branches,
                                             int64_t max_branches, int64_t vocab_size,
                                             uint64_t seed) {
  RandomStream random(seed, "test rows");
  std::vector<TokenizedRow> rows;
  for (int64_t i = 0; i < count; ++i) {
    TokenizedRow row{.id = "row-" + std::to_string(i), .place = "test:" + std::to_string(i)};
    row.prompt = random_ids(random, 1 + random.below(6), vocab_size);
    const int64_t branches = min_branches + random.below(max_branches - min_branches + 1);
    for (int64_t k = 0; k < branches; ++k)
      row.branches.push_back(random_ids(random, 1 + random.below(5), vocab_size));
    rows.push_back(std::move(row));
  }
  return rows;
}

inline PreferenceData data_of(std::vector<TokenizedRow> rows) {
  PreferenceData data{.rows = std::move(rows)};
  data.digest = digest_rows(data.rows);
  return data;
}

inline std::vector<int64_t> all_indices(size_t count) {
  std::vector<int64_t> indices(count);
  for (size_t i = 0; i < count; ++i) indices[i] = static_cast<int64_t>(i);
  return indices;
}

/// The flat gradient of every block, one after the other.
inline std::vector<float> flat_gradient(const ParameterStore& store) {
  std::vector<float> out;
  for (const auto& block : store.blocks()) {
    const float* data = block.gradient.const_data_ptr<float>();
    out.insert(out.end(), data, data + block.gradient.numel());
  }
  return out;
}

}  // namespace pref::testing
