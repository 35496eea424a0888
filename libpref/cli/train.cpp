// SPDX-License-Identifier: Apache-2.0
#include <c10/util/Exception.h>
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
#include "libpref/data/hub_cache.h"
#include "libpref/data/model_folder/model_folder.h"
#include "libpref/data/unpaired.h"
#include "libpref/objectives/compat.h"
#include "libpref/objectives/objective_settings.h"
#include "libpref/train/memory_plan.h"
#include "libpref/train/trainer.h"

namespace pref::cli {
namespace {

enum class TrainerKind { dpo, simpo, wpo, selm, kto, sft };
constexpr std::array<EnumName<TrainerKind>, 6> enum_names(TrainerKind) {
  return {{{TrainerKind::dpo, "dpo"},
           {TrainerKind::simpo, "simpo"},
           {TrainerKind::wpo, "wpo"},
           {TrainerKind::selm, "selm"},
           {TrainerKind::kto, "kto"},
           {TrainerKind::sft, "sft"}}};
}

// Everything of a run but the objective's own options, which make_objective takes.
struct RunConfig {
  TrainerKind trainer = TrainerKind::dpo;
  std::string model_name_or_path;
  std::string device = "auto";
  DType dtype = DType::automatic;
  bool fp32_gradients = false;
  std::vector<std::string> eval_dataset_name;
  DataOptions data;
  TrainerOptions train;
  std::vector<std::string> loss_type;
  std::vector<double> loss_weights;
  double sft_weight = 0;
  Compat compat = Compat::none;
  ReferenceOptions reference;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(
        "trainer", self.trainer, any(),
        "dpo, simpo, wpo (pairs weighted by the policy), selm (a third branch, "
        "reference_response), kto (unpaired feedback; pairs are taken apart) or sft (cross-entropy "
        "of the chosen response)");
    visit("model_name_or_path", self.model_name_or_path, any(), "model folder to start from");
    visit("device", self.device, any(),
          "cpu, cuda, cuda:N or auto: a CUDA device where this build can use one, else the CPU");
    visit("dtype", self.dtype, any(),
          "element type of weights and activations: auto is bfloat16 on a device (16 more bits of "
          "every weight are kept beside it, so that updates are exact as in float32) and float32 "
          "on the CPU");
    visit("fp32_gradients", self.fp32_gradients, any(),
          "keep gradients in float32 beside bfloat16 weights; worth it for many microbatches");
    visit("eval_dataset_name", self.eval_dataset_name, any(),
          "files of evaluation rows, read like dataset_name");
    visit("loss_type", self.loss_type, any(),
          "terms of the loss, below; empty: the trainer's own. With trainer: simpo, its function: "
          "sigmoid or hinge");
    visit("loss_weights", self.loss_weights, any(), "one weight per loss_type; default 1 each");
    visit("sft_weight", self.sft_weight, at_least(0),
          "adds the chosen response's cross-entropy, a mean over tokens, with this weight");
    visit("compat", self.compat, any(),
          "reads the other keys as that version of TRL does: its losses, defaults and limits");
    DataOptions::fields(self.data, visit);
    TrainerOptions::fields(self.train, visit);
    ReferenceOptions::fields(self.reference, visit);
  }
};

// Keys that users have in their files and that cannot change what libpref computes here: hub
// upload, attention switches, data loading of other programs, types that dtype decides. Reported
// once, never silently.
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

// Takes out the ignored keys, saying so.
std::vector<Setting> without_ignored(const std::vector<Setting>& settings) {
  std::vector<Setting> kept;
  std::string ignored;
  for (const Setting& s : settings) {
    if (std::find(kIgnored.begin(), kIgnored.end(), s.name) != kIgnored.end())
      ignored += (ignored.empty() ? "" : ", ") + s.name;
    else
      kept.push_back(s);
  }
  if (!ignored.empty())
    log_info("ignored, for they concern other software or cannot change the result: ", ignored);
  return kept;
}

// An option that the chosen trainer has no use for.
void refuse(const std::vector<Setting>& settings, std::string_view name, std::string_view trainer) {
  for (const Setting& s : settings)
    require(s.name != name, ErrorKind::option, "config", s.source.place, ": option \"", name,
            "\" has no effect with trainer: ", trainer, ". Remove it.");
}

// Takes the objective and its options out of the settings.
Objective objective_of(const RunConfig& run, std::vector<Setting>& settings) {
  ObjectiveChoice choice{.loss_type = run.loss_type, .loss_weights = run.loss_weights};
  switch (run.trainer) {
    case TrainerKind::sft:
      for (const char* name : {"loss_type", "loss_weights", "sft_weight"})
        refuse(settings, name, "sft");
      choice.loss_type = {"sft"};
      break;
    case TrainerKind::simpo:  // its recipes call the logit's function loss_type
      for (Setting& s : settings)
        if (s.name == "loss_type") s.name = "simpo_loss";
      refuse(settings, "loss_weights", "simpo");
      choice.loss_type = {"simpo"};
      break;
    case TrainerKind::selm:
      for (const char* name : {"loss_type", "loss_weights"}) refuse(settings, name, "selm");
      choice.loss_type = {"selm"};
      break;
    case TrainerKind::kto:
      if (choice.loss_type.empty()) choice.loss_type = {"kto"};
      break;
    case TrainerKind::wpo:
      choice.weighting = true;
      [[fallthrough]];
    case TrainerKind::dpo:
      if (choice.loss_type.empty()) choice.loss_type = {"sigmoid"};
  }
  if (run.compat != Compat::none) {
    const bool simpo = run.trainer == TrainerKind::simpo;
    require(simpo || run.trainer == TrainerKind::dpo || run.trainer == TrainerKind::wpo,
            ErrorKind::option, "config", "compat has no effect with this trainer. Remove it.");
    for (const Setting& s : settings)
      require(s.name != "sft_weight", ErrorKind::option, "config", s.source.place,
              ": option \"sft_weight\" is no option of that version. Its likelihood terms are "
              "loss_type sft, rpo_alpha and, with simpo, cpo_alpha.");
    apply_compat(run.compat, simpo ? CompatTrainer::simpo : CompatTrainer::dpo, choice, settings);
  }
  if (run.sft_weight > 0) {
    if (choice.loss_weights.empty()) choice.loss_weights.assign(choice.loss_type.size(), 1.0);
    choice.loss_type.push_back("sft");
    choice.loss_weights.push_back(run.sft_weight);
  }
  return make_objective(choice, settings);
}

PreferenceTrainer* running = nullptr;  // for the signal handler
extern "C" void stop_running(int) {
  if (running) running->request_stop();
}

int run_training(const RunConfig& run, const Objective& objective, std::ostream& out) {
  const auto require_path = [](bool given, const char* name) {
    require(given, ErrorKind::option, "config", "option \"", name, "\" is required and missing.");
  };
  require_path(!run.model_name_or_path.empty(), "model_name_or_path");
  require_path(!run.data.names().empty(), "dataset_name");
  require_path(!run.train.output_dir.empty(), "output_dir");
  require(run.train.eval_strategy == Interval::no || !run.eval_dataset_name.empty(),
          ErrorKind::option, "config", "eval_strategy needs eval_dataset_name.");
  require(
      run.eval_dataset_name.empty() || run.train.eval_strategy != Interval::no, ErrorKind::option,
      "config",
      "eval_dataset_name has no effect with eval_strategy: no. Set eval_strategy: steps or epoch.");

  const Placement placement = place(run.device, run.dtype, run.fp32_gradients);
  const DecoderConfig config = read_decoder_config(resolve_model_folder(run.model_name_or_path));
  const bool other_reference = run.reference.ref_model_name_or_path.has_value();
  const MemoryPlan plan = plan_memory(config, run.train, placement, other_reference);
  log_lines(LogLevel::info, "memory plan:\n" + plan.text());
  if (const auto free = ops::free_memory(placement.device))
    require_fits(plan, *free, config, run.train, placement, other_reference);
  Model model = load_model(run.model_name_or_path, {.placement = placement});
  DataOptions data = run.data;
  data.reference_response = objective.explores();
  const auto load = [&](const std::vector<std::string>& names) {
    PreferenceData rows = load_preferences(names, model.tokenizer(), data);
    if (!has(objective.needs(), Needs::label)) return rows;
    const size_t read = rows.rows.size();
    rows = unpaired(std::move(rows));
    if (rows.rows.size() != read)
      log_info(objective.name(), " takes unpaired feedback: ", read, " rows became ",
               rows.rows.size(), " responses");
    return has(objective.needs(), Needs::mismatched)
               ? with_mismatched_responses(std::move(rows), data.max_length)
               : std::move(rows);
  };
  const PreferenceData train = load(data.names());
  std::map<std::string, PreferenceData> eval;
  if (!run.eval_dataset_name.empty()) eval.emplace("", load(run.eval_dataset_name));

  PreferenceTrainer trainer(model, objective, run.train, run.reference);
  running = &trainer;
  const auto previous = std::signal(SIGTERM, stop_running);
  try {
    trainer.fit(train, eval);
  } catch (...) {
    running = nullptr;
    std::signal(SIGTERM, previous);
    try {
      throw;
    } catch (const c10::OutOfMemoryError& error) {
      const std::string text = error.what_without_backtrace();
      fail(
          ErrorKind::option, "memory", text.substr(0, text.find('\n')),
          " What takes less: adam_moments_dtype: bfloat16, gradient_checkpointing: true, a smaller "
          "tokens_per_microbatch or logits_budget_mb.");
    }
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
  return "Options of CONFIG.yaml and key=value:\n" +
         render_option_help(describe_options(RunConfig{})) +
         "\nOptions of objectives (loss_type or trainer), given by their name alone, e.g. "
         "beta=0.05:\n" +
         render_option_help(describe_objectives());
}

int train(const std::string& config, const std::vector<std::string>& overrides, std::ostream& out) {
  std::vector<Setting> settings = read_yaml_settings(config);
  for (const auto& argument : overrides) settings.push_back(parse_setting_argument(argument));
  settings = without_ignored(settings);
  refuse_repeated_settings(settings);
  RunConfig run;  // what chooses the objective decides which options exist
  for (const Setting& s : settings)
    for (const char* name : {"trainer", "loss_type", "loss_weights", "sft_weight", "compat"})
      if (s.name == name) set_option(run, s.name, s.text, s.source);
  const Objective objective = objective_of(run, settings);
  for (const Setting& s : settings)
    if (!known_option<RunConfig>(s.name))
      fail_unknown_objective_option(s, option_names<RunConfig>());
  apply_settings(run, settings);
  return run_training(run, objective, out);
}

}  // namespace pref::cli
