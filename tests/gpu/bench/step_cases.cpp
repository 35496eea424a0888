// SPDX-License-Identifier: Apache-2.0
// Whole steps: what sharing a prompt saves, the share of the card that an 8B and a 1B update reach,
// and the memory that the former takes.
#include <c10/core/CachingDeviceAllocator.h>

#include <chrono>

#include "kernels/cuda/runtime.h"
#include "libpref/ops/flops.h"
#include "libpref/optim/adamw.h"
#include "libpref/train/memory_plan.h"
#include "tests/gpu/bench/bench_inputs.h"
#include "tests/gpu/bench/bench_run.h"

namespace pref::bench {
namespace {

constexpr double kPeak = 989e12;  // dense bf16 of an H100 or H200, by its data sheet

struct Profile {
  const char* name;
  int64_t prompt, response;
};
constexpr Profile kProfiles[] = {{"UltraFeedback", 121, 288},  {"HH-RLHF", 127, 59},
                                 {"Capybara", 712, 448},       {"MetaMath", 694, 178},
                                 {"Tulu-HelpSteer", 669, 106}, {"TLDR", 382, 34}};

// Pairs around the profile's medians until `tokens` packed tokens are reached.
std::vector<PairLengths> pairs_of(const Profile& profile, int64_t tokens, bool tiny) {
  constexpr int64_t kPairs = 97;
  const int64_t scale = tiny ? 40 : 1;
  const auto prompts = log_normal_lengths(
                 static_cast<double>(profile.prompt) / static_cast<double>(scale), 0.5, kPairs, 5),
             chosen = log_normal_lengths(
                 static_cast<double>(profile.response) / static_cast<double>(scale), 0.4, kPairs,
                 7),
             rejected = log_normal_lengths(
                 static_cast<double>(profile.response) / static_cast<double>(scale), 0.4, kPairs,
                 11);
  std::vector<PairLengths> out;
  int64_t total = 0;
  for (size_t i = 0;; ++i) {
    const size_t j = i % kPairs;
    total += prompts[j] + chosen[j] + rejected[j];
    if (total > tokens && !out.empty()) return out;
    out.push_back({prompts[j], chosen[j], rejected[j]});
  }
}

PackedBatch batch_of(const std::vector<TokenizedRow>& rows, ops::Uploader& uploader) {
  return make_packed_batch(pack_rows(rows, every(rows.size())), {}, {}, uploader);
}

// Body forward and backward over the same pairs, prompts shared or each branch with its own.
void shared_prefix(Bench& bench, const Profile& profile) {
  const int64_t layers = bench.size(4, 1);
  const DecoderConfig config = bench.tiny() ? llama_config(32, 64, layers, 4, 2, 64)
                                            : llama_config(4096, 14336, layers, 32, 8, 1024);
  const auto model = device_llama(config);
  const auto rows =
      rows_of(pairs_of(profile, bench.size(12288, 60), bench.tiny()), config.vocab_size);
  std::vector<TokenizedRow> apart;
  for (const TokenizedRow& row : rows)
    for (const auto& branch : row.branches)
      apart.push_back({.id = row.id, .prompt = row.prompt, .branches = {branch}});
  ops::Uploader uploader{at::Device(device_name())};
  const PackedBatch shared = batch_of(rows, uploader), whole = batch_of(apart, uploader);
  const auto pass = [&](const PackedBatch& batch) {
    const at::Tensor hidden = model->network().hidden(batch);
    hidden.backward(at::ones_like(hidden));
  };
  const auto times = bench.time({[&] { pass(shared); }, [&] { pass(whole); }}, 2000);
  const double limit =
      static_cast<double>(whole.plan.num_tokens()) / static_cast<double>(shared.plan.num_tokens());
  bench.print(bench
                  .line("G8", "shared prefix",
                        std::string(profile.name) + ", " + std::to_string(rows.size()) + " pairs",
                        times[0])
                  .add("share", times[1].median / times[0].median / limit)
                  .add("of", "the tokens saved")
                  .add("speedup", times[1].median / times[0].median)
                  .add("peer_ms", times[1].median)
                  .add("wanted", 0.93));
}

struct StepCase {
  const char* name;
  DecoderConfig config;
  int64_t tokens;
  double wanted_share, wanted_pairs;
};

// DPO updates of all parameters at UltraFeedback's lengths, reference log-probs at hand.
void whole_step(Bench& bench, const StepCase& test) {
  TrainerOptions options;
  options.optimizer.adam_moments_dtype = MomentsType::bf16;
  options.tokens_per_microbatch = test.tokens;
  const Placement placement = place(device_name(), DType::bf16);
  const MemoryPlan plan = plan_memory(test.config, options, placement);
  if (const auto free = ops::free_memory(placement.device))
    require_fits(plan, *free, test.config, options, placement);
  const auto model = device_llama(test.config);
  const Objective objective(DPO{.beta = 0.1});
  PreferenceStep step(
      model->network(), objective,
      {.tokens_per_microbatch = test.tokens, .head = {.logits_bytes = int64_t{4} << 30}});
  AdamW optimizer(model->network().parameters(), options.optimizer);
  const auto rows =
      rows_of(pairs_of(kProfiles[0], test.tokens, bench.tiny()), test.config.vocab_size);
  const ReferenceLogps reference(rows, std::vector<double>(2 * rows.size(), -3000.0));
  const auto indices = every(rows.size());
  const auto update = [&] {
    model->network().parameters().zero_gradients();
    auto pending = step.enqueue(rows, indices, reference, normalizers_of(rows, indices), {},
                                optimizer.failure());
    optimizer.enqueue_step(5e-7, 1.0);
    return pending;
  };
  // Nothing is waited for in between; what the host prepares is in the time.
  const int warm = bench.tiny() ? 1 : 3, count = bench.tiny() ? 1 : 10;
  for (int i = 0; i < warm; ++i) step.finish(update(), rows);
  const double flops_before = flop_count().total();
  std::vector<PreferenceStep::Pending> pending;
  kernels::cuda::Event before, after;
  before.record(nullptr);
  for (int i = 0; i < count; ++i) pending.push_back(update());
  after.record(nullptr);
  const double ms = after.ms_since(before) / count;
  for (const auto& one : pending) step.finish(one, rows);
  const double flops = (flop_count().total() - flops_before) / count;
  const double pairs = static_cast<double>(rows.size()) / ms * 1e3;
  const std::string what = std::string(test.name) + ", " + std::to_string(rows.size()) +
                           " pairs, " + std::to_string(test.tokens) + " tokens";
  bench.print(bench.line("G9", "step", what, {ms, ms, ms})
                  .add("share", flops / (ms * 1e-3) / kPeak)
                  .add("of", "989 TFLOP/s")
                  .add("wanted", test.wanted_share));
  bench.print(bench.line("G9", "step, pairs", what, {ms, ms, ms})
                  .add("value", pairs)
                  .add("unit", "pairs/s")
                  .add("wanted", test.wanted_pairs));
  if (!placement.device.is_cuda()) return;
  const auto peak = c10::getDeviceAllocator(at::kCUDA)
                        ->getDeviceStats(placement.device.index())
                        .allocated_bytes[0]
                        .peak;
  bench.print(
      bench.line("G11", "tokens of one microbatch, all parameters trained", what, {ms, ms, ms})
          .add("value", test.tokens)
          .add("unit", "tokens")
          .add("peak_gb", static_cast<double>(peak) / 1e9)
          .add("planned_gb", static_cast<double>(plan.total()) / 1e9)
          .add("wanted", 12000));
}

}  // namespace

void step_cases(Bench& bench) {
  if (bench.tiny()) {
    for (const Profile& profile : {kProfiles[0], kProfiles[5]})
      bench.run("shared prefix", [&] { shared_prefix(bench, profile); });
    bench.run("step", [&] {
      whole_step(bench, {"tiny", llama_config(32, 64, 2, 4, 2, 96), 80, 0, 0});
    });
    return;
  }
  bench.run("8B step", [&] {
    whole_step(bench, {"8B", llama_config(4096, 14336, 32, 32, 8, 128256), 12288, 0.55, 17});
  });
  if (at::Device(device_name()).is_cuda()) c10::getDeviceAllocator(at::kCUDA)->emptyCache();
  bench.run("1B step", [&] {
    whole_step(bench, {"1B", llama_config(2048, 8192, 16, 32, 8, 128256), 16384, 0.45, 85});
  });
  for (const Profile& profile : kProfiles)
    bench.run("shared prefix", [&] { shared_prefix(bench, profile); });
}

}  // namespace pref::bench
