// SPDX-License-Identifier: Apache-2.0
// From nothing to a preference-tuned model in about three minutes on two cores, without a download:
//   a small world of questions with a known true reward -> a tokenizer and a llama trained on
//     mixed-quality answers (SFT)
//   -> DPO on noisy preferences -> how much better it became, measured by sampling it.
//
//   build/release/bin/quickstart [OUTPUT_FOLDER] [key=value ...]       e.g. quickstart runs/noisy
//     label_noise=0.2
//
// The last lines tell how to load the result elsewhere and how to train a model folder of your own.
#include <libpref/pref.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "examples/world/world.h"
#include "examples/world/world_scorers.h"
#include "examples/world/world_tokenizer.h"
#include "libpref/base/log.h"
#include "libpref/base/option_help.h"
#include "libpref/base/terminal.h"
#include "libpref/base/yaml.h"
#include "libpref/train/run_report.h"

namespace {

using namespace pref;

struct QuickstartOptions {
  WorldOptions world;
  int64_t vocab_size = 704, hidden_size = 160, layers = 3;
  int64_t sft_rows = 48000, sft_batch = 32, pairs = 12000, dpo_batch = 16, held_out_pairs = 500,
          samples = 200;
  double sft_learning_rate = 2e-3, dpo_learning_rate = 1.5e-4, beta = 0.3, temperature = 1;
  double initializer_range = 0.05;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    WorldOptions::fields(self.world, visit);
    visit("vocab_size", self.vocab_size, at_least(320), "most pieces of the tokenizer");
    visit("hidden_size", self.hidden_size, at_least(32), "width of the model; a multiple of 32");
    visit("initializer_range", self.initializer_range, above(0),
          "standard deviation of the random weights");
    visit("layers", self.layers, at_least(1), "depth of the model");
    visit("sft_rows", self.sft_rows, at_least(1), "answers for supervised fine-tuning, one pass");
    visit("sft_batch", self.sft_batch, at_least(1), "answers per update");
    visit("pairs", self.pairs, at_least(1), "preference pairs for DPO, one pass");
    visit("dpo_batch", self.dpo_batch, at_least(1), "pairs per update");
    visit("held_out_pairs", self.held_out_pairs, at_least(1),
          "pairs of unseen prompts for the accuracy");
    visit("samples", self.samples, at_least(1), "unseen prompts answered before and after");
    visit("sft_learning_rate", self.sft_learning_rate, above(0), "peak learning rate of SFT");
    visit("dpo_learning_rate", self.dpo_learning_rate, above(0), "peak learning rate of DPO");
    visit("beta", self.beta, above(0), "DPO's inverse temperature");
    visit("temperature", self.temperature, above(0), "of the samples that are scored");
  }
};

// Answers of a model to unseen prompts, and what they are worth.
struct Answers {
  std::vector<std::string> texts;
  std::vector<TokenizedRow> rows;  // prompt and reply as ids, for log-probs
  double reward = 0, length = 0;   // means; length in tokens
};

