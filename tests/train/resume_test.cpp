// SPDX-License-Identifier: Apache-2.0
// Runs that stop and go on: bit for bit the run that never stopped, or a refusal that names what
// differs.
#include <filesystem>
#include <fstream>

#include "libpref/train/manifest.h"
#include "tests/train/train_test_util.h"

namespace pref::testing {
namespace {

const int64_t kUpdates =
    9;  // ten rows in batches of four, the last of two: three updates an epoch, three epochs

// What a finished run leaves: final weights, the last checkpoint's tensors, every metric.
struct Outcome {
  std::string model, weights, moments;
  std::vector<nlohmann::json> metrics;
};
Outcome outcome_of(const std::string& run) {
  const std::string checkpoint = run + "/" + checkpoint_name(kUpdates);
  return {read_text(run + "/model/model.safetensors"), read_text(checkpoint + "/model.safetensors"),
          read_text(checkpoint + "/optimizer.safetensors"), metric_lines(run)};
}
void expect_equal(const Outcome& a, const Outcome& b) {
  ASSERT_FALSE(a.model.empty() || a.weights.empty() || a.moments.empty() || a.metrics.empty());
  EXPECT_TRUE(a.model == b.model) << "final weights differ";
  EXPECT_TRUE(a.weights == b.weights) << "checkpointed weights differ";
  EXPECT_TRUE(a.moments == b.moments) << "moments differ";
  EXPECT_EQ(a.metrics, b.metrics);
}

struct Case {
  Objective objective = DPO{.beta = 0.4};
  bool shuffle = true;
  PreferenceData train = data_of(counting_rows(10)), held_out = data_of(counting_rows(3, 8));

  TrainerOptions options(const std::string& run) const {
    TrainerOptions options = toy_options(run);
    options.shuffle = shuffle;
    options.logging_steps = 2;  // intervals stay open across stops
    options.warmup_steps = 2;
    options.optimizer.weight_decay = 0.1;
    options.save_steps = 100;
    options.resume_from_checkpoint = "auto";
    return options;
  }
  std::map<std::string, PreferenceData> evals(const TrainerOptions& options) const {
    return options.eval_strategy == Interval::no
               ? std::map<std::string, PreferenceData>{}
               : std::map<std::string, PreferenceData>{{"", held_out}};
  }
  // One process: a model as it starts, and fit(). True when it came to the end.
  bool process(const TrainerOptions& options, bool stop_after_one_update = false) const {
    Model model = toy_model();
    PreferenceTrainer trainer(model, objective, options);
    if (stop_after_one_update) trainer.request_stop();
    try {
      trainer.fit(train, evals(options));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::requeue) throw;
      return false;
    }
    return true;
  }
};

void flip_byte(const std::string& path, std::streamoff from_end) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-from_end, std::ios::end);
  const char byte = static_cast<char>(file.get() ^ 0x10);
  file.seekp(-from_end, std::ios::end);
  file.put(byte);
}

// Stopped after every single update.
TEST(Resume, BitForBitAfterEveryStop) {
  for (const Objective& objective :
       {Objective(DPO{.beta = 0.4}), Objective(SFT{}),
        Objective(BCOPair{.beta = 0.4, .reward_shift = RewardShift::running_mean})})
    for (const bool shuffle : {true, false}) {
      SCOPED_TRACE(objective.name() + (shuffle ? " shuffled" : " in file order"));
      const TempFolder folder;
      const Case c{.objective = objective, .shuffle = shuffle};
      TrainerOptions whole = c.options(folder.file("whole")),
                     stopped = c.options(folder.file("stopped"));
      whole.eval_strategy = stopped.eval_strategy = Interval::epoch;
      ASSERT_TRUE(c.process(whole));
      int processes = 1;
      while (!c.process(stopped, /*stop_after_one_update=*/true)) ++processes;
      EXPECT_EQ(processes, kUpdates);
      expect_equal(outcome_of(folder.file("stopped")), outcome_of(folder.file("whole")));
    }
}

