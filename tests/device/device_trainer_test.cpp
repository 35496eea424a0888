// SPDX-License-Identifier: Apache-2.0
// The trainer on a device: runs that follow the CPU's, numbers that are asked for late,
// exact masters, checkpoints, and updates that were not finite.
#include "libpref/base/error.h"
#include "libpref/data/unpaired.h"
#include "tests/device/device_test_util.h"

namespace pref::testing {
namespace {

using DeviceTrainer = DeviceTest;

struct Data {
  PreferenceData train = data_of(counting_rows(16, 3));
  PreferenceData eval = data_of(counting_rows(5, 4));
};

TrainerOptions run_options(const std::string& folder, int64_t logging_steps) {
  TrainerOptions options = toy_options(folder);
  options.num_train_epochs = 2;
  options.logging_steps = logging_steps;
  options.eval_strategy = Interval::epoch;
  options.save_strategy = Interval::epoch;
  return options;
}

std::vector<nlohmann::json> train(Model& model, const Data& data, const TrainerOptions& options,
                                  const Objective& objective = DPO{.beta = 0.3}) {
  PreferenceTrainer trainer(model, objective, options);
  trainer.fit(data.train, {{"", data.eval}});
  return metric_lines(options.output_dir);
}

void expect_same_lines(const std::vector<nlohmann::json>& got,
                       const std::vector<nlohmann::json>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].size(), want[i].size()) << got[i];
    for (const auto& [name, value] : want[i].items()) {
      ASSERT_TRUE(got[i].contains(name)) << name;
      if (!value.is_number()) {
        EXPECT_EQ(got[i][name], value) << name;
        continue;
      }
      const double expected = value.get<double>();
      EXPECT_NEAR(got[i][name].get<double>(), expected,
                  tolerance * std::max(1.0, std::abs(expected)))
          << i << " " << name;
    }
  }
}

// Whole runs, a log line every update and every third: the same lines, the same weights.
TEST_F(DeviceTrainer, RunsFollowTheCpu) {
  const Data data;
  for (const int64_t logging_steps : {1, 3}) {
    const TempFolder folder;
    Model model = toy_model(2);
    const auto start = copy_of(model);
    const auto want = train(model, data, run_options(folder.path() + "/cpu", logging_steps));
    const TestDevice device;
    const auto emulated = device_model(*start, f32_options());
    const auto got = train(*emulated, data, run_options(folder.path() + "/device", logging_steps));
    expect_same_lines(got, want, 5e-4);
    const auto ours = all_values(*emulated), theirs = all_values(model);
    // Where a gradient is all but zero, another order of sums turns AdamW's step around: on a card,
    // whose products are not the CPU's, single weights may.
    double sum = 0;
    for (size_t i = 0; i < ours.size(); ++i) sum += std::abs(ours[i] - theirs[i]);
    EXPECT_LE(sum / static_cast<double>(ours.size()), 1e-5);
    EXPECT_LE(largest_difference(ours, theirs), device_is_emulated() ? 1e-4 : 0.05);
  }
}

TEST_F(DeviceTrainer, EqualRunsGiveEqualBits) {
  const Data data;
  Model model = toy_model(2);
  const TestDevice device;
  std::vector<std::vector<float>> ends;
  for (int i = 0; i < 2; ++i) {
    const TempFolder folder;
    const auto emulated = device_model(model);
    TrainerOptions options = run_options(folder.path() + "/run", 2);
    options.optimizer.adam_moments_dtype = MomentsType::bf16;
    train(*emulated, data, options);
    ends.push_back(all_values(*emulated));
  }
  EXPECT_EQ(ends[0], ends[1]);
}

// Updates far below a bf16 step are not lost: masters move by the learning rate, the bf16 weights
// that the network reads mostly stay.
TEST_F(DeviceTrainer, MastersMoveWhereBf16CannotFollow) {
  const Data data;
  Model model = toy_model(2);
  const TestDevice device;
  const auto emulated = device_model(model);
  EXPECT_EQ(all_values(*emulated), all_values(model)) << "masters are exact";
  const ParameterBlock& block = emulated->network().parameters().blocks()[1];
  const at::Tensor weights = block.trainable.clone();
  TrainerOptions options = toy_options();
  DPOTrainer trainer(*emulated, DPO{.beta = 0.3}, options);
  const ReferenceLogps reference = trainer.reference_logps(data.train.rows);
  trainer.step(data.train.rows, reference, 1e-6);
  const auto before = all_values(model), after = all_values(*emulated);
  EXPECT_NEAR(largest_difference(after, before), 1e-6, 2e-8);
  EXPECT_LT(weights.ne(block.trainable).sum().item<int64_t>(), weights.numel() / 20);
}

// A run stopped at its checkpoint and continued is bit for bit the run that was not, with masters
// and moments narrower than what the files hold, and with a running mean that was on the device.
TEST_F(DeviceTrainer, ResumesBitForBit) {
  const Data data;
  Model model = toy_model(2);
  const TestDevice device;
  const std::pair<MomentsType, Objective> cases[] = {
      {MomentsType::f32, DPO{.beta = 0.3}},
      {MomentsType::bf16, BCOPair{.beta = 0.3, .reward_shift = RewardShift::running_mean}}};
  for (const auto& [moments, objective] : cases) {
    const TempFolder folder;
    TrainerOptions options = run_options(folder.path() + "/whole", 3);
    options.optimizer.adam_moments_dtype = moments;
    const auto whole = device_model(model);
    train(*whole, data, options, objective);
    options.output_dir = folder.path() + "/parts";
    options.lr_scheduler_type = ScheduleKind::linear;
    const auto first = device_model(model);
    {
      PreferenceTrainer trainer(*first, objective, options);
      trainer.request_stop();
      EXPECT_THROW(trainer.fit(data.train, {{"", data.eval}}), Error);
    }
    options.resume_from_checkpoint = "auto";
    const auto second = device_model(model);
    train(*second, data, options, objective);
    EXPECT_EQ(all_values(*second), all_values(*whole));
  }
}