Answers answer(Model& model, const World& world, const std::vector<std::string>& prompts,
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

// Share of pairs whose better reply, by the true reward, has the larger implicit reward; ties count
// one half.
double held_out_accuracy(PreferenceTrainer& trainer, const PreferenceData& pairs,
                         const ReferenceLogps& reference) {
  const ReferenceLogps now = trainer.reference_logps(pairs.rows);
  double sum = 0;
  for (size_t i = 0; i < pairs.rows.size(); ++i) {
    const auto p = now.row(static_cast<int64_t>(i)), r = reference.row(static_cast<int64_t>(i));
    const double margin = (p[0] - r[0]) - (p[1] - r[1]);
    sum += std::abs(margin) < 1e-4 ? 0.5 : margin > 0;
  }
  return sum / static_cast<double>(pairs.rows.size());
}

DecoderConfig model_config(const QuickstartOptions& options, int64_t vocabulary) {
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

std::string shown(double value, int digits = 2) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

int run(const std::string& folder, const QuickstartOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  require(!std::filesystem::exists(folder), ErrorKind::cannot_create, "quickstart", folder,
          " exists. Name another output folder, or remove it.");
  std::filesystem::create_directories(folder);
  const auto path = [&](const char* name) { return folder + "/" + name; };

  // The world: what is asked, what is answered, and what an answer is truly worth.
  const World world(options.world);
  const auto train_pairs = world.pairs(WorldSplit::train, options.pairs);
  const auto held_pairs = world.pairs(WorldSplit::held_out, options.held_out_pairs);
  const auto demonstrations = world.demonstrations(WorldSplit::train, options.sft_rows);
  write_pairs_jsonl(path("train.jsonl"), train_pairs);
  write_pairs_jsonl(path("held_out.jsonl"), true_order(held_pairs));
  write_demonstrations_jsonl(path("sft.jsonl"), demonstrations);
  const double bayes = bayes_accuracy(held_pairs),
               blind = blind_scorer_accuracy(train_pairs, held_pairs);
  const double by_length = length_scorer_accuracy(train_pairs, held_pairs);
  std::printf("\nA pair of the world:\n  prompt    %s\n  chosen    %s\n  rejected  %s\n",
              train_pairs[0].prompt.c_str(), train_pairs[0].chosen.c_str(),
              train_pairs[0].rejected.c_str());
  std::printf(
      "Its labels: the best possible scorer agrees with %s of them, one that never sees the prompt "
      "with %s, length alone with %s.\n\n",
      shown(bayes).c_str(), shown(blind).c_str(), shown(by_length).c_str());
  std::fflush(stdout);

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

  std::vector<std::string> prompts;
  for (const auto& prompt : world.prompts(WorldSplit::held_out, options.samples))
    prompts.push_back(prompt);
  const Answers before = answer(model, world, prompts, options.temperature);

  // DPO: preferences alone, no reward is shown to the model.
  const auto pairs = load_preferences({path("train.jsonl")}, *tokenizer);
  const auto held_out = load_preferences({path("held_out.jsonl")}, *tokenizer);
  DPOTrainer dpo(model, {.beta = options.beta},
                 {.output_dir = path("dpo"),
                  .learning_rate = options.dpo_learning_rate,
                  .lr_scheduler_type = ScheduleKind::linear,
                  .warmup_ratio = 0.1,
                  .num_train_epochs = 1,
                  .per_device_train_batch_size = options.dpo_batch,
                  .optimizer = {.adam_beta2 = 0.98},
                  .tokens_per_microbatch = 2048,
                  .logging_steps = 5,
                  .eval_strategy = Interval::steps,
                  .eval_steps = 250,
                  .save_strategy = Interval::no});
  const ReferenceLogps reference = dpo.reference_logps(held_out.rows);
  const double accuracy_before = held_out_accuracy(dpo, held_out, reference);
  dpo.fit(pairs, {{"", held_out}});
  const double accuracy_after = held_out_accuracy(dpo, held_out, reference);
  const Answers after = answer(model, world, prompts, options.temperature);

  // KL(tuned || start) per reply, from the tuned model's own samples: mean of log p_tuned - log
  // p_start.
  Model start_model = load_model(path("sft/model"));
  SFTTrainer start_scorer(start_model, {.save_strategy = Interval::no});
  const auto tuned_logps = dpo.reference_logps(after.rows).values(),
             start_logps = start_scorer.reference_logps(after.rows).values();
  double kl = 0;
  for (size_t i = 0; i < tuned_logps.size(); ++i)
    kl += (tuned_logps[i] - start_logps[i]) / static_cast<double>(tuned_logps.size());

  // What came of it: table, curves, samples; the same as a page.
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::vector<std::pair<std::string, std::pair<std::string, std::string>>> table = {
      {"held-out pair accuracy", {shown(accuracy_before), shown(accuracy_after)}},
      {"true reward of a sampled reply", {shown(before.reward), shown(after.reward)}},
      {"KL to the start, nats per reply", {shown(0), shown(kl)}},
      {"length of a reply, tokens", {shown(before.length, 1), shown(after.length, 1)}}};
  const RunMetrics metrics = read_run_metrics(path("dpo/metrics.jsonl")),
                   sft_metrics = read_run_metrics(path("sft/metrics.jsonl"));
  ReportData report;
  report.title = "libpref quickstart";
  report.subtitle =
      "DPO on a small world with a known true reward; every figure is of unseen prompts.";
  for (const auto& [name, values] : table)
    report.summary.push_back({name, values.first + " before, " + values.second + " after"});
  report.summary.insert(report.summary.end(),
                        {{"best possible agreement with the labels", shown(bayes)},
                         {"agreement of a scorer blind to the prompt", shown(blind)},
                         {"agreement of length alone", shown(by_length)},
                         {"seconds", shown(seconds, 0)}});
  report.charts = run_charts(metrics);
  report.charts.push_back(
      {"SFT loss", "nats per token", {{"train", sft_metrics.series("train", "loss")}}});
  for (size_t i = 0; i < prompts.size() && report.samples.size() < 3; ++i)
    if (before.texts[i] != after.texts[i])
      report.samples.push_back(
          {prompts[i], before.texts[i], after.texts[i],
           "true reward " + shown(world.true_reward(prompts[i], before.texts[i])),
           "true reward " + shown(world.true_reward(prompts[i], after.texts[i]))});
  report.options = {{"quickstart", describe_options(options)},
                    {"DPO", describe_options(dpo.options())}};
  write_report_html(path("report.html"), report);

  std::printf(
      "\n%s\n",
      terminal_plot({{"accuracy, training pairs", metrics.series("train", "rewards/accuracies")},
                     {"accuracy, held out", metrics.series("eval", "eval_rewards/accuracies")}},
                    78, 10)
          .c_str());
  std::printf("%-36s %10s %10s\n", "on unseen prompts", "before", "after");
  for (const auto& [name, values] : table)
    std::printf("%-36s %10s %10s\n", name.c_str(), values.first.c_str(), values.second.c_str());
  for (const auto& sample : report.samples)
    std::printf("\n  prompt  %s\n  before  %s  (%s)\n  after   %s  (%s)\n", sample.prompt.c_str(),
                sample.before.c_str(), sample.before_note.c_str(), sample.after.c_str(),
                sample.after_note.c_str());
  std::printf("\n%.0f seconds. The page: %s/report.html\n", seconds, folder.c_str());
  std::printf(
      "Load it in transformers:   python -c \"import transformers as t; m = "
      "t.AutoModelForCausalLM.from_pretrained('%s/dpo/model'); print(m)\"\n",
      folder.c_str());
  std::printf(
      "Train a folder of yours:   build/release/bin/pref train examples/configs/dpo.yaml "
      "model_name_or_path=MY_LLAMA dataset_name=MY_PAIRS.jsonl output_dir=runs/mine\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // activations stay in the heap: no page faults every step
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  QuickstartOptions options;
  std::string folder = "runs/quickstart";  // or the next that is free
  for (int n = 2; std::filesystem::exists(folder); ++n)
    folder = "runs/quickstart-" + std::to_string(n);
  std::vector<pref::Setting> settings;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--help" || word == "-h") {
      std::printf("usage: quickstart [OUTPUT_FOLDER] [key=value ...]\n\n%s",
                  pref::render_option_help(pref::describe_options(options)).c_str());
      return 0;
    }
    if (word.find('=') == std::string::npos)
      folder = word;
    else
      settings.push_back(pref::parse_setting_argument(word));
  }
  pref::apply_settings(options, settings);
  return run(folder, options);
} catch (const pref::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return error.exit_code();
}
