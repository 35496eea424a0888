// SPDX-License-Identifier: Apache-2.0
#include "examples/world_training.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/world/world_tokenizer.h"

namespace pref {
namespace {

DecoderConfig model_config(const StartOptions& options, int64_t vocabulary) {
  DecoderConfig config;
  config.model_type = "llama";
  config.hidden_size = options.hidden_size;
  config.intermediate_size = options.hidden_size * 8 / 3 / 32 * 32;
  config.num_hidden_layers = options.layers;
  config.head_dim = 32;
  config.num_attention_heads = config.num_key_value_heads = options.hidden_size / config.head_dim;
  config.vocab_size = vocabulary;
  config.max_position_embeddings = 256;
  config.rms_norm_eps = 1e-5;
  config.layer_window.assign(static_cast<size_t>(options.layers), 0);
  config.tie_word_embeddings = true;  // to repeat a word of the prompt is then one step
  config.bos_token_id = 1;
  config.eos_token_id = 2;
  return config;
}

}  // namespace

Model train_start(const World& world, const StartOptions& options, const std::string& folder) {
  const auto path = [&](const char* name) { return folder + "/" + name; };
  const auto demonstrations = world.demonstrations(WorldSplit::train, options.sft_rows);
  write_demonstrations_jsonl(path("sft.jsonl"), demonstrations);
  // A tokenizer and a random llama.
  std::vector<std::string> sentences;
  for (size_t i = 0; i < std::min<size_t>(demonstrations.size(), 8000); ++i) {
    sentences.push_back(demonstrations[i].prompt);
    sentences.push_back(demonstrations[i].completion);
  }
  train_sentencepiece(sentences, options.vocab_size, path("tokenizer"));
  const auto tokenizer = load_tokenizer(path("tokenizer"));
  Model model(model_config(options, tokenizer->vocab_size()), tokenizer, {}, path("tokenizer"));
  initialize_weights(model, 1, options.initializer_range);

  // Supervised fine-tuning: the model learns the language and the habits, good and bad, of the
  // answers.
  const auto sft_data = load_preferences({path("sft.jsonl")}, *tokenizer);
  SFTTrainer sft(model, {.output_dir = path("sft"),
                         .learning_rate = options.sft_learning_rate,
                         .lr_scheduler_type = ScheduleKind::cosine,
                         .warmup_ratio = 0.05,
                         .num_train_epochs = 1,
                         .per_device_train_batch_size = options.sft_batch,
                         .optimizer = {.adam_beta2 = 0.98},
                         .tokens_per_microbatch = 2048,
                         .save_strategy = Interval::no});
  sft.fit(sft_data);
  return model;
}

Answers answer_prompts(Model& model, const World& world, const std::vector<std::string>& prompts,
                       double temperature) {
  const Tokenizer& tokenizer = model.tokenizer();
  std::vector<std::vector<int32_t>> ids;
  for (const auto& prompt : prompts) {
    ids.push_back(tokenizer.encode(prompt));
    ids.back().insert(ids.back().begin(), *tokenizer.special().bos);
  }
  const int32_t eos = *tokenizer.special().eos;
  const auto replies =
      sample_replies(model.network(), ids, eos, {.max_new_tokens = 40, .temperature = temperature});
  Answers out;
  for (size_t i = 0; i < replies.size(); ++i) {
    std::vector<int32_t> text = replies[i].ids;
    if (replies[i].ended) text.pop_back();
    out.texts.push_back(tokenizer.decode(text));
    while (out.texts.back().starts_with(' ')) out.texts.back().erase(0, 1);
    out.rows.push_back({.id = std::to_string(i), .prompt = ids[i], .branches = {replies[i].ids}});
    out.reward +=
        world.true_reward(prompts[i], out.texts.back()) / static_cast<double>(prompts.size());
    out.length += static_cast<double>(replies[i].ids.size()) / static_cast<double>(prompts.size());
  }
  return out;
}

double held_out_accuracy(PreferenceTrainer& trainer, const PreferenceData& pairs,
                         const ReferenceLogps& start, bool by_length) {
  const ReferenceLogps now = trainer.reference_logps(pairs.rows);
  double sum = 0;
  for (size_t i = 0; i < pairs.rows.size(); ++i) {
    const auto p = now.row(static_cast<int64_t>(i)), r = start.row(static_cast<int64_t>(i));
    const auto reward = [&](size_t k) {
      return by_length ? p[k] / static_cast<double>(pairs.rows[i].branches[k].size()) : p[k] - r[k];
    };
    const double margin = reward(0) - reward(1);
    sum += std::abs(margin) < 1e-4 ? 0.5 : margin > 0;
  }
  return sum / static_cast<double>(pairs.rows.size());
}

double kl_to_start(PreferenceTrainer& tuned, const std::string& start_folder,
                   const std::vector<TokenizedRow>& samples) {
  Model start_model = load_model(start_folder);
  SFTTrainer start(start_model, {.save_strategy = Interval::no});
  const auto p = tuned.reference_logps(samples).values(),
             q = start.reference_logps(samples).values();
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) kl += (p[i] - q[i]) / static_cast<double>(p.size());
  return kl;
}

std::string decimals(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace pref
