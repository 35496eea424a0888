// SPDX-License-Identifier: Apache-2.0
// The optimizer over a parameter store against torch's own, the gradient norm, and the schedules.
#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "libpref/optim/adamw.h"
#include "libpref/optim/schedule.h"
#include "tests/nn/toy_model.h"
#include "tests/objectives/objective_test_util.h"

namespace pref::testing {
namespace {

void fill_normal(const at::Tensor& tensor, RandomStream& random, double deviation) {
  for (int64_t i = 0; i < tensor.numel(); ++i)
    tensor.mutable_data_ptr<float>()[i] = static_cast<float>(deviation * random.normal());
}

// Ten steps with changing rates and gradient scales: weights and moments as torch's fused AdamW has
// them.
TEST(AdamW, MatchesTorch) {
  const AdamWOptions options{
      .adam_beta1 = 0.8, .adam_beta2 = 0.95, .adam_epsilon = 1e-6, .weight_decay = 0.1};
  ParameterStore store;
  const int64_t matrix = store.declare("a", {{"a.w", {40, 33}}}, true);
  const int64_t norm = store.declare("a", {{"a.norm", {33}}}, false);
  const int64_t other = store.declare("b", {{"b.w", {7, 5}}}, true);
  store.declare("b", {{"b.frozen", {9}}}, true);
  store.allocate([](const std::string& name) { return name != "b.frozen"; });
  const uint64_t seed = 3;
  SCOPED_TRACE("seed " + std::to_string(seed));
  RandomStream random(seed, "test optimizer");
  struct Theirs {
    at::Tensor weight, exp_avg, exp_avg_sq, steps;
    double decay;
  };
  std::vector<Theirs> theirs;
  for (const int64_t i : {matrix, norm, other}) {
    const at::Tensor value = store.weight(i).value.detach();
    fill_normal(value, random, 1);
    theirs.push_back({value.clone(), at::zeros_like(value), at::zeros_like(value), at::zeros({}),
                      i == norm ? 0.0 : 0.1});
  }
  AdamW optimizer(store, options);
  for (int step = 1; step <= 10; ++step) {
    const double rate = 0.02 / step, scale = step % 2 == 0 ? 0.25 : 1;
    for (size_t k = 0; k < 3; ++k) {
      const int64_t i = std::array{matrix, norm, other}[k];
      fill_normal(store.weight(i).gradient, random, std::pow(10, -static_cast<double>(k)));
      Theirs& t = theirs[k];
      t.steps.add_(1);
      const at::Tensor gradient = store.weight(i).gradient * scale;
      at::_fused_adamw_({t.weight}, {gradient}, {t.exp_avg}, {t.exp_avg_sq}, {}, {t.steps}, rate,
                        options.adam_beta1, options.adam_beta2, t.decay, options.adam_epsilon,
                        false, false);
    }
    optimizer.step(rate, scale);
    EXPECT_EQ(optimizer.steps(), step);
    for (size_t k = 0; k < 3; ++k) {
      const at::Tensor ours = store.weight(std::array{matrix, norm, other}[k]).value.detach();
      // A few roundings of weights of size 1 to 4 a step.
      EXPECT_LE((ours - theirs[k].weight).abs().max().item<double>(), 1e-6 * step)
          << "leaf " << k << ", step " << step;
    }
  }
  // Moments lie in the flat buffers at their leaves' offsets.
  const auto& p = store.parameters()[norm];
  const at::Tensor moment = optimizer.exp_avg()[0].narrow(0, p.offset, 33);
  EXPECT_LE((moment - theirs[1].exp_avg).abs().max().item<double>(), 1e-7);
  EXPECT_EQ(store.blocks()[1].frozen.abs().sum().item<double>(), 0);
}

// One element by hand: b1 = b2 = 0, eps = 1: w - lr decay w - lr g / (|g| + 1) = 2 - 0.1 - 0.1 * 3
// / 4 = 1.825.
TEST(AdamW, Value) {
  ParameterStore store;
  store.declare("a", {{"w", {1}}}, true);
  store.allocate([](const std::string&) { return true; });
  store.weight(0).value.detach().fill_(2);
  store.weight(0).gradient.fill_(3);
  AdamW optimizer(store,
                  {.adam_beta1 = 0, .adam_beta2 = 0, .adam_epsilon = 1, .weight_decay = 0.5});
  optimizer.step(0.1);
  EXPECT_NEAR(store.weight(0).value.item<float>(), 1.825, 1e-6);
}

TEST(AdamW, RejectsOptionsOutsideTheirRange) {
  ParameterStore store;
  store.allocate([](const std::string&) { return true; });
  EXPECT_NE(
      error_of(ErrorKind::option, [&] { AdamW(store, {.adam_beta1 = 1}); }).find("adam_beta1"),
      std::string::npos);
}

TEST(GradientNorm, MatchesDoubleAndAnyThreadCount) {
  ParameterStore store;
  store.declare("a", {{"a.w", {300, 700}}}, true);  // several parts of the parallel sum
  store.declare("b", {{"b.w", {3}}}, false);
  store.allocate([](const std::string&) { return true; });
  EXPECT_EQ(gradient_norm(store), 0);
  RandomStream random(4, "test gradients");
  double squares = 0;
  for (const int64_t i : {0, 1}) {
    fill_normal(store.weight(i).gradient, random, 1);
    squares += store.weight(i).gradient.to(at::kDouble).square().sum().item<double>();
  }
  const double norm = gradient_norm(store);
  EXPECT_NEAR(norm, std::sqrt(squares), 1e-11 * norm);
  for (const int count : {1, 2, 3}) {
    const ThreadCount threads(count);
    EXPECT_EQ(gradient_norm(store), norm) << count << " threads";
  }
  store.weight(1).gradient[1].fill_(NAN);
  EXPECT_TRUE(std::isnan(gradient_norm(store)));
}

// 4 warm-up steps of 12.
TEST(Schedule, Value) {
  EXPECT_EQ(schedule_factor(ScheduleKind::linear, 0, 4, 12), 0);
  EXPECT_EQ(schedule_factor(ScheduleKind::linear, 3, 4, 12), 0.75);
  EXPECT_EQ(schedule_factor(ScheduleKind::linear, 4, 4, 12), 1);
  EXPECT_EQ(schedule_factor(ScheduleKind::linear, 6, 4, 12), 0.75);
  EXPECT_EQ(schedule_factor(ScheduleKind::linear, 12, 4, 12), 0);
  EXPECT_EQ(schedule_factor(ScheduleKind::cosine, 2, 4, 12), 0.5);
  EXPECT_NEAR(schedule_factor(ScheduleKind::cosine, 6, 4, 12), (1 + std::sqrt(0.5)) / 2, 1e-15);
  EXPECT_NEAR(schedule_factor(ScheduleKind::cosine, 8, 4, 12), 0.5, 1e-15);
  EXPECT_NEAR(schedule_factor(ScheduleKind::cosine, 12, 4, 12), 0, 1e-15);
  EXPECT_EQ(schedule_factor(ScheduleKind::constant, 0, 4, 12), 1);
  EXPECT_EQ(schedule_factor(ScheduleKind::constant_with_warmup, 1, 4, 12), 0.25);
  EXPECT_EQ(schedule_factor(ScheduleKind::constant_with_warmup, 9, 4, 12), 1);
}

// transformers' get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup (half a cycle),
// as documented.
TEST(Schedule, MatchesReference) {
  for (const int64_t warmup : {0, 1, 7, 30})
    for (const int64_t total : {1, 7, 30})
      for (int64_t step = 0; step < total; ++step) {
        const double rising =
            static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, warmup));
        const double span = static_cast<double>(std::max<int64_t>(1, total - warmup));
        const double linear = std::max(0.0, static_cast<double>(total - step) / span);
        const double progress = static_cast<double>(step - warmup) / span;
        const double cosine =
            std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * 0.5 * 2 * progress)));
        SCOPED_TRACE(::testing::Message()
                     << "step " << step << " of " << total << ", warm-up " << warmup);
        EXPECT_NEAR(schedule_factor(ScheduleKind::linear, step, warmup, total),
                    step < warmup ? rising : linear, 1e-14);
        EXPECT_NEAR(schedule_factor(ScheduleKind::cosine, step, warmup, total),
                    step < warmup ? rising : cosine, 1e-14);
      }
}

}  // namespace
}  // namespace pref::testing
