// SPDX-License-Identifier: Apache-2.0
// What each objective is for: DPO, SimPO, WPO and SELM from the same start, on the same pairs of the
// quickstart's world, with clean labels, with noisy ones and with labels that favour length. True
// reward, KL to the start, length and accuracy side by side, as a table, a CSV file and a page.
//
//   build/release/bin/compare_objectives [OUTPUT_FOLDER] [key=value ...]   e.g. pairs=2000 seed=2
#include <libpref/pref.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>

#include "examples/world/world.h"
#include "examples/world_training.h"
#include "libpref/base/file_system.h"
#include "libpref/base/log.h"
#include "libpref/base/option_help.h"
#include "libpref/base/yaml.h"
#include "libpref/train/run_report.h"

namespace {

using namespace pref;

struct CompareOptions {
  StartOptions start{.sft_rows = 32000};
  int64_t seed = 1, pairs = 6000, batch = 16, held_out_pairs = 500, samples = 400;
  bool start_only = false;
  double label_noise = 0.25, length_bias = 0.5, temperature = 1;
  double dpo_learning_rate = 1.5e-4, dpo_beta = 0.3;
  double simpo_learning_rate = 1e-4, simpo_beta = 2, simpo_gamma_beta_ratio = 0.5;
  double wpo_learning_rate = 1.5e-4, wpo_beta = 0.3;
  double selm_learning_rate = 1.5e-4, selm_beta = 0.3, selm_alpha = 1e-3;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    StartOptions::fields(self.start, visit);
    visit("seed", self.seed, at_least(0), "selects prompts, replies, labels and row orders");
    visit("pairs", self.pairs, at_least(1), "preference pairs, one pass");
    visit("batch", self.batch, at_least(1), "pairs per update");
    visit("held_out_pairs", self.held_out_pairs, at_least(1), "pairs of unseen prompts");
    visit("samples", self.samples, at_least(2), "unseen prompts answered by every model");
    visit("start_only", self.start_only, any(),
          "make the start model and the files of pairs, and stop");
    visit("label_noise", self.label_noise, between(0, 0.5), "flipped labels of the noisy world");
    visit("length_bias", self.length_bias, any(),
          "logits a word of the world whose labels favour length");
    visit("temperature", self.temperature, above(0), "of the samples that are scored");
    visit("dpo_learning_rate", self.dpo_learning_rate, above(0), "peak rate");
    visit("dpo_beta", self.dpo_beta, above(0), "inverse temperature");
    visit("simpo_learning_rate", self.simpo_learning_rate, above(0), "peak rate");
    visit("simpo_beta", self.simpo_beta, above(0), "scale of the mean log-prob");
    visit("simpo_gamma_beta_ratio", self.simpo_gamma_beta_ratio, at_least(0),
          "target margin over beta");
    visit("wpo_learning_rate", self.wpo_learning_rate, above(0), "peak rate");
    visit("wpo_beta", self.wpo_beta, above(0), "inverse temperature");
    visit("selm_learning_rate", self.selm_learning_rate, above(0), "peak rate");
    visit("selm_beta", self.selm_beta, above(0), "inverse temperature");
    visit("selm_alpha", self.selm_alpha, at_least(0), "weight of the exploration part");
  }
};

struct Contender {
  std::string name;
  double learning_rate;
  std::function<Objective()> objective;
};

struct Outcome {
  std::string labels, objective;
  double reward = 0, reward_error = 0, kl = 0, length = 0, accuracy = 0;
};

double standard_error(const std::vector<double>& values, double mean) {
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  const double n = static_cast<double>(values.size());
  return std::sqrt(sum / (n - 1) / n);
}

// Rows with the start model's most probable answer as a third branch.
PreferenceData with_reference_responses(PreferenceData pairs, Model& start) {
  std::vector<std::vector<int32_t>> prompts;
  for (const auto& row : pairs.rows) prompts.push_back(row.prompt);
  const auto replies = sample_replies(start.network(), prompts, *start.tokenizer().special().eos,
                                      {.max_new_tokens = 40, .temperature = 0});
  for (size_t i = 0; i < replies.size(); ++i) pairs.rows[i].branches.push_back(replies[i].ids);
  pairs.digest = digest_rows(pairs.rows);
  return pairs;
}

class Comparison {
 public:
  Comparison(std::string folder, const CompareOptions& options)
      : folder_(std::move(folder)), options_(options) {}

