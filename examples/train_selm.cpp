// SPDX-License-Identifier: Apache-2.0
// SELM as a run: rows bring a third response, {"prompt", "chosen", "rejected", "reference_response"},
// which the model that starts the round wrote greedily.
//
//   build/release/bin/train_selm MODEL_FOLDER TRAIN.jsonl EVAL.jsonl RUN_DIRECTORY
#include <libpref/pref.h>

#include <cstdio>

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::fprintf(stderr, "usage: train_selm MODEL_FOLDER TRAIN.jsonl EVAL.jsonl RUN_DIRECTORY\n");
    return 64;
  }
  pref::Model policy = pref::load_model(argv[1]);
  const auto train = pref::load_preferences({argv[2]}, policy.tokenizer(),
                                            {.max_length = 1024, .reference_response = true});
  const auto eval = pref::load_preferences({argv[3]}, policy.tokenizer(),
                                           {.max_length = 1024, .reference_response = true});

  // DPO, and a term that lowers the likelihood of the reference's own answer; it has no lower bound,
  // so alpha is small and preference/exploration is worth watching.
  pref::SELMTrainer trainer(policy, {.beta = 0.01, .alpha = 1e-3},
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
