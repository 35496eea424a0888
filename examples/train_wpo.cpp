// SPDX-License-Identifier: Apache-2.0
// WPO as a run: pairs that the policy itself would hardly write count less.
//
//   build/release/bin/train_wpo MODEL_FOLDER TRAIN.jsonl EVAL.jsonl RUN_DIRECTORY
#include <libpref/pref.h>

#include <cstdio>

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::fprintf(stderr, "usage: train_wpo MODEL_FOLDER TRAIN.jsonl EVAL.jsonl RUN_DIRECTORY\n");
    return 64;
  }
  pref::Model policy = pref::load_model(argv[1]);
  const auto train = pref::load_preferences({argv[2]}, policy.tokenizer(), {.max_length = 1024});
  const auto eval = pref::load_preferences({argv[3]}, policy.tokenizer(), {.max_length = 1024});

  // DPO, each pair weighted by how likely the present policy finds its responses. Any loss of one
  // pair takes the weight: pref::IPO{}, pref::SimPO{}, ...
  pref::WPOTrainer trainer(
      policy, pref::DPO{.beta = 0.01},
      {.alignment = pref::Alignment::sampled, .clamp = pref::WeightClamp::product},
      {.output_dir = argv[4],
       .learning_rate = 5e-7,
       .lr_scheduler_type = pref::ScheduleKind::cosine,
       .warmup_ratio = 0.1,
       .num_train_epochs = 1,
       .per_device_train_batch_size = 8,
       .logging_steps = 5,
       .eval_strategy = pref::Interval::steps,
       .eval_steps = 50,
       .save_steps = 50,
       .save_total_limit = 2,
       .resume_from_checkpoint = "auto"});
  trainer.fit(train, {{"", eval}});
  std::printf("%lld updates; the model is in %s/model\n",
              static_cast<long long>(trainer.steps_done()), argv[4]);
} catch (const pref::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return error.exit_code();
}