  int run() {
    require(!std::filesystem::exists(folder_), ErrorKind::cannot_create, "compare_objectives",
            folder_, " exists. Name another output folder, or remove it.");
    std::filesystem::create_directories(folder_);
    const World clean({.seed = options_.seed});
    prompts_ = clean.prompts(WorldSplit::held_out, options_.samples);
    {
      Model start = train_start(clean, options_.start, folder_);
      const Answers before = answer_prompts(start, clean, prompts_, options_.temperature);
      outcomes_.push_back(scored({"", "start"}, clean, before));
    }
    const std::vector<std::pair<std::string, World>> worlds = {
        {"clean", clean},
        {"noisy", World({.seed = options_.seed, .label_noise = options_.label_noise})},
        {"length-biased", World({.seed = options_.seed, .length_bias = options_.length_bias})}};
    for (const auto& [labels, world] : worlds) {
      write_pairs_jsonl(path(labels + ".jsonl"), world.pairs(WorldSplit::train, options_.pairs));
      write_pairs_jsonl(path(labels + "-held_out.jsonl"),
                        true_order(world.pairs(WorldSplit::held_out, options_.held_out_pairs)));
    }
    for (const auto& [labels, world] : worlds)
      if (!options_.start_only) run_world(labels, world);
    show();
    return 0;
  }

 private:
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::vector<Contender> contenders() const {
    const CompareOptions& o = options_;
    return {{"dpo", o.dpo_learning_rate, [&o] { return Objective(DPO{.beta = o.dpo_beta}); }},
            {"simpo", o.simpo_learning_rate,
             [&o] {
               return Objective(
                   SimPO{.beta = o.simpo_beta, .gamma_beta_ratio = o.simpo_gamma_beta_ratio});
             }},
            {"wpo", o.wpo_learning_rate,
             [&o] {
               return Objective({{DPO{.beta = o.wpo_beta}, 1}}, {.weighting = Weighting{}});
             }},
            {"selm", o.selm_learning_rate,
             [&o] { return Objective(SELM{.beta = o.selm_beta, .alpha = o.selm_alpha}); }}};
  }

  Outcome scored(Outcome outcome, const World& world, const Answers& answers) const {
    std::vector<double> rewards;
    for (size_t i = 0; i < prompts_.size(); ++i)
      rewards.push_back(world.true_reward(prompts_[i], answers.texts[i]));
    outcome.reward = answers.reward;
    outcome.reward_error = standard_error(rewards, answers.reward);
    outcome.length = answers.length;
    return outcome;
  }

  void run_world(const std::string& labels, const World& world) {
    ReportChart chart{.title = "Held-out accuracy, " + labels + " labels",
                      .y_label = "share of pairs by the true reward",
                      .series = {}};
    for (const Contender& contender : contenders()) {
      Model model = load_model(path("sft/model"));
      const Objective objective = contender.objective();
      PreferenceData pairs = load_preferences({path(labels + ".jsonl")}, model.tokenizer());
      PreferenceData held_out =
          load_preferences({path(labels + "-held_out.jsonl")}, model.tokenizer());
      const PreferenceData plain_held_out = held_out;
      if (objective.explores()) {
        pairs = with_reference_responses(std::move(pairs), model);
        held_out = with_reference_responses(std::move(held_out), model);
      }
      const std::string run = path(labels + "-" + contender.name);
      PreferenceTrainer trainer(model, objective,
                                {.output_dir = run,
                                 .learning_rate = contender.learning_rate,
                                 .lr_scheduler_type = ScheduleKind::linear,
                                 .warmup_ratio = 0.1,
                                 .num_train_epochs = 1,
                                 .per_device_train_batch_size = options_.batch,
                                 .optimizer = {.adam_beta2 = 0.98},
                                 .seed = options_.seed,
                                 .tokens_per_microbatch = 2048,
                                 .eval_strategy = Interval::steps,
                                 .eval_steps = 125,
                                 .save_strategy = Interval::no});
      const ReferenceLogps start = trainer.reference_logps(plain_held_out.rows);
      trainer.fit(pairs, {{"", held_out}});
      const Answers answers = answer_prompts(model, world, prompts_, options_.temperature);
      Outcome outcome = scored({labels, contender.name}, world, answers);
      outcome.kl = kl_to_start(trainer, path("sft/model"), answers.rows);
      outcome.accuracy = held_out_accuracy(trainer, plain_held_out, start,
                                           !has(objective.needs(), Needs::reference));
      outcomes_.push_back(outcome);
      chart.series.push_back(
          {contender.name,
           read_run_metrics(run + "/metrics.jsonl").series("eval", "eval_rewards/accuracies")});
    }
    charts_.push_back(std::move(chart));
  }

