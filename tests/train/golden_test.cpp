// SPDX-License-Identifier: Apache-2.0
// Twenty DPO updates of a toy model: the same bits twice, and the losses that this model is known
// to have.
#include <array>

#include "tests/train/train_test_util.h"

namespace pref::testing {
namespace {

struct Outcome {
  std::vector<double> losses, norms;
  std::string weights;
};

Outcome train_twenty() {
  const TempFolder folder;
  Model model = toy_model(11);
  TrainerOptions options = toy_options(folder.file("run"));
  options.max_steps = 20;
  options.lr_scheduler_type = ScheduleKind::cosine;
  options.warmup_steps = 3;
  options.optimizer.weight_decay = 0.01;
  options.tokens_per_microbatch = 20;
  options.save_strategy = Interval::no;
  DPOTrainer(model, {.beta = 0.3, .label_smoothing = 0.05}, options)
      .fit(data_of(counting_rows(14, 11)));
  Outcome outcome;
  for (const auto& line : metric_lines(folder.file("run"))) {
    outcome.losses.push_back(line.at("loss").get<double>());
    outcome.norms.push_back(line.at("grad_norm").get<double>());
  }
  outcome.weights = model.weights_digest();
  return outcome;
}

TEST(Golden, TwentyUpdatesAreBitExactOnOneThread) {
  const ThreadCount threads(1);
  const Outcome first = train_twenty(), second = train_twenty();
  ASSERT_EQ(first.losses.size(), 20u);
  EXPECT_EQ(first.losses, second.losses);
  EXPECT_EQ(first.norms, second.norms);
  EXPECT_EQ(first.weights, second.weights);
  // Processors differ in their vector units, and so in the last bits; a change of what is computed
  // moves more.
  constexpr std::array kLosses = {0.446182, 0.217340, 0.245749, 0.260794};
  for (size_t i = 0; i < kLosses.size(); ++i)
    EXPECT_NEAR(first.losses[5 * i + 4], kLosses[i], 2e-4) << "update " << 5 * i + 5;
}

}  // namespace
}  // namespace pref::testing
