// SPDX-License-Identifier: Apache-2.0
// DPO with a loop of your own, in the fewest lines: load, take the reference's log-probs, step,
// save.
//
//   build/release/bin/minimal_dpo MODEL_FOLDER PAIRS.jsonl OUTPUT_FOLDER
//
// Prints one line an epoch and ends with
//   epoch 3  loss 0.4021  accuracy 0.92  margin 0.81
//   saved OUTPUT_FOLDER
#include <libpref/pref.h>

#include <algorithm>
#include <cstdio>
#include <span>

int main(int argc, char** argv) try {
  if (argc != 4) {
    std::fprintf(stderr, "usage: minimal_dpo MODEL_FOLDER PAIRS.jsonl OUTPUT_FOLDER\n");
    return 64;
  }
  // A Hugging Face folder: config.json, model.safetensors, tokenizer.model.
  pref::Model policy = pref::load_model(argv[1]);

  // Rows such as {"prompt": "...", "chosen": "...", "rejected": "..."}; a bad row is an error with
  // its place.
  const pref::PreferenceData pairs =
      pref::load_preferences({argv[2]}, policy.tokenizer(), {.max_length = 1024});

  // No output_dir: this loop writes nothing by itself.
  pref::DPOTrainer trainer(policy, {.beta = 0.1}, {.save_strategy = pref::Interval::no});

  // Before the first update the policy is the reference.
  constexpr size_t kBatch = 8;
  const std::span rows(pairs.rows);
  std::vector<pref::ReferenceLogps> reference;
  for (size_t first = 0; first < rows.size(); first += kBatch)
    reference.push_back(
        trainer.reference_logps(rows.subspan(first, std::min(kBatch, rows.size() - first))));

  for (int epoch = 1; epoch <= 3; ++epoch) {
    double loss = 0;
    pref::MetricSums metrics;
    for (size_t first = 0; first < rows.size(); first += kBatch) {
      const auto batch = rows.subspan(first, std::min(kBatch, rows.size() - first));
      const pref::UpdateResult update =
          trainer.step(batch, reference[first / kBatch], /*learning_rate=*/1e-5);
      loss += update.loss * static_cast<double>(batch.size());
      metrics.merge(update.metrics);
    }
    std::printf("epoch %d  loss %.4f  accuracy %.2f  margin %.2f\n", epoch,
                loss / static_cast<double>(rows.size()), metrics.mean("rewards/accuracies"),
                metrics.mean("rewards/margins"));
  }
  policy.save(argv[3]);  // transformers loads it
  std::printf("saved %s\n", argv[3]);
} catch (const pref::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return error.exit_code();
}
