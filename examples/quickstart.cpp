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
#include "examples/world_training.h"
#include "libpref/base/log.h"
#include "libpref/base/option_help.h"
#include "libpref/base/terminal.h"
#include "libpref/base/yaml.h"
#include "libpref/train/run_report.h"

namespace {

using namespace pref;

struct QuickstartOptions {
  WorldOptions world;
  StartOptions start;
  int64_t pairs = 12000, dpo_batch = 16, held_out_pairs = 500, samples = 200;
  double dpo_learning_rate = 1.5e-4, beta = 0.3, temperature = 1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    WorldOptions::fields(self.world, visit);
    StartOptions::fields(self.start, visit);
    visit("pairs", self.pairs, at_least(1), "preference pairs for DPO, one pass");
    visit("dpo_batch", self.dpo_batch, at_least(1), "pairs per update");
    visit("held_out_pairs", self.held_out_pairs, at_least(1),
          "pairs of unseen prompts for the accuracy");
    visit("samples", self.samples, at_least(1), "unseen prompts answered before and after");
    visit("dpo_learning_rate", self.dpo_learning_rate, above(0), "peak learning rate of DPO");
    visit("beta", self.beta, above(0), "DPO's inverse temperature");
    visit("temperature", self.temperature, above(0), "of the samples that are scored");
  }
};

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
  write_pairs_jsonl(path("train.jsonl"), train_pairs);
  write_pairs_jsonl(path("held_out.jsonl"), true_order(held_pairs));
  const double bayes = bayes_accuracy(held_pairs),
               blind = blind_scorer_accuracy(train_pairs, held_pairs);
  const double by_length = length_scorer_accuracy(train_pairs, held_pairs);
  std::printf("\nA pair of the world:\n  prompt    %s\n  chosen    %s\n  rejected  %s\n",
              train_pairs[0].prompt.c_str(), train_pairs[0].chosen.c_str(),
              train_pairs[0].rejected.c_str());
  std::printf(
      "Its labels: the best possible scorer agrees with %s of them, one that never sees the prompt "
      "with %s, length alone with %s.\n\n",
      decimals(bayes).c_str(), decimals(blind).c_str(), decimals(by_length).c_str());
  std::fflush(stdout);

  // Supervised fine-tuning: the model learns the language and the habits, good and bad, of the
  // answers.
  Model model = train_start(world, options.start, folder);
  const Tokenizer* tokenizer = &model.tokenizer();

  std::vector<std::string> prompts;
  for (const auto& prompt : world.prompts(WorldSplit::held_out, options.samples))
    prompts.push_back(prompt);
  const Answers before = answer_prompts(model, world, prompts, options.temperature);

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
  const Answers after = answer_prompts(model, world, prompts, options.temperature);

  const double kl = kl_to_start(dpo, path("sft/model"), after.rows);

  // What came of it: table, curves, samples; the same as a page.
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::vector<std::pair<std::string, std::pair<std::string, std::string>>> table = {
      {"held-out pair accuracy", {decimals(accuracy_before), decimals(accuracy_after)}},
      {"true reward of a sampled reply", {decimals(before.reward), decimals(after.reward)}},
      {"KL to the start, nats per reply", {decimals(0), decimals(kl)}},
      {"length of a reply, tokens", {decimals(before.length, 1), decimals(after.length, 1)}}};
  const RunMetrics metrics = read_run_metrics(path("dpo/metrics.jsonl")),
                   sft_metrics = read_run_metrics(path("sft/metrics.jsonl"));
  ReportData report;
  report.title = "libpref quickstart";
  report.subtitle =
      "DPO on a small world with a known true reward; every figure is of unseen prompts.";
  for (const auto& [name, values] : table)
    report.summary.push_back({name, values.first + " before, " + values.second + " after"});
  report.summary.insert(report.summary.end(),
                        {{"best possible agreement with the labels", decimals(bayes)},
                         {"agreement of a scorer blind to the prompt", decimals(blind)},
                         {"agreement of length alone", decimals(by_length)},
                         {"seconds", decimals(seconds, 0)}});
  report.charts = run_charts(metrics);
  report.charts.push_back(
      {"SFT loss", "nats per token", {{"train", sft_metrics.series("train", "loss")}}});
  for (size_t i = 0; i < prompts.size() && report.samples.size() < 3; ++i)
    if (before.texts[i] != after.texts[i])
      report.samples.push_back(
          {prompts[i], before.texts[i], after.texts[i],
           "true reward " + decimals(world.true_reward(prompts[i], before.texts[i])),
           "true reward " + decimals(world.true_reward(prompts[i], after.texts[i]))});
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