TEST(Resume, StopSaysWhereAndSaves) {
  const TempFolder folder;
  const Case c;
  Model model = toy_model();
  PreferenceTrainer trainer(model, c.objective, c.options(folder.file("run")));
  trainer.request_stop();
  const std::string text = error_of(ErrorKind::requeue, [&] { trainer.fit(c.train); });
  EXPECT_NE(text.find("after update 1 of 9; the checkpoint is saved"), std::string::npos) << text;
  EXPECT_EQ(open_checkpoint(folder.file("run/checkpoint-1")).step, 1);
  EXPECT_FALSE(std::filesystem::exists(folder.file("run/model")));
}

// A run that ended is lengthened: a constant rate does not depend on the end.
TEST(Resume, LongerRunIsTheSameRun) {
  const TempFolder folder;
  const Case c;
  for (const char* name : {"whole", "continued"})
    for (const int64_t updates : {int64_t{4}, kUpdates}) {
      if (name == std::string("whole") && updates != kUpdates) continue;
      TrainerOptions options = c.options(folder.file(name));
      options.lr_scheduler_type = ScheduleKind::constant_with_warmup;
      options.max_steps = updates;
      ASSERT_TRUE(c.process(options));
    }
  expect_equal(outcome_of(folder.file("continued")), outcome_of(folder.file("whole")));
}

// Killed after logging more than its checkpoint saw, with the newest checkpoint damaged.
TEST(Resume, DamagedCheckpointFallsBackToTheOneBefore) {
  const TempFolder folder;
  const Case c;
  TrainerOptions options = c.options(folder.file("whole"));
  options.save_steps = 3;
  ASSERT_TRUE(c.process(options));
  const Outcome whole = outcome_of(folder.file("whole"));
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "manifest.json"}) {
    SCOPED_TRACE(file);
    flip_byte(folder.file(std::string("whole/checkpoint-9/") + file), 5);
    ASSERT_TRUE(c.process(options));
    expect_equal(outcome_of(folder.file("whole")), whole);
  }
  std::filesystem::remove(folder.file("whole/checkpoint-9/config.json"));
  ASSERT_TRUE(c.process(options));
  expect_equal(outcome_of(folder.file("whole")), whole);
}

TEST(Resume, FinishedRunStaysAsItIs) {
  const TempFolder folder;
  const Case c;
  ASSERT_TRUE(c.process(c.options(folder.file("run"))));
  const Outcome before = outcome_of(folder.file("run"));
  ASSERT_TRUE(c.process(c.options(folder.file("run"))));
  expect_equal(outcome_of(folder.file("run")), before);
}

TEST(Resume, FromANamedCheckpoint) {
  const TempFolder folder;
  const Case c;
  TrainerOptions options = c.options(folder.file("whole"));
  options.save_steps = 4;
  ASSERT_TRUE(c.process(options));
  TrainerOptions branch = c.options(folder.file("branch"));
  branch.resume_from_checkpoint = folder.file("whole/checkpoint-4");
  ASSERT_TRUE(c.process(branch));
  const Outcome a = outcome_of(folder.file("branch")), b = outcome_of(folder.file("whole"));
  EXPECT_TRUE(a.model == b.model);
  EXPECT_TRUE(a.moments == b.moments);
  // Lines after the fourth update are the same; those before it are in the other folder.
  EXPECT_EQ(a.metrics, (std::vector<nlohmann::json>(b.metrics.begin() + 2, b.metrics.end())));
  // In its own folder, the newer checkpoints would be in the way.
  options.resume_from_checkpoint = folder.file("whole/checkpoint-4");
  const std::string text = error_of(ErrorKind::cannot_create, [&] { c.process(options); });
  EXPECT_NE(text.find("checkpoint-9"), std::string::npos) << text;
  expect_equal(outcome_of(folder.file("whole")), b);
}

