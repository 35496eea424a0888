// SPDX-License-Identifier: Apache-2.0
// A step through every kernel and launcher of the device path against the CPU
// path: DPO, SimPO, WPO and SELM over all decoder families, losses, statistics and gradients.
#include "tests/device/device_test_util.h"

namespace pref::testing {
namespace {

using DeviceStep = DeviceTest;

struct Case {
  const char* name;
  Objective objective;
  int branches;
};
std::vector<Case> cases() {
  return {{"dpo", Objective(DPO{.beta = 0.3}), 2},
          {"simpo", Objective(SimPO{}), 2},
          {"wpo", Objective({{DPO{.beta = 0.3}}}, {.weighting = Weighting{}}), 2},
          {"selm", Objective(SELM{.beta = 0.3}), 3},
          {"pro", Objective(PRO{}), 4}};
}

std::vector<TokenizedRow> rows_for(const Case& test, int64_t count = 6) {
  auto rows = random_rows(count, test.branches, test.branches, 23, 7);
  RandomStream random(8, "test facts");
  for (auto& row : rows) row.facts.weight = 0.5 + random.uniform();
  if (std::string(test.name) == "pro")
    for (auto& row : rows)
      for (size_t k = 0; k < row.branches.size(); ++k)
        row.facts.scores.push_back(static_cast<double>(row.branches.size() - k));
  return rows;
}

struct Outcome {
  PreferenceStep::Result result;
  std::vector<double> logps;
  std::vector<float> gradient;
};
Outcome run_step(Model& model, const Case& test, const StepOptions& options,
                 std::span<const TokenizedRow> rows, const ReferenceLogps& reference) {
  PreferenceStep engine(model.network(), test.objective, options);
  const auto all = all_indices(rows.size());
  model.network().parameters().zero_gradients();
  Outcome out;
  out.result = engine.accumulate(rows, all, reference, normalizers_of(rows, all));
  out.gradient = all_gradients(model);
  out.logps = engine.logps(rows, all).logp;
  return out;
}

// f32 on both sides: what another order of additions may change, and the device's exponential.
void expect_same(const Outcome& got, const Outcome& want, const std::string& what) {
  EXPECT_NEAR(got.result.loss, want.result.loss, 1e-5 * std::abs(want.result.loss)) << what;
  EXPECT_LE(largest_difference(got.gradient, want.gradient), 1e-5 * largest(want.gradient)) << what;
  EXPECT_GT(largest(want.gradient), 1e-6) << what;
  EXPECT_EQ(got.result.num_tokens, want.result.num_tokens);
  ASSERT_EQ(got.logps.size(), want.logps.size());
  for (size_t i = 0; i < got.logps.size(); ++i)
    EXPECT_NEAR(got.logps[i], want.logps[i], 1e-5 * std::abs(want.logps[i])) << what;
  const auto reported = want.result.metrics.reported();
  for (const auto& [name, value] : got.result.metrics.reported()) {
    const auto found = std::find_if(reported.begin(), reported.end(),
                                    [&, n = name](const auto& entry) { return entry.first == n; });
    ASSERT_NE(found, reported.end()) << name;
    EXPECT_NEAR(value, found->second, 2e-5 * std::abs(found->second) + 1e-6) << what << " " << name;
  }
}

void compare(const std::string& family, const Case& test, const StepOptions& options,
             const DecoderConfig& config) {
  const auto model = cpu_model(config, 5);
  const auto rows = rows_for(test);
  const ReferenceLogps reference = made_up_reference(rows, 6);
  const Outcome want = run_step(*model, test, options, rows, reference);
  const TestDevice device;
  const auto emulated = device_model(*model, f32_options());
  expect_same(run_step(*emulated, test, options, rows, reference), want, family + " " + test.name);
}

TEST_F(DeviceStep, MatchesTheCpu) {
  for (const std::string& family : families())
    for (const Case& test : cases()) compare(family, test, {}, toy_config(family));
}

// A head of 64 and a vocabulary past a warp's vectors: sixteen-byte accesses everywhere.
TEST_F(DeviceStep, MatchesTheCpuWithAlignedRows) {
  DecoderConfig config = toy_config("llama", 520);
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.head_dim = 16;
  for (const Case& test : cases()) compare("aligned", test, {}, config);
}

// Rows beyond the budget take the recompute form; microbatches of a row or two.
TEST_F(DeviceStep, MatchesTheCpuInSmallPieces) {
  StepOptions options{.tokens_per_microbatch = 20};
  options.head.logits_bytes = 3 * 23 * 4;
  for (const Case& test : cases()) compare("pieces", test, options, toy_config("llama"));
}

TEST_F(DeviceStep, LogitScaleAndSoftCap) {
  StepOptions options;
  options.head.logit_scale = 0.7;
  options.head.logit_soft_cap = 4;
  compare("soft cap", cases()[0], options, toy_config("llama"));
}

// Token marks: LD-DPO's tails, T-REG's rewards, CUT's unlikelihood.
TEST_F(DeviceStep, MarkedTokensMatchTheCpu) {
  const std::vector<Case> marked = {
      {"ld_dpo",
       Objective({{DPO{.beta = 0.3}}}, {.length = LengthDesensitization{.ld_alpha = 0.4}}), 2},
      {"t_reg", Objective(TREG{}), 2},
      {"cut", Objective(CUT{}), 2}};
  for (const Case& test : marked) {
    const auto model = cpu_model(toy_config("llama"), 5);
    auto rows = rows_for(test);
    RandomStream random(9, "test rewards");
    for (auto& row : rows) {
      row.token_rewards.clear();
      for (const auto& branch : row.branches) {
        row.token_rewards.emplace_back();
        for (size_t i = 0; i < branch.size(); ++i)
          row.token_rewards.back().push_back(random.normal());
      }
    }
    const ReferenceLogps reference = made_up_reference(rows, 6, true);
    const Outcome want = run_step(*model, test, {}, rows, reference);
    const TestDevice device;
    const auto emulated = device_model(*model, f32_options());
    expect_same(run_step(*emulated, test, {}, rows, reference), want, test.name);
  }
}

// Frozen tensors get no gradient and cost none: half of the layers, or everything but the head.
TEST_F(DeviceStep, FrozenWeightsMatchTheCpu) {
  const std::vector<std::function<bool(const std::string&)>> choices = {
      [](const std::string& name) { return name.find("layers.1") != std::string::npos; },
      [](const std::string& name) { return name.find("lm_head") != std::string::npos; },
      [](const std::string& name) { return name.find("k_proj") == std::string::npos; }};
  for (const auto& trainable : choices) {
    const Case test = cases()[0];
    const auto rows = rows_for(test);
    const ReferenceLogps reference = made_up_reference(rows, 6);
    Model model(toy_config("llama"), nullptr, {.trainable = trainable});
    randomize_weights(model.network().parameters(), 5);
    const Outcome want = run_step(model, test, {}, rows, reference);
    const TestDevice device;
    const auto emulated = device_model(model, {.trainable = trainable, .dtype = DType::f32});
    expect_same(run_step(*emulated, test, {}, rows, reference), want, "frozen");
  }
}

// bf16 weights and activations: the loss is that of the rounded model, and gradients point along.
TEST_F(DeviceStep, Bf16FollowsF32) {
  DecoderConfig config = toy_config("llama", 520);
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.head_dim = 16;
  const auto model = cpu_model(config, 5);
  for (auto& p : model->network().parameters().parameters()) p.value.detach().mul_(0.3);
  for (const Case& test : cases())
    for (const LogitsType logits : {LogitsType::like_weights, LogitsType::f32})
      for (const auto& [wide, tokens] : {std::pair(false, 1024), std::pair(true, 20)}) {
        const auto rows = rows_for(test);
        const ReferenceLogps reference = made_up_reference(rows, 6);
        const StepOptions options{.tokens_per_microbatch = tokens, .logits = logits};
        const Outcome want = run_step(*model, test, options, rows, reference);
        const TestDevice device;
        const auto emulated = device_model(*model, {.fp32_gradients = wide});
        ASSERT_EQ(emulated->network().parameters().placement().dtype, at::kBFloat16);
        const Outcome got = run_step(*emulated, test, options, rows, reference);
        EXPECT_NEAR(got.result.loss, want.result.loss, 0.03 * std::abs(want.result.loss) + 0.01)
            << test.name;
        double dot = 0, a = 0, b = 0;
        for (size_t i = 0; i < got.gradient.size(); ++i) {
          dot += static_cast<double>(got.gradient[i]) * want.gradient[i];
          a += static_cast<double>(got.gradient[i]) * got.gradient[i];
          b += static_cast<double>(want.gradient[i]) * want.gradient[i];
        }
        EXPECT_GT(dot / std::sqrt(a * b), 0.999) << test.name;
        EXPECT_NEAR(std::sqrt(a / b), 1, 0.03) << test.name;
      }
}

// One kept input a layer instead of everything: bit for bit the same.
TEST_F(DeviceStep, RecomputedLayersGiveTheSameBits) {
  const Case test = cases()[0];
  const auto rows = rows_for(test);
  const ReferenceLogps reference = made_up_reference(rows, 6);
  for (const std::string& family : families()) {
    const auto check = [&](Model& model) {
      const Outcome kept = run_step(model, test, {}, rows, reference);
      model.network().set_recompute(true);
      const Outcome recomputed = run_step(model, test, {}, rows, reference);
      EXPECT_EQ(kept.gradient, recomputed.gradient) << family;
      EXPECT_EQ(kept.result.loss, recomputed.result.loss) << family;
    };
    const auto model = cpu_model(toy_config(family), 5);
    check(*model);
    const TestDevice device;
    check(*device_model(*model, f32_options()));
    check(*device_model(*model));
  }
}

}  // namespace
}  // namespace pref::testing