  void write_new(const std::string& name, const std::string& text) const {
    const auto file = posix_file_system().create(path(name));
    file->write(text);
    file->close();
  }

  // One line an objective over the kinds of labels, and the start's level.
  ReportChart by_labels(const std::string& title, double Outcome::*value) const {
    ReportChart chart{.title = title,
                      .y_label = "",
                      .series = {},
                      .x_label = "labels: 0 clean, 1 noisy, 2 favour length"};
    std::vector<std::string> kinds;
    for (const Outcome& o : outcomes_) {
      if (!o.labels.empty() && std::find(kinds.begin(), kinds.end(), o.labels) == kinds.end())
        kinds.push_back(o.labels);
      auto series = std::find_if(chart.series.begin(), chart.series.end(),
                                 [&](const ReportSeries& s) { return s.name == o.objective; });
      if (series == chart.series.end())
        series = chart.series.insert(chart.series.end(), {o.objective, {}});
      if (o.labels.empty())
        series->points = {{0, o.*value}, {2, o.*value}};
      else
        series->points.emplace_back(static_cast<double>(kinds.size() - 1), o.*value);
    }
    return chart;
  }

  void show() const {
    const char* header = "labels,objective,reward,reward_error,kl,length,accuracy\n";
    std::string csv = header;
    std::printf("\n%-14s %-7s %15s %8s %8s %9s\n", "labels", "", "true reward", "KL", "length",
                "accuracy");
    ReportData report{
        .title = "Four objectives in one world",
        .subtitle = "The same start, the same pairs; every figure is of unseen prompts."};
    for (const Outcome& o : outcomes_) {
      const bool start = o.labels.empty();
      const std::string reward = decimals(o.reward) + " +- " + decimals(o.reward_error);
      std::printf("%-14s %-7s %15s %8s %8s %9s\n", start ? "-" : o.labels.c_str(),
                  o.objective.c_str(), reward.c_str(), decimals(o.kl).c_str(),
                  decimals(o.length, 1).c_str(), start ? "-" : decimals(o.accuracy, 3).c_str());
      report.summary.push_back({(start ? "" : o.labels + ", ") + o.objective,
                                "reward " + reward + ", KL " + decimals(o.kl) + ", length " +
                                    decimals(o.length, 1) +
                                    (start ? "" : ", accuracy " + decimals(o.accuracy, 3))});
      csv += (start ? "-" : o.labels) + "," + o.objective + "," + decimals(o.reward, 4) + "," +
             decimals(o.reward_error, 4) + "," + decimals(o.kl, 4) + "," + decimals(o.length, 3) +
             "," + (start ? "" : decimals(o.accuracy, 4)) + "\n";
    }
    report.charts = charts_;
    for (const auto& [name, label, value] :
         {std::tuple("reward", "true reward of a sampled reply", &Outcome::reward),
          std::tuple("length", "length of a sampled reply, tokens", &Outcome::length)}) {
      const ReportChart chart = by_labels(label, value);
      write_new(std::string(name) + ".svg", report_svg(chart));
      report.charts.insert(report.charts.begin(), chart);
    }
    report.options = {{"compare_objectives", describe_options(options_)}};
    write_report_html(path("report.html"), report);
    write_new("outcomes.csv", csv);
    std::printf("\nThe page: %s/report.html; the figures: %s/outcomes.csv\n", folder_.c_str(),
                folder_.c_str());
  }

  std::string folder_;
  CompareOptions options_;
  std::vector<std::string> prompts_;
  std::vector<Outcome> outcomes_;
  std::vector<ReportChart> charts_;
};

}  // namespace

int main(int argc, char** argv) try {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // activations stay in the heap: no page faults every step
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  CompareOptions options;
  std::string folder = "runs/compare";
  std::vector<Setting> settings;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--help" || word == "-h") {
      std::printf("usage: compare_objectives [OUTPUT_FOLDER] [key=value ...]\n\n%s",
                  render_option_help(describe_options(options)).c_str());
      return 0;
    }
    if (word.find('=') == std::string::npos)
      folder = word;
    else
      settings.push_back(parse_setting_argument(word));
  }
  apply_settings(options, settings);
  return Comparison(folder, options).run();
} catch (const pref::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return error.exit_code();
}
