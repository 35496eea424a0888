// SPDX-License-Identifier: Apache-2.0
// What only a card can show: FlashAttention-2 and cuDNN against plain attention, a step that asks
// nothing back, equal bits from run to run, memory within its budget. tests/device runs here too.
#include <cmath>

#include "libpref/ops/varlen_attention.h"
#include "tests/device/device_test_util.h"

#if defined(PREF_HAS_CUDA)
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace pref::testing {
namespace {

using Gpu = DeviceTest;

// A llama wide enough for every kernel's vectors and for FlashAttention-2.
DecoderConfig small_llama() {
  DecoderConfig c = toy_config("llama", 4096);
  c.hidden_size = 256;
  c.intermediate_size = 704;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 64;
  return c;
}

std::vector<TokenizedRow> long_rows(int64_t count, int64_t vocab) {
  RandomStream random(3, "test rows");
  std::vector<TokenizedRow> rows;
  for (int64_t i = 0; i < count; ++i) {
    TokenizedRow row{.id = "row-" + std::to_string(i)};
    row.prompt = random_ids(random, 20 + random.below(100), vocab);
    for (int k = 0; k < 2; ++k)
      row.branches.push_back(random_ids(random, 10 + random.below(120), vocab));
    rows.push_back(std::move(row));
  }
  return rows;
}

Model small_model(const ModelOptions& options = {.device = "cuda"}) {
  Model model(small_llama(), nullptr, options);
  initialize_weights(model, 1, 0.05);
  return model;
}

// The shapes of common models; what was chosen is bf16's fast form, and it agrees with plain.
TEST_F(Gpu, AttentionBackEndsAgree) {
  struct Heads {
    int64_t query, key, dim, window;
  };
  for (const Heads& h : {Heads{32, 8, 128, 0}, Heads{32, 8, 64, 0}, Heads{12, 12, 64, 0},
                         Heads{28, 4, 128, 0}, Heads{32, 8, 128, 33}, Heads{8, 1, 256, 0}}) {
    const auto rows = long_rows(6, 100);
    const PackingPlan plan = pack_rows(rows, all_indices(rows.size()));
    ops::Uploader uploader(at::Device(at::kCUDA, 0));
    const PackedBatch batch = make_packed_batch(plan, {}, {}, uploader);
    ops::AttentionShape shape{h.query, h.key, h.dim, h.window,
                              1 / std::sqrt(static_cast<double>(h.dim))};
    const auto made = [&](int64_t count, int64_t heads, double phase) {
      return (at::arange(count * heads * h.dim, at::TensorOptions(at::kFloat).device(at::kCUDA)) *
                  0.77 +
              phase)
          .sin()
          .view({count, heads, h.dim})
          .to(at::kBFloat16);
    };
    const ops::VarlenEntries& entries = batch.on_device->attention->entries;
    const at::Tensor q = made(entries.cu_q.back(), h.query, 0.1),
                     k = made(entries.cu_k.back(), h.key, 1.2),
                     v = made(entries.cu_k.back(), h.key, 2.3),
                     d_out = made(entries.cu_q.back(), h.query, 3.4);
    EXPECT_EQ(ops::choose_attention(q, shape, false), ops::AttentionBackend::flash) << h.dim;
    const auto flash = ops::AttentionBackend::flash, plain = ops::AttentionBackend::plain;
    const auto got = attention_forward(flash, q, k, v, entries, shape),
               want = attention_forward(plain, q, k, v, entries, shape);
    const auto got_grad = attention_backward(flash, d_out, q, k, v, got, entries, shape),
               want_grad = attention_backward(plain, d_out, q, k, v, want, entries, shape);
    const auto share = [](const at::Tensor& a, const at::Tensor& b) {
      return ((a - b).to(at::kFloat).abs().max() / b.to(at::kFloat).abs().max()).item<double>();
    };
    EXPECT_LE(share(got.out, want.out), 0.02) << h.dim;
    EXPECT_LE(share(got_grad.dq, want_grad.dq), 0.03) << h.dim;
    EXPECT_LE(share(got_grad.dk, want_grad.dk), 0.03) << h.dim;
    EXPECT_LE(share(got_grad.dv, want_grad.dv), 0.03) << h.dim;
  }
}

TEST_F(Gpu, DenseBatchesTakeCudnn) {
  for (const int64_t keys : {8, 2}) {
    const at::Tensor like =
        at::zeros({16, 8, 64}, at::TensorOptions(at::kBFloat16).device(at::kCUDA));
    const auto chosen = ops::choose_attention(like, {8, keys, 64, 0, 0.125}, true);
    EXPECT_NE(chosen, ops::AttentionBackend::plain) << keys;  // which one depends on the card
  }
}

// Losses and gradients of the bf16 step lie near the CPU's in f32.
TEST_F(Gpu, Bf16StepFollowsTheCpu) {
  Model on_cpu = small_model({});
  const auto rows = long_rows(8, 4096);
  const ReferenceLogps reference = [&] {
    std::vector<double> values;
    for (const auto& row : rows)
      for (const auto& branch : row.branches)
        values.push_back(-8.3 * static_cast<double>(branch.size()));
    return ReferenceLogps(rows, values);
  }();
  const auto run = [&](Model& model) {
    const Objective objective(DPO{.beta = 0.1});
    PreferenceStep engine(model.network(), objective, {});
    const auto all = all_indices(rows.size());
    return std::pair(engine.accumulate(rows, all, reference, normalizers_of(rows, all)).loss,
                     all_gradients(model));
  };
  const auto want = run(on_cpu);
  const auto on_card = copy_of(on_cpu, {.device = "cuda"});
  const auto got = run(*on_card);
  EXPECT_NEAR(got.first, want.first, 0.02 * std::abs(want.first) + 0.01);
  double dot = 0, a = 0, b = 0;
  for (size_t i = 0; i < got.second.size(); ++i) {
    dot += static_cast<double>(got.second[i]) * want.second[i];
    a += static_cast<double>(got.second[i]) * got.second[i];
    b += static_cast<double>(want.second[i]) * want.second[i];
  }
  EXPECT_GT(dot / std::sqrt(a * b), 0.995);
}

#if defined(PREF_HAS_CUDA)
// Steps between two log lines: nothing waits for the device.
TEST_F(Gpu, StepsAskNothingBack) {
  Model model = small_model();
  const auto rows = long_rows(16, 4096);
  AdamW optimizer(model.network().parameters(), {});
  const ReferenceLogps reference = made_up_reference(rows, 6);
  const auto all = all_indices(rows.size());
  const Objective objective(DPO{.beta = 0.1});
  PreferenceStep step(model.network(), objective, {.tokens_per_microbatch = 1024});
  const auto update = [&] {
    model.network().parameters().zero_gradients();
    auto pending =
        step.enqueue(rows, all, reference, normalizers_of(rows, all), {}, optimizer.failure());
    optimizer.enqueue_step(1e-6, 1.0);
    return pending;
  };
  for (int i = 0; i < 3; ++i) step.finish(update(), rows);  // allocations, checks, plans
  auto& state = c10::cuda::warning_state();
  state.set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
  // The state is libtorch's own only where this program exports its symbols.
  EXPECT_ANY_THROW(at::zeros({1}, at::TensorOptions(at::kFloat).device(at::kCUDA)).item<float>());
  std::vector<PreferenceStep::Pending> pending;
  try {
    for (int i = 0; i < 3; ++i) pending.push_back(update());
  } catch (...) {
    state.set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
    throw;
  }
  state.set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
  for (const auto& one : pending) EXPECT_TRUE(std::isfinite(step.finish(one, rows).loss));
}

// The head's logits stay in their budget whatever the batch.
TEST_F(Gpu, HeadStaysInItsBudget) {
  const int64_t vocab = 32000, width = 512, budget = 64 << 20;
  const auto options = at::TensorOptions(at::kBFloat16).device(at::kCUDA);
  const at::Tensor weight = at::randn({vocab, width}, options),
                   gradient = at::zeros({vocab, width}, options.dtype(at::kFloat));
  const auto rows = long_rows(60, vocab);
  const PackingPlan plan = pack_rows(rows, all_indices(rows.size()));
  const Objective objective(SimPO{});
  DeviceHead head({weight, gradient}, {.logits_bytes = budget}, LogitsType::like_weights);
  ops::Uploader uploader(at::Device(at::kCUDA, 0));
  const auto groups = head.groups(labels_of(plan));
  EXPECT_GT(groups.size(), 3u);
  const PackedBatch batch = make_packed_batch(plan, row_inputs(plan), groups, uploader);
  const at::Tensor hidden = at::randn({plan.num_tokens(), width}, options),
                   d_hidden = at::zeros_like(hidden);
  auto* allocator = c10::getDeviceAllocator(at::kCUDA);
  // cuBLAS takes its workspaces when it is first used.
  DeviceHead({weight, gradient}, {.logits_bytes = budget / 8}, LogitsType::like_weights)
      .statistics(hidden, batch);
  allocator->resetPeakStats(0);
  const auto bytes = [&] { return allocator->getDeviceStats(0).allocated_bytes[0]; };
  const int64_t before = bytes().current;
  head.backward(hidden, batch, groups, objective, {60, 60}, d_hidden);
  EXPECT_LE(bytes().peak - before, budget + (32 << 20));
  EXPECT_TRUE(d_hidden.isfinite().all().item<bool>());
}
#endif

// Two runs with deterministic: true end in the same bits.
TEST_F(Gpu, DeterministicRunsGiveTheSameBits) {
  const PreferenceData data = data_of(long_rows(24, 4096));
  std::vector<std::vector<float>> ends;
  for (int i = 0; i < 2; ++i) {
    Model model = small_model();
    TrainerOptions options = toy_options();
    options.deterministic = true;
    options.num_train_epochs = 3;
    options.learning_rate = 1e-4;
    DPOTrainer trainer(model, DPO{.beta = 0.1}, options);
    trainer.fit(data);
    ends.push_back(all_values(model));
  }
  at::globalContext().setDeterministicAlgorithms(false, false);
  EXPECT_EQ(ends[0], ends[1]);
}

}  // namespace
}  // namespace pref::testing
