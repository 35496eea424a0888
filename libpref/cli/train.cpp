// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <ostream>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/base/log.h"
#include "libpref/base/option_help.h"
#include "libpref/base/yaml.h"
#include "libpref/cli/commands.h"
#include "libpref/train/memory_plan.h"
#include "libpref/train/trainer.h"

namespace pref::cli {
namespace {

enum class TrainerKind { dpo, sft };
constexpr std::array<EnumName<TrainerKind>, 2> enum_names(TrainerKind) {
  return {{{TrainerKind::dpo, "dpo"}, {TrainerKind::sft, "sft"}}};
}

struct SFTRun {
  TrainerKind trainer = TrainerKind::dpo;
  std::string model_name_or_path;
  std::vector<std::string> eval_dataset_name;
  DataOptions data;
  TrainerOptions train;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("trainer", self.trainer, any(),
          "what is trained: dpo, or sft (cross-entropy of the chosen response)");
    visit("model_name_or_path", self.model_name_or_path, any(), "model folder to start from");
    visit("eval_dataset_name", self.eval_dataset_name, any(),
          "files of evaluation rows, read like dataset_name");
    DataOptions::fields(self.data, visit);
    TrainerOptions::fields(self.train, visit);
  }
};

struct DPORun : SFTRun {
  DPO objective;
  std::vector<std::string> loss_type = {"sigmoid"};
  std::vector<double> loss_weights;
  ReferenceOptions reference;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    SFTRun::fields(self, visit);
    DPO::fields(self.objective, visit);
    visit("loss_type", self.loss_type, any(),
          "terms of the loss: sigmoid, sft (cross-entropy of the chosen response)");
    visit("loss_weights", self.loss_weights, any(), "one weight per loss_type; default 1 each");
    ReferenceOptions::fields(self.reference, visit);
  }
};

// Keys that users have in their files and that cannot change what libpref computes here: hub
// upload, attention switches, data loading of other programs, performance keys of paths that do not
// exist on a CPU. Reported once, never silently.
constexpr std::array kIgnored = {"attn_implementation",
                                 "bf16",
                                 "bf16_full_eval",
                                 "dataloader_num_workers",
                                 "dataset_num_proc",
                                 "dataset_split",
                                 "dataset_test_split",
                                 "dataset_train_split",
                                 "ddp_timeout",
                                 "do_eval",
                                 "do_train",
                                 "fp16",
                                 "gradient_checkpointing",
                                 "gradient_checkpointing_kwargs",
                                 "hub_model_id",
                                 "hub_strategy",
                                 "log_level",
                                 "model_revision",
                                 "overwrite_output_dir",
                                 "per_device_eval_batch_size",
                                 "precompute_ref_batch_size",
                                 "precompute_ref_log_probs",
                                 "push_to_hub",
                                 "remove_unused_columns",
                                 "report_to",
                                 "run_name",
                                 "tf32",
                                 "torch_dtype",
                                 "trust_remote_code",
                                 "use_liger_kernel",
                                 "padding_free",
                                 "disable_dropout"};

// Takes out the ignored keys, saying so, and refuses keys that another trainer knows and `Run` does
// not.
template <class Run>
std::vector<Setting> relevant(const std::vector<Setting>& settings) {
  std::vector<Setting> kept;
  std::string ignored;
  for (const Setting& s : settings) {
    if (std::find(kIgnored.begin(), kIgnored.end(), s.name) != kIgnored.end()) {
      ignored += (ignored.empty() ? "" : ", ") + s.name;
      continue;
    }
    require(known_option<Run>(s.name) || !known_option<DPORun>(s.name), ErrorKind::option, "config",
            s.source.place, ": option \"", s.name,
            "\" has no effect with trainer: sft. Remove it, or choose trainer: dpo.");
    kept.push_back(s);
  }
  if (!ignored.empty())
    log_info("ignored, for they concern other software or cannot change the result: ", ignored);
  return kept;
}

