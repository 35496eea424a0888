// SPDX-License-Identifier: Apache-2.0
// Models in the small world: the one that programs start from, and how well a model does there.
#pragma once
#include <libpref/pref.h>

#include <string>
#include <vector>

#include "examples/world/world.h"

namespace pref {

/// The model that preference optimization starts from: a random llama, tuned on answers of mixed
/// quality.
struct StartOptions {
  int64_t vocab_size = 704, hidden_size = 160, layers = 3;
  int64_t sft_rows = 48000, sft_batch = 32;
  double sft_learning_rate = 2e-3, initializer_range = 0.05;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("vocab_size", self.vocab_size, at_least(320), "most pieces of the tokenizer");
    visit("hidden_size", self.hidden_size, at_least(32), "width of the model; a multiple of 32");
    visit("layers", self.layers, at_least(1), "depth of the model");
    visit("initializer_range", self.initializer_range, above(0),
          "standard deviation of the random weights");
    visit("sft_rows", self.sft_rows, at_least(1), "answers for supervised fine-tuning, one pass");
    visit("sft_batch", self.sft_batch, at_least(1), "answers per update");
    visit("sft_learning_rate", self.sft_learning_rate, above(0), "peak learning rate of SFT");
  }
};

/// Makes tokenizer/, sft.jsonl and sft/ (with sft/model) in `folder`; returns the tuned model.
Model train_start(const World& world, const StartOptions& options, const std::string& folder);

/// Answers of a model to prompts, and what they are worth.
struct Answers {
  std::vector<std::string> texts;
  std::vector<TokenizedRow> rows;  ///< prompt and reply as ids, for log-probs
  double reward = 0, length = 0;   ///< means; length in tokens
};
Answers answer_prompts(Model& model, const World& world, const std::vector<std::string>& prompts,
                       double temperature);

/// Share of pairs whose better reply, by the true reward, has the larger implicit reward; ties count
/// one half. `start`: log-probs of the pairs under the model before training, nats; by_length
/// compares log-probs per token instead, as objectives without a reference do.
double held_out_accuracy(PreferenceTrainer& trainer, const PreferenceData& pairs,
                         const ReferenceLogps& start, bool by_length = false);

/// KL(tuned || start) per reply, nats: the mean over the tuned model's own samples of
/// log p_tuned - log p_start.
double kl_to_start(PreferenceTrainer& tuned, const std::string& start_folder,
                   const std::vector<TokenizedRow>& samples);

/// The program's `value` with `digits` decimals.
std::string decimals(double value, int digits = 2);

}  // namespace pref