TEST_F(DeviceTrainer, RejectsAResumeInAnotherType) {
  const Data data;
  Model model = toy_model(2);
  const TempFolder folder;
  TrainerOptions options = run_options(folder.path() + "/run", 1);
  options.resume_from_checkpoint = "auto";
  const TestDevice device;
  const auto train_simpo = [&](const std::unique_ptr<Model>& start) {
    SimPOTrainer(*start, SimPO{}, options).fit(data.train, {{"", data.eval}});
  };
  train_simpo(device_model(model));
  const std::string text =
      error_of(ErrorKind::option, [&] { train_simpo(device_model(model, f32_options())); });
  EXPECT_NE(text.find("dtype: the checkpoint has bfloat16, this run float32"), std::string::npos)
      << text;
}

// Three updates in flight, the second not finite: it and the third change nothing and are taken
// back, the error names the second's rows, and the run can go on.
TEST_F(DeviceTrainer, UpdatesThatAreNotFiniteChangeNothing) {
  Data data;
  Model model = toy_model(2);
  const TestDevice device;
  const TempFolder folder;
  TrainerOptions options = toy_options(folder.path() + "/run");
  options.shuffle = false;
  options.num_train_epochs = 1;
  options.logging_steps = 100;
  options.save_strategy = Interval::no;
  // A gradient that is not finite, and a loss alone.
  const double infinity = std::numeric_limits<double>::infinity();
  struct Poison {
    Objective objective;
    double weight, margin;
  };
  const std::vector<Poison> poisons = {{Objective(DPO{.beta = 0.3}), infinity, 0},
                                       {Objective(DPO{.beta = 0.3}), std::nan(""), 0},
                                       {Objective(Hinge{}), 1, infinity}};
  for (size_t i = 0; i < poisons.size(); ++i) {
    data.train.rows[5].facts.weight = poisons[i].weight;
    data.train.rows[5].facts.margin = poisons[i].margin;
    const auto emulated = device_model(model, f32_options());
    const auto once = device_model(model, f32_options());
    options.output_dir = folder.path() + "/run" + std::to_string(i);
    options.logging_steps = i == 0 ? 1 : 100;
    PreferenceTrainer trainer(*emulated, poisons[i].objective, options);
    const std::string text = error_of(ErrorKind::non_finite, [&] { trainer.fit(data.train); });
    EXPECT_NE(text.find("pair-5"), std::string::npos) << text;
    EXPECT_EQ(trainer.steps_done(), 1);
    EXPECT_EQ(metric_lines(options.output_dir).size(), i == 0 ? 1u : 0u) << "lines come when due";
    // What the first update alone gives.
    TrainerOptions alone = options;
    alone.output_dir.clear();
    PreferenceTrainer first(*once, poisons[i].objective, alone);
    const std::vector<TokenizedRow> rows(data.train.rows.begin(), data.train.rows.begin() + 4);
    // A reference of all rows, as the run's: on a card the batch's size decides the order of sums.
    first.step(rows, first.reference_logps(data.train.rows), options.learning_rate);
    EXPECT_EQ(all_values(*emulated), all_values(*once)) << i;
    // And the run goes on as if the others had never been.
    trainer.step(rows, trainer.reference_logps(rows), 1e-3);
    first.step(rows, first.reference_logps(rows), 1e-3);
    EXPECT_EQ(trainer.steps_done(), 2);
    EXPECT_EQ(all_values(*emulated), all_values(*once)) << i;
  }
}

// Objectives that couple a batch: what couples it stays on the device over several microbatches and
// updates; the running mean is on the host again when somebody asks, as evaluation does.
TEST_F(DeviceTrainer, CoupledObjectivesFollowTheCpu) {
  const BCOPair shifted{.reward_shift = RewardShift::running_mean};
  const PreferenceData pairs = data_of(counting_rows(8, 3)), feedback = unpaired(pairs),
                       mismatched = with_mismatched_responses(feedback, 64);
  const struct {
    Objective objective;
    const PreferenceData& data;
  } cases[] = {
      {KTO{}, mismatched},
      {BCO{}, feedback},
      {shifted, pairs},
      {Objective({{shifted, 1}}, {.length = LengthDesensitization{.ld_alpha = 0.25}}), pairs},
      {AOT{}, pairs},
      {AOTUnpaired{}, pairs}};
  for (const auto& [objective, data] : cases) {
    Model model = toy_model(2);
    const auto start = copy_of(model);
    TrainerOptions options = toy_options();
    options.tokens_per_microbatch = 40;
    const auto run = [&](Model& m) {
      PreferenceTrainer trainer(m, objective, options);
      const ReferenceLogps reference = trainer.reference_logps(data.rows);
      std::vector<double> losses;
      for (int i = 0; i < 3; ++i) losses.push_back(trainer.step(data.rows, reference, 1e-3).loss);
      losses.push_back(trainer.evaluate(data.rows, reference).loss);
      return losses;
    };
    const auto want = run(model);
    const TestDevice device;
    const auto got = run(*device_model(*start, f32_options()));
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_NEAR(got[i], want[i], 1e-5 * std::abs(want[i])) << objective.name() << " " << i;
  }
}

}  // namespace
}  // namespace pref::testing
