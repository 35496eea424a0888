// SPDX-License-Identifier: Apache-2.0
// The decoder against its oracle and against itself: packed rows with shared prompts give the
// outputs and the gradients of every parameter that single sequences give.
#include "libpref/nn/decoder.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>

#include "libpref/ops/decoder_ops.h"
#include "tests/nn/toy_model.h"
#include "tests/objectives/objective_test_util.h"
#include "tests/reference/budget.h"
#include "tests/reference/decoder_reference.h"
#include "tests/reference/finite_difference.h"

namespace pref::testing {
namespace {

using reference::NamedTensors;

const auto kAll = [](const std::string&) { return true; };

// Logits at the labels of packed rows, [L, V], in label order.
at::Tensor packed_logits(Decoder& network, const std::vector<TokenizedRow>& rows) {
  const PackedBatch batch = make_packed_batch(pack_rows(rows, all_indices(rows.size())));
  const at::Tensor hidden = network.hidden(batch);
  const at::Tensor labels = at::tensor(at::ArrayRef<int64_t>(batch.plan.label_row), at::kLong);
  return ops::linear(hidden.index_select(0, labels), network.lm_head());
}

// The same, every branch with its prompt a row of its own, each in a batch of its own.
at::Tensor single_logits(Decoder& network, const std::vector<TokenizedRow>& rows) {
  std::vector<at::Tensor> out;
  for (const auto& row : rows)
    for (const auto& branch : row.branches)
      out.push_back(packed_logits(network, {{.prompt = row.prompt, .branches = {branch}}}));
  return at::cat(out);
}

at::Tensor reference_logits(const DecoderConfig& config, const NamedTensors& weights,
                            const std::vector<TokenizedRow>& rows) {
  std::vector<at::Tensor> out;
  for (const auto& row : rows)
    for (const auto& branch : row.branches) {
      std::vector<int64_t> tokens(row.prompt.begin(), row.prompt.end());
      tokens.insert(tokens.end(), branch.begin(), branch.end());
      out.push_back(reference::decoder_logits(config, weights, tokens)
                        .narrow(0, static_cast<int64_t>(row.prompt.size()) - 1,
                                static_cast<int64_t>(branch.size())));
    }
  return at::cat(out);
}

// A fixed random direction: the scalar whose gradient is compared.
at::Tensor direction(const at::Tensor& logits, uint64_t seed) {
  RandomStream random(seed, "test direction");
  at::Tensor out = at::empty(logits.sizes(), at::kDouble);
  for (int64_t i = 0; i < out.numel(); ++i) out.mutable_data_ptr<double>()[i] = random.normal();
  return out.to(logits.scalar_type());
}
at::Tensor scalar_of(const at::Tensor& logits, uint64_t seed) {
  return (logits * direction(logits, seed)).sum();
}

// Gradients of a store by part name.
NamedTensors named_gradients(const ParameterStore& store) {
  NamedTensors out;
  for (const Parameter& p : store.parameters()) {
    int64_t row = 0;
    for (const ParameterPart& part : p.parts) {
      if (p.trainable) out[part.name] = p.gradient.narrow(0, row, part.shape[0]).clone();
      row += part.shape[0];
    }
  }
  return out;
}
NamedTensors named_gradients(const NamedTensors& leaves) {
  NamedTensors out;
  for (const auto& [name, leaf] : leaves) out[name] = leaf.grad();
  return out;
}

// Rule: at most twice the distance of a plain float program to the double oracle, plus a floor of
// 16 roundings at the tensor's own scale (a few dozen additions in another order).
void expect_within_budget(const at::Tensor& ours, const at::Tensor& plain, const at::Tensor& oracle,
                          const std::string& name) {
  ASSERT_EQ(ours.sizes(), oracle.sizes()) << name;
  const at::Tensor a = ours.detach().to(at::kDouble).contiguous(),
                   b = plain.detach().to(at::kDouble).contiguous(),
                   c = oracle.detach().contiguous();
  reference::Budget budget;
  for (int64_t i = 0; i < c.numel(); ++i)
    budget.see(a.const_data_ptr<double>()[i], b.const_data_ptr<double>()[i],
               c.const_data_ptr<double>()[i]);
  const double scale = c.abs().max().item<double>();
  EXPECT_TRUE(budget.kept(16 * 6e-8 * scale))
      << name << ": " << budget.kernel << " against " << budget.plain
      << " of the plain program, scale " << scale;
}

class DecoderFamilies : public ::testing::TestWithParam<std::string> {};

TEST_P(DecoderFamilies, MatchesReference) {
  for (const uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const DecoderConfig config = toy_config(GetParam());
    Decoder network(config, kAll);
    randomize_weights(network.parameters(), seed);
    const auto rows = random_rows(5, 2, 3, config.vocab_size, seed);
    const NamedTensors exact = reference::named_weights(network.parameters(), at::kDouble);
    const NamedTensors plain = reference::named_weights(network.parameters(), at::kFloat);
    const at::Tensor exact_logits = reference_logits(config, exact, rows);
    const at::Tensor plain_logits = reference_logits(config, plain, rows);
    const at::Tensor logits = packed_logits(network, rows);
    expect_within_budget(logits, plain_logits, exact_logits, "logits");
    scalar_of(exact_logits, seed).backward();
    scalar_of(plain_logits, seed).backward();
    scalar_of(logits, seed).backward();
    const NamedTensors ours = named_gradients(network.parameters()), f64 = named_gradients(exact),
                       f32 = named_gradients(plain);
    ASSERT_EQ(ours.size(), f64.size());
    for (const auto& [name, gradient] : ours) {
      EXPECT_GT(f64.at(name).abs().max().item<double>(), 0)
          << name << " has no gradient to compare";
      expect_within_budget(gradient, f32.at(name), f64.at(name), name);
    }
  }
}

// Central differences of the oracle's scalar, some entries of every parameter, against the
// network's own gradient.
TEST_P(DecoderFamilies, Gradient) {
  const uint64_t seed = 4;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const DecoderConfig config = toy_config(GetParam());
  Decoder network(config, kAll);
  randomize_weights(network.parameters(), seed);
  const auto rows = random_rows(2, 2, 3, config.vocab_size, seed);
  scalar_of(packed_logits(network, rows), seed).backward();
  const NamedTensors ours = named_gradients(network.parameters());
  c10::NoGradGuard no_grad;
  const NamedTensors weights = reference::named_weights(network.parameters(), at::kDouble);
  RandomStream random(seed, "test entries");
  for (const auto& [name, gradient] : ours) {
    double* data = weights.at(name).mutable_data_ptr<double>();
    const double scale = gradient.abs().max().item<double>();
    for (int sample = 0; sample < 3; ++sample) {
      const int64_t entry = random.below(gradient.numel());
      const double difference = reference::central_difference(
          [&](const std::vector<double>& x) {
            const double kept = std::exchange(data[entry], x[0]);
            const double value =
                scalar_of(reference_logits(config, weights, rows), seed).item<double>();
            data[entry] = kept;
            return value;
          },
          {data[entry]}, 0);
      // Float rounding through two layers, and h^2 of the difference: both far below a wrong term.
      EXPECT_NEAR(gradient.view(-1)[entry].item<double>(), difference, 2e-5 * scale + 1e-6)
          << name << "[" << entry << "]";
    }
  }
}

TEST_P(DecoderFamilies, InvariantUnderPacking) {
  const uint64_t seed = 5;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const DecoderConfig config = toy_config(GetParam());
  Decoder network(config, kAll);
  randomize_weights(network.parameters(), seed);
  const auto rows = random_rows(6, 2, 3, config.vocab_size, seed);
  const at::Tensor together = packed_logits(network, rows);
  scalar_of(together, seed).backward();
  const NamedTensors packed = named_gradients(network.parameters());
  network.parameters().zero_gradients();
  const at::Tensor apart = single_logits(network, rows);
  scalar_of(apart, seed).backward();
  const double scale = apart.abs().max().item<double>();
  EXPECT_LE((together - apart).abs().max().item<double>(), 4e-6 * scale);
  for (const auto& [name, gradient] : named_gradients(network.parameters()))
    EXPECT_LE((gradient - packed.at(name)).abs().max().item<double>(),
              1e-5 * gradient.abs().max().item<double>() + 1e-6)
        << name;
}

TEST_P(DecoderFamilies, InvariantUnderThreads) {
  const DecoderConfig config = toy_config(GetParam());
  Decoder network(config, kAll);
  randomize_weights(network.parameters(), 9);
  const auto rows = random_rows(12, 2, 3, config.vocab_size, 9);  // enough for a row per thread
  std::vector<at::Tensor> logits;
  std::vector<NamedTensors> gradients;
  for (const int count : {1, 2, 3}) {
    const ThreadCount threads(count);
    network.parameters().zero_gradients();
    logits.push_back(packed_logits(network, rows));
    scalar_of(logits.back(), 9).backward();
    gradients.push_back(named_gradients(network.parameters()));
  }
  for (const size_t other : {1, 2}) {
    EXPECT_LE((logits[other] - logits[0]).abs().max().item<double>(),
              2e-6 * logits[0].abs().max().item<double>());
    for (const auto& [name, gradient] : gradients[0])
      EXPECT_LE((gradient - gradients[other].at(name)).abs().max().item<double>(),
                4e-6 * gradient.abs().max().item<double>() + 1e-6)
          << name;
  }
}

TEST_P(DecoderFamilies, GradientsOfTwoPassesAdd) {
  const DecoderConfig config = toy_config(GetParam());
  Decoder network(config, kAll);
  randomize_weights(network.parameters(), 6);
  const auto rows = random_rows(3, 2, 2, config.vocab_size, 6);
  scalar_of(packed_logits(network, rows), 6).backward();
  const NamedTensors once = named_gradients(network.parameters());
  scalar_of(packed_logits(network, rows), 6).backward();
  for (const auto& [name, gradient] : named_gradients(network.parameters()))
    EXPECT_LE((gradient - 2 * once.at(name)).abs().max().item<double>(),
              2e-6 * gradient.abs().max().item<double>())
        << name;
}

// Frozen parts split a joined matrix; what is left must be what the joined one gives.
TEST_P(DecoderFamilies, FrozenPartsOfAJoinedMatrix) {
  const DecoderConfig config = toy_config(GetParam());
  const auto trainable = [](const std::string& name) {
    return name.find("k_proj") == std::string::npos &&
           name.find("layers.1.mlp.up_proj") == std::string::npos &&
           name != "model.layers.0.self_attn.q_proj.bias" &&
           name != "model.layers.0.input_layernorm.weight" && name != "model.embed_tokens.weight";
  };
  Decoder whole(config, kAll), mixed(config, trainable);
  randomize_weights(whole.parameters(), 7);
  const NamedTensors weights = reference::named_weights(whole.parameters(), at::kFloat);
  for (const Parameter& p : mixed.parameters().parameters()) {
    int64_t row = 0;
    c10::NoGradGuard no_grad;
    for (const auto& part : p.parts) {
      p.value.narrow(0, row, part.shape[0]).copy_(weights.at(part.name));
      row += part.shape[0];
    }
  }
  const auto rows = random_rows(4, 2, 2, config.vocab_size, 7);
  const at::Tensor a = packed_logits(whole, rows), b = packed_logits(mixed, rows);
  EXPECT_LE((a - b).abs().max().item<double>(), 4e-6 * a.abs().max().item<double>());
  scalar_of(a, 7).backward();
  scalar_of(b, 7).backward();
  const NamedTensors expected = named_gradients(whole.parameters()),
                     got = named_gradients(mixed.parameters());
  for (const auto& [name, gradient] : expected) {
    ASSERT_EQ(got.contains(name), trainable(name)) << name;
    if (got.contains(name)) {
      EXPECT_LE((gradient - got.at(name)).abs().max().item<double>(),
                1e-5 * gradient.abs().max().item<double>() + 1e-6)
          << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, DecoderFamilies, ::testing::ValuesIn(families()),
                         [](const auto& info) { return info.param; });

TEST(Decoder, TiedHeadIsOneLeaf) {
  Decoder tied(toy_config("qwen2"), kAll), untied(toy_config("llama"), kAll);
  EXPECT_TRUE(tied.lm_head().value.is_same(tied.parameters().weight(0).value));
  EXPECT_FALSE(untied.lm_head().value.is_same(untied.parameters().weight(0).value));
  for (const auto& p : tied.parameters().parameters()) EXPECT_NE(p.parts[0].name, "lm_head.weight");
}

// The table of rotations grows when a longer sequence comes.
TEST(Decoder, LongSequenceAfterAShortOne) {
  for (const auto& family : families()) {
    SCOPED_TRACE(family);
    const DecoderConfig config = toy_config(family);
    Decoder network(config, kAll);
    randomize_weights(network.parameters(), 8);
    c10::NoGradGuard no_grad;
    packed_logits(network, random_rows(1, 1, 1, config.vocab_size, 8));
    RandomStream random(8, "test rows");
    const std::vector<TokenizedRow> rows = {
        {.prompt = random_ids(random, 1020, config.vocab_size),
         .branches = {random_ids(random, 15, config.vocab_size),
                      random_ids(random, 3, config.vocab_size)}}};
    const auto logits = [&](at::ScalarType type) {
      return reference_logits(config, reference::named_weights(network.parameters(), type), rows);
    };
    // The angle of position 1000 is a float in every implementation that checkpoints were trained
    // with; the oracle's is not. Its rounding, 3e-5, is what may be off.
    const at::Tensor exact = logits(at::kDouble);
    EXPECT_LE((packed_logits(network, rows) - exact).abs().max().item<double>(),
              3e-4 * exact.abs().max().item<double>());
  }
}

TEST(Decoder, RejectsTokensOutsideTheVocabulary) {
  Decoder network(toy_config("llama"), kAll);
  const std::string text = error_of(ErrorKind::data, [&] {
    packed_logits(network, {{.prompt = {1, 23}, .branches = {{1}}}});
  });
  EXPECT_NE(text.find("23 is outside [0, 23)"), std::string::npos) << text;
}

}  // namespace
}  // namespace pref::testing