Objective objective_of(const DPORun& run) {
  require(run.loss_weights.empty() || run.loss_weights.size() == run.loss_type.size(),
          ErrorKind::option, "config", "loss_weights must have one weight per loss_type (",
          run.loss_type.size(), "), got ", run.loss_weights.size(), ".");
  std::vector<WeightedTerm> terms;
  for (size_t i = 0; i < run.loss_type.size(); ++i) {
    Term term = make_term(run.loss_type[i]);
    if (auto* dpo = std::get_if<DPO>(&term)) *dpo = run.objective;
    terms.push_back({std::move(term), run.loss_weights.empty() ? 1.0 : run.loss_weights[i]});
  }
  return Objective(std::move(terms));
}

PreferenceTrainer* running = nullptr;  // for the signal handler
extern "C" void stop_running(int) {
  if (running) running->request_stop();
}

template <class Run>
int run_training(const Run& run, const Objective& objective, const ReferenceOptions& reference,
                 std::ostream& out) {
  const auto require_path = [](bool given, const char* name) {
    require(given, ErrorKind::option, "config", "option \"", name, "\" is required and missing.");
  };
  require_path(!run.model_name_or_path.empty(), "model_name_or_path");
  require_path(!run.data.dataset_name.empty(), "dataset_name");
  require_path(!run.train.output_dir.empty(), "output_dir");
  require(run.train.eval_strategy == Interval::no || !run.eval_dataset_name.empty(),
          ErrorKind::option, "config", "eval_strategy needs eval_dataset_name.");
  require(
      run.eval_dataset_name.empty() || run.train.eval_strategy != Interval::no, ErrorKind::option,
      "config",
      "eval_dataset_name has no effect with eval_strategy: no. Set eval_strategy: steps or epoch.");

  Model model = load_model(run.model_name_or_path);
  log_lines(LogLevel::info, "memory plan:\n" + plan_memory(model.config(), run.train).text());
  const PreferenceData train = load_preferences(run.data.dataset_name, model.tokenizer(), run.data);
  std::map<std::string, PreferenceData> eval;
  if (!run.eval_dataset_name.empty())
    eval.emplace("", load_preferences(run.eval_dataset_name, model.tokenizer(), run.data));

  PreferenceTrainer trainer(model, objective, run.train, reference);
  running = &trainer;
  const auto previous = std::signal(SIGTERM, stop_running);
  try {
    trainer.fit(train, eval);
  } catch (...) {
    running = nullptr;
    std::signal(SIGTERM, previous);
    throw;
  }
  running = nullptr;
  std::signal(SIGTERM, previous);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  out << JsonObject()
             .add("output_dir", run.train.output_dir)
             .add("model", run.train.output_dir + "/model")
             .add("steps", trainer.steps_done())
             .add("peak_rss_mb", static_cast<double>(usage.ru_maxrss) / 1024)
             .str()
      << "\n";
  return 0;
}

}  // namespace

std::string train_help() {
  return "Options of CONFIG.yaml and key=value:\n" + render_option_help(describe_options(DPORun{}));
}

int train(const std::string& config, const std::vector<std::string>& overrides, std::ostream& out) {
  std::vector<Setting> settings = read_yaml_settings(config);
  for (const auto& argument : overrides) settings.push_back(parse_setting_argument(argument));
  SFTRun choice;  // which trainer decides which options exist
  for (const Setting& s : settings)
    if (s.name == "trainer") set_option(choice, s.name, s.text, s.source);
  if (choice.trainer == TrainerKind::sft) {
    SFTRun run;
    apply_settings(run, relevant<SFTRun>(settings));
    return run_training(run, Objective(SFT{}), {}, out);
  }
  DPORun run;
  apply_settings(run, relevant<DPORun>(settings));
  return run_training(run, objective_of(run), run.reference, out);
}

}  // namespace pref::cli
