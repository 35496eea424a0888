// SPDX-License-Identifier: Apache-2.0
// What a run takes in memory, on the CPU and on a device, and what is said where it does not fit.
#include "libpref/train/memory_plan.h"

#include "kernels/cuda/runtime.h"
#include "tests/reference/metering_allocator.h"
#include "tests/train/train_test_util.h"

namespace pref::testing {
namespace {

// Llama 3 8B: 8.03e9 parameters.
DecoderConfig eight_billion() {
  DecoderConfig c;
  c.model_type = "llama";
  c.hidden_size = 4096;
  c.intermediate_size = 14336;
  c.num_hidden_layers = 32;
  c.num_attention_heads = 32;
  c.num_key_value_heads = 8;
  c.head_dim = 128;
  c.vocab_size = 128256;
  c.layer_window.assign(32, 0);
  return c;
}

Placement bf16_on_a_device() {
  return {.device = at::Device(at::kCUDA, 0), .dtype = at::kBFloat16, .gradient = at::kBFloat16};
}

constexpr int64_t kDevice = 141'000'000'000;

TEST(MemoryPlan, ValueOfEightBillion) {
  TrainerOptions options;
  options.optimizer.adam_moments_dtype = MomentsType::bf16;
  options.tokens_per_microbatch = 12288;
  const MemoryPlan plan = plan_memory(eight_billion(), options, bf16_on_a_device());
  EXPECT_EQ(plan.parameters, 8'030'261'248);
  EXPECT_EQ(plan.weights, 2 * plan.parameters);
  EXPECT_EQ(plan.remainders, 2 * plan.parameters);
  EXPECT_EQ(plan.moments, 4 * plan.parameters);
  EXPECT_EQ(plan.gradients, 2 * plan.parameters + 2 * 128256 * 4096LL);
  // 47,104 values a token and layer, and three rows of the hidden size.
  EXPECT_EQ(plan.activations, 2 * 12288LL * (32 * 47104 + 3 * 4096));
  EXPECT_EQ(plan.total(), plan.weights + plan.remainders + plan.moments + plan.gradients +
                              plan.activations + plan.workspace + plan.logits);
  EXPECT_NEAR(static_cast<double>(plan.total()) / 1e9, 125.9, 0.05);  // docs/devices.md
  require_fits(plan, kDevice, eight_billion(), options, bf16_on_a_device());
}

TEST(MemoryPlan, SaysWhatWouldMakeItFit) {
  TrainerOptions options;
  options.tokens_per_microbatch = 12288;
  const auto refusal = [&](int64_t available) {
    return error_of(ErrorKind::option, [&] {
      require_fits(plan_memory(eight_billion(), options, bf16_on_a_device()), available,
                   eight_billion(), options, bf16_on_a_device());
    });
  };
  std::string text = refusal(kDevice);
  EXPECT_NE(text.find("adam_moments_dtype: bfloat16: "), std::string::npos) << text;
  EXPECT_NE(text.find(", fits"), std::string::npos) << text;
  EXPECT_EQ(text.find("gradient_checkpointing"), std::string::npos) << text;
  text = refusal(100'000'000'000);
  EXPECT_NE(text.find("adam_moments_dtype: bfloat16, gradient_checkpointing: true: "),
            std::string::npos)
      << text;
  text = refusal(88'000'000'000);
  EXPECT_NE(text.find(", tokens_per_microbatch: "), std::string::npos) << text;
  EXPECT_NE(text.find(", fits"), std::string::npos) << text;
  text = refusal(50'000'000'000);  // not even the weights and their moments
  EXPECT_EQ(text.find(", fits"), std::string::npos) << text;
}

// The plan's own advice, followed, is accepted.
TEST(MemoryPlan, AdviceHolds) {
  TrainerOptions options;
  options.optimizer.adam_moments_dtype = MomentsType::bf16;
  options.gradient_checkpointing = true;
  const auto fits = [&](int64_t tokens) {
    options.tokens_per_microbatch = tokens;
    return plan_memory(eight_billion(), options, bf16_on_a_device()).total() <= 90'000'000'000;
  };
  options.tokens_per_microbatch = 16384;
  const std::string text = error_of(ErrorKind::option, [&] {
    require_fits(plan_memory(eight_billion(), options, bf16_on_a_device()), 90'000'000'000,
                 eight_billion(), options, bf16_on_a_device());
  });
  const size_t at = text.find("tokens_per_microbatch: ");
  ASSERT_NE(at, std::string::npos) << text;
  const int64_t tokens = std::stoll(text.substr(at + 23));
  EXPECT_TRUE(fits(tokens)) << text;
  EXPECT_FALSE(fits(tokens + 256)) << text;
}

TEST(MemoryPlan, DefaultsDependOnTheDevice) {
  const TrainerOptions cpu = resolved({}, {}), device = resolved({}, bf16_on_a_device());
  EXPECT_EQ(cpu.tokens_per_microbatch, 1024);
  EXPECT_EQ(cpu.logits_budget_mb, 256);
  EXPECT_EQ(device.tokens_per_microbatch, 8192);
  EXPECT_EQ(device.logits_budget_mb, 4096);
  EXPECT_EQ(plan_memory(eight_billion(), {}).remainders, 0);
  const int64_t whole = plan_memory(eight_billion(), {}, bf16_on_a_device()).total();
  EXPECT_EQ(plan_memory(eight_billion(), {}, bf16_on_a_device(), true).total() - whole,
            4 * 8'030'261'248);
}

// What is alive between the forward and the backward pass is what the plan says, with and without
// recomputation: nothing is kept twice, and nothing is forgotten. The plan leaves out what a row
// has beside its vectors (tokens, 1 / rms, the attention's log-sum-exp and masks).
TEST(MemoryPlan, ActivationsAreWhatIsKept) {
  for (const std::string& family : families())
    for (const bool recompute : {false, true}) {
      DecoderConfig config = toy_config(family, 40);
      config.hidden_size = 64;
      config.intermediate_size = 160;
      config.head_dim = 16;
      config.num_hidden_layers = 4;
      config.layer_window.assign(4, 0);
      Model model(config, nullptr);
      randomize_weights(model.network().parameters(), 5);
      model.network().set_recompute(recompute);
      const auto rows = random_rows(60, 2, 2, 40, 3);
      const PackingPlan plan = pack_rows(rows, all_indices(rows.size()));
      TrainerOptions options;
      options.tokens_per_microbatch = plan.num_tokens();
      options.gradient_checkpointing = recompute;
      int64_t planned = plan_memory(config, options).activations;
      // Of a layer that is computed again nothing is alive at this point.
      if (recompute) {
        options.gradient_checkpointing = false;
        const int64_t all = plan_memory(config, options).activations;
        const int64_t edges = 3 * 4 * plan.num_tokens() * config.hidden_size;
        planned -= (all - edges) / 4;
      }
      model.network().hidden(make_packed_batch(plan));  // tables that stay
      const MeteredMemory metered;
      MeteringAllocator::get().reset();
      const at::Tensor hidden = model.network().hidden(make_packed_batch(plan));
      const auto kept = static_cast<double>(MeteringAllocator::get().live());
      EXPECT_LE(kept, 1.12 * static_cast<double>(planned)) << family << recompute;
      EXPECT_GE(kept, 0.80 * static_cast<double>(planned)) << family << recompute;
    }
}

TEST(Placement, RejectsWhatIsNotThere) {
  for (const char* wrong : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1000", ""})
    EXPECT_NE(error_of(ErrorKind::option, [&] { place(wrong, DType::automatic); })
                  .find("device must be cpu, cuda, cuda:N or auto"),
              std::string::npos)
        << wrong;
  EXPECT_NE(error_of(ErrorKind::option, [] { place("cpu", DType::bf16); })
                .find("the CPU computes in float32"),
            std::string::npos);
  EXPECT_EQ(place("cpu", DType::automatic).dtype, at::kFloat);
  if (kernels::cuda::devices().count > 0) GTEST_SKIP() << "there is a device";
  EXPECT_EQ(place("auto", DType::automatic).device, at::Device(at::kCPU));
  const std::string text = error_of(ErrorKind::option, [] { place("cuda", DType::automatic); });
  EXPECT_NE(text.find(kernels::cuda::devices().reason), std::string::npos) << text;
  EXPECT_NE(text.find("choose device: cpu"), std::string::npos) << text;
}

}  // namespace
}  // namespace pref::testing