TEST(Resume, KeepsTheNewestCheckpoints) {
  const TempFolder folder;
  const Case c;
  TrainerOptions options = c.options(folder.file("run"));
  options.save_steps = 2;
  options.save_total_limit = 2;
  ASSERT_TRUE(c.process(options));
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder.file("run")))
    if (entry.path().filename().string().starts_with("checkpoint-"))
      left.push_back(entry.path().filename().string());
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"checkpoint-8", "checkpoint-9"}));
}

TEST(Resume, RejectsOtherOptionsNamingThem) {
  const TempFolder folder;
  Case c;
  const TrainerOptions options = c.options(folder.file("run"));
  ASSERT_FALSE(c.process(options, true));
  const auto refusal = [&](const Case& other, const TrainerOptions& changed) {
    return error_of(ErrorKind::option, [&] { other.process(changed); });
  };
  TrainerOptions two = options;
  two.learning_rate = 0.001;
  two.optimizer.adam_beta2 = 0.9;
  const std::string named = refusal(c, two);
  EXPECT_NE(named.find("learning_rate: the checkpoint has 0.005, this run 0.001"),
            std::string::npos)
      << named;
  EXPECT_NE(named.find("adam_beta2: "), std::string::npos) << named;
  EXPECT_EQ(named.find("weight_decay: "), std::string::npos) << named;
  TrainerOptions longer = options;
  longer.num_train_epochs = 5;  // the linear schedule depends on the end
  EXPECT_NE(refusal(c, longer).find("updates: the checkpoint has 9, this run 15"),
            std::string::npos);
  Case beta = c;
  beta.objective = DPO{.beta = 0.5};
  EXPECT_NE(refusal(beta, options).find("dpo.beta: the checkpoint has 0.4, this run 0.5"),
            std::string::npos);
  Case order = c;
  order.shuffle = false;
  EXPECT_NE(refusal(order, order.options(folder.file("run"))).find("shuffle: "), std::string::npos);
  Case sft = c;
  sft.objective = SFT{};
  const std::string other_loss = refusal(sft, options);
  EXPECT_NE(other_loss.find("objective: the checkpoint has dpo, this run sft"), std::string::npos)
      << other_loss;
  EXPECT_NE(other_loss.find("dpo.beta: the checkpoint has 0.4, this run nothing"),
            std::string::npos)
      << other_loss;
  Case weighted = c;
  weighted.objective = Objective(std::vector<WeightedTerm>{{DPO{.beta = 0.4}, 0.5}});
  EXPECT_NE(refusal(weighted, options).find("loss_weights.dpo: the checkpoint has 1"),
            std::string::npos);
  // Logging and saving may change.
  TrainerOptions quiet = options;
  quiet.logging_steps = 5;
  quiet.save_steps = 4;
  EXPECT_TRUE(c.process(quiet));
}

TEST(Resume, RejectsOtherRows) {
  const TempFolder folder;
  Case c{.objective = SFT{}};
  ASSERT_FALSE(c.process(c.options(folder.file("run")), true));
  c.train = data_of(counting_rows(10, 77));
  const std::string text =
      error_of(ErrorKind::option, [&] { c.process(c.options(folder.file("run"))); });
  EXPECT_NE(text.find("rows: the checkpoint has"), std::string::npos) << text;
}

TEST(Resume, RejectsAnEarlierRunWithoutBeingAsked) {
  const TempFolder folder;
  const Case c;
  TrainerOptions options = c.options(folder.file("run"));
  ASSERT_TRUE(c.process(options));
  const Outcome before = outcome_of(folder.file("run"));
  options.resume_from_checkpoint = "never";
  const std::string text = error_of(ErrorKind::cannot_create, [&] { c.process(options); });
  EXPECT_NE(text.find("holds an earlier run"), std::string::npos) << text;
  expect_equal(outcome_of(folder.file("run")), before);
}

}  // namespace
}  // namespace pref::testing
