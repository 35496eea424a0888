// SPDX-License-Identifier: Apache-2.0
// The counted work of one step of a decoder with shared prompts equals the arithmetic:
//   2 Nb T + 2 V D Th + 4 a L A forward, three times that with the backward pass; A = sum of
//   attended pairs.
#include "libpref/ops/flops.h"

#include <c10/core/GradMode.h>

#include <algorithm>

#include "libpref/nn/decoder.h"
#include "libpref/ops/preference_loss.h"
#include "tests/ops/ops_test_util.h"

namespace pref {
namespace {

using testing::packed;
using testing::Random;
using testing::RowLengths;

DecoderConfig small_config(std::vector<int64_t> windows) {
  DecoderConfig config;
  config.model_type = "llama";
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = static_cast<int64_t>(windows.size());
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 6;  // a = 24, not the hidden size
  config.vocab_size = 50;
  config.max_position_embeddings = 64;
  config.layer_window = std::move(windows);
  return config;
}

// Parameters of the projections of one layer: q, k, v, o, gate, up, down.
double layer_parameters(const DecoderConfig& c) {
  const int64_t d = c.hidden_size, q = c.num_attention_heads * c.head_dim,
                kv = c.num_key_value_heads * c.head_dim;
  return static_cast<double>(d * (q + 2 * kv) + q * d + 3 * d * c.intermediate_size);
}

// [(p + r_w)^2 + (p + r_l)^2 - p^2] / 2, and the same for one branch or more.
double shared_pairs(const RowLengths& row) {
  const auto square = [](int64_t n) { return static_cast<double>(n) * static_cast<double>(n); };
  double pairs = square(row.prompt) / 2;
  for (const int64_t r : row.branches) pairs += (square(row.prompt + r) - square(row.prompt)) / 2;
  return pairs;
}

// Pairs that a causal window lets through, each token of the row once.
double windowed_pairs(const RowLengths& row, int64_t window) {
  double pairs = 0;
  const auto run = [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i)
      pairs += static_cast<double>(std::min(i + 1, window));
  };
  run(0, row.prompt);
  for (const int64_t r : row.branches) run(row.prompt, r);
  return pairs;
}

FlopCount operator-(const FlopCount& a, const FlopCount& b) {
  return {a.body - b.body, a.attention - b.attention, a.head - b.head};
}

// One forward pass, or one forward and backward pass, of DPO through a decoder.
FlopCount count_step(const DecoderConfig& config, const PackingPlan& plan, bool train,
                     bool freeze_body = false) {
  Decoder decoder(config, [&](const std::string& name) {
    return !freeze_body || name.find("layers") == std::string::npos;
  });
  const std::vector<double> ref(static_cast<size_t>(plan.num_sequences()), -1.0);
  const FlopCount before = flop_count();
  at::AutoGradMode mode(train);
  const PackedBatch batch = make_packed_batch(plan);
  const at::Tensor hidden = decoder.hidden(batch);
  const PreferenceLoss loss = preference_loss(hidden, decoder.lm_head().value, labels_of(plan),
                                              Objective(DPO{}), {.ref_logp = ref});
  if (train) loss.loss.backward();
  return flop_count() - before;
}

const std::vector<RowLengths> kRows = {{7, {5, 9}}, {12, {3, 4}}, {1, {1, 2}}};

TEST(FlopsTest, StepEqualsTheFormula) {
  Random random;
  const DecoderConfig c = small_config({0, 0, 0});
  const PackingPlan plan = packed(random, kRows, c.vocab_size);
  double tokens = 0, labels = 0, pairs = 0;
  for (const RowLengths& row : kRows) {
    tokens += static_cast<double>(row.prompt + row.branches[0] + row.branches[1]);  // p + r_w + r_l
    labels += static_cast<double>(row.branches[0] + row.branches[1]);               // r_w + r_l
    pairs += shared_pairs(row);
  }
  EXPECT_EQ(shared_pairs(kRows[0]), (12.0 * 12 + 16 * 16 - 7 * 7) / 2);
  const double layers = static_cast<double>(c.num_hidden_layers), width = 4 * 6;
  const double body = 2 * layers * layer_parameters(c) * tokens;
  const double head = 2.0 * 50 * 16 * labels;
  const double attention = 4 * width * layers * pairs;
  const FlopCount forward = count_step(c, plan, false);
  EXPECT_EQ(forward.body, body);
  EXPECT_EQ(forward.attention, attention);
  EXPECT_EQ(forward.head, head);
  EXPECT_EQ(forward.total(), body + attention + head);
  const FlopCount step = count_step(c, plan, true);
  EXPECT_EQ(step.body, 3 * body);
  EXPECT_EQ(step.attention, 3 * attention);
  EXPECT_EQ(step.head, 3 * head);
}

TEST(FlopsTest, WindowsCountVisiblePairs) {
  Random random;
  const DecoderConfig c = small_config({0, 4, 10});
  const PackingPlan plan = packed(random, kRows, c.vocab_size);
  double pairs = 0;
  for (const RowLengths& row : kRows) {
    pairs += shared_pairs(row);
    for (const int64_t window : {4, 10}) {
      // Segments that the window covers whole count as unwindowed ones do.
      RowLengths with_prompt = row, alone = row;
      with_prompt.branches = {row.branches[0]};
      const auto covered = [&](int64_t r) { return row.prompt + r <= window; };
      pairs += covered(row.branches[0]) ? shared_pairs(with_prompt)
                                        : windowed_pairs(with_prompt, window);
      alone.branches = {row.branches[1]};
      RowLengths prompt = row;
      prompt.branches = {};
      pairs += covered(row.branches[1])
                   ? shared_pairs(alone) - shared_pairs(prompt)
                   : windowed_pairs(alone, window) - windowed_pairs(prompt, window);
    }
  }
  EXPECT_EQ(count_step(c, plan, true).attention, 3 * 4.0 * 24 * pairs);
}

TEST(FlopsTest, FrozenWeightsSaveTheirProduct) {
  // A frozen body still passes the gradient of its inputs on to the embedding: two products of
  // three.
  Random random;
  const DecoderConfig c = small_config({0, 0});
  const PackingPlan plan = packed(random, kRows, c.vocab_size);
  const FlopCount all = count_step(c, plan, true), frozen = count_step(c, plan, true, true);
  EXPECT_EQ(frozen.body, all.body * 2 / 3);
  EXPECT_EQ(frozen.attention, all.attention);
  EXPECT_EQ(frozen.head, all.head);
}

}  // namespace
}  // namespace pref
