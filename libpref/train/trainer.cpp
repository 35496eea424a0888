// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/trainer.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/base/log.h"
#include "libpref/base/progress.h"
#include "libpref/data/row_order.h"
#include "libpref/train/checkpoint.h"
#include "libpref/train/couple_batch.h"
#include "libpref/train/health.h"
#include "libpref/train/run_directory.h"
#include "libpref/train/run_identity.h"
#include "libpref/train/run_report.h"

namespace pref {
namespace {

// A sequence's log-ratio to itself before the first update, nats: what summation order may differ
// by.
constexpr double kStepZeroTolerance = 1e-4;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

// Pair accuracy and margin, where the rows have them.
std::string reward_text(const MetricSums& metrics, const char* accuracy, const char* margin) {
  std::string text;
  for (const auto& [name, label] :
       {std::pair("rewards/accuracies", accuracy), std::pair("rewards/margins", margin)})
    if (const double mean = metrics.mean(name); std::isfinite(mean)) text += label + number(mean);
  return text;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A response that no term looks at would be lost in silence.
void check_branches(const Objective& objective, std::span<const TokenizedRow> rows) {
  for (const TokenizedRow& row : rows)
    require(static_cast<int>(row.branches.size()) <= objective.max_branches(), ErrorKind::data,
            "train", row.place, ": the row has ", row.branches.size(), " responses and ",
            objective.name(), " looks at ", objective.max_branches(),
            ". Set list_pairing: lowest or random to take pairs out of lists, or choose pro, rrhf "
            "or logo.");
}

// What decides the digits of a log-prob; gradients' types do not.
std::string reference_dtype(const Placement& placement, LogitsType logits) {
  if (placement.dtype == at::kFloat) return "float32";
  return logits == LogitsType::f32 ? "bfloat16, float32 logits" : "bfloat16";
}

StepOptions step_options(const TrainerOptions& options) {
  return {.tokens_per_microbatch = options.tokens_per_microbatch,
          .head = {.logits_bytes = options.logits_budget_mb << 20},
          .logits = options.logits_dtype};
}

}  // namespace

struct PreferenceTrainer::Run {
  struct EvalSet {
    std::string name;  // "eval" or "eval_<name>"
    const PreferenceData* data;
    ReferenceLogps reference;
  };
  const PreferenceData& train;
  ReferenceLogps reference;
  std::vector<EvalSet> evals;
  bool policy_is_reference = false;  // at step 0
  int64_t batch_rows = 0, steps_per_epoch = 0, total_steps = 0, warmup_steps = 0;
  int64_t epoch = -1;
  std::vector<int64_t> order;  // of `epoch`
  TrainingState state;
  Health health;
  std::optional<RunDirectory> directory;
  std::optional<Progress> progress;
  std::chrono::steady_clock::time_point interval_start = std::chrono::steady_clock::now();
  double interval_tokens = 0;
  std::string last_status;
  int64_t last_saved = -1, last_evaluated = -1;

  std::span<const int64_t> rows_of(int64_t step, const TrainerOptions& options) {
    const int64_t count = static_cast<int64_t>(train.rows.size());
    if (step / steps_per_epoch != epoch) {
      epoch = step / steps_per_epoch;
      order = epoch_order(count, static_cast<uint64_t>(options.seed), epoch, options.shuffle);
    }
    const int64_t first = (step % steps_per_epoch) * batch_rows;
    return std::span(order).subspan(first, std::min(batch_rows, count - first));
  }
  bool due(Interval interval, int64_t every, int64_t step) const {
    return interval == Interval::steps ? step % every == 0
                                       : interval == Interval::epoch && step % steps_per_epoch == 0;
  }
};

PreferenceTrainer::PreferenceTrainer(Model* model, Network& network, Objective objective,
                                     TrainerOptions options, ReferenceOptions reference)
    : model_(model),
      network_(network),
      objective_(std::move(objective)),
      options_(resolved(std::move(options), network.parameters().placement())),
      reference_(std::move(reference)),
      group_(single_process()),
      engine_(network_, objective_, step_options(options_)),
      optimizer_(network_.parameters(), options_.optimizer) {
  check_options(options_, "train");
  for (const auto& [term, weight] : objective_.terms())
    std::visit([](const auto& t) { check_options(t, t.name); }, term);
  require(network_.parameters().num_trainable() > 0, ErrorKind::option, "train",
          "at least one trainable parameter is required; every one is frozen.");
  require(!options_.gradient_checkpointing || model_, ErrorKind::option, "train",
          "gradient_checkpointing has no effect on a network of your own. Remove it.");
  if (model_) model_->network().set_recompute(options_.gradient_checkpointing);
  if (options_.deterministic && engine_.deferred()) ops::use_deterministic_algorithms();
}

PreferenceTrainer::PreferenceTrainer(Model& model, Objective objective, TrainerOptions options,
                                     ReferenceOptions reference)
    : PreferenceTrainer(&model, model.network(), std::move(objective), std::move(options),
                        std::move(reference)) {}

PreferenceTrainer::PreferenceTrainer(Network& network, Objective objective, TrainerOptions options)
    : PreferenceTrainer(nullptr, network, std::move(objective), std::move(options), {}) {
  require(
      options_.save_strategy == Interval::no, ErrorKind::option, "train",
      "save_strategy must be \"no\" for a network that is not a model folder; save it yourself.");
}

void PreferenceTrainer::fit(const PreferenceData& train,
                            const std::map<std::string, PreferenceData>& eval) {
  require(!train.rows.empty(), ErrorKind::data, "train", "at least one training row is required.");
  check_branches(objective_, train.rows);
  for (const auto& [name, data] : eval) check_branches(objective_, data.rows);
  Run run{.train = train};
  for (const auto& [name, data] : eval)
    run.evals.push_back({name.empty() ? "eval" : "eval_" + name, &data, {}});
  run.batch_rows =
      options_.per_device_train_batch_size * options_.gradient_accumulation_steps * group_->size();
  const int64_t rows = static_cast<int64_t>(train.rows.size());
  run.steps_per_epoch = (rows + run.batch_rows - 1) / run.batch_rows;
  run.total_steps =
      options_.max_steps > 0
          ? options_.max_steps
          : static_cast<int64_t>(std::ceil(options_.num_train_epochs * run.steps_per_epoch));
  run.warmup_steps = options_.warmup_steps > 0
                         ? options_.warmup_steps
                         : static_cast<int64_t>(std::ceil(options_.warmup_ratio * run.total_steps));
  if (!options_.output_dir.empty()) {
    run.directory.emplace(posix_file_system(), options_.output_dir,
                          options_.resume_from_checkpoint != "never");
    if (model_) clear_stale_checkpoints(posix_file_system(), options_.output_dir);
  }
  log_info("training ", objective_.name(), ": ", rows, " rows, ", run.total_steps, " updates of ",
           run.batch_rows, " rows, ", network_.parameters().num_trainable(),
           " trainable parameters, ",
           engine_.deferred() ? network_.parameters().placement().device.str() + ", " +
                                    dtype_text(network_.parameters().placement())
                              : std::to_string(at::get_num_threads()) + " threads");

  if (objective_.explores())
    log_warning(objective_.name(),
                " has no lower bound: it pays for a falling likelihood of the reference response. "
                "Watch preference/exploration, and keep alpha small.");
  prepare_references(run);
  resume(run);
  if (run.directory) run.directory->write_file("run.json", run_json(run));
  run.progress.emplace("train", run.total_steps);
  run.interval_start = std::chrono::steady_clock::now();
  while (step_ < run.total_steps) {
    train_one(run);
    const bool last = step_ == run.total_steps, stopping = stop_.load(std::memory_order_relaxed);
    if (run.due(options_.eval_strategy, options_.eval_steps, step_) ||
        (last && options_.eval_strategy != Interval::no))
      evaluate_all(run);
    if (options_.save_strategy != Interval::no &&
        (last || stopping || run.due(options_.save_strategy, options_.save_steps, step_)))
      save_checkpoint(run);
    if (stopping && !last)
      fail(ErrorKind::requeue, "train", "stopped on request after update ", step_, " of ",
           run.total_steps,
           run.last_saved == step_
               ? "; the checkpoint is saved. Start again with resume_from_checkpoint: auto."
               : "; nothing was saved (save_strategy: no).");
  }
  run.progress.reset();
  if (!run.directory) return;
  std::vector<ReportOptions> shown = {{objective_.name(), objective_options(objective_)},
                                      {"training", describe_options(options_)}};
  write_report_html(run.directory->file("report.html"),
                    run_report("Training " + objective_.name(),
                               read_run_metrics(run.directory->file("metrics.jsonl")), shown));
  if (!model_) return;
  posix_file_system().remove_all(
      run.directory->file("model"));  // of an earlier, shorter run that this one continued
  model_->save(run.directory->file("model"), options_.save_dtype);
}

void PreferenceTrainer::prepare_references(Run& run) {
  if (!has(objective_.needs(), Needs::reference)) {
    require(!reference_.ref_model_name_or_path && !reference_.ref_logps_cache, ErrorKind::option,
            "train", "ref_model_name_or_path and ref_logps_cache have no effect with ",
            objective_.name(), ", which needs no reference.");
    return;
  }
  run.policy_is_reference = !reference_.ref_model_name_or_path;
  std::optional<Model> other;
  if (!run.policy_is_reference)
    other = load_model(*reference_.ref_model_name_or_path,
                       {.trainable = [](const std::string&) { return false; },
                        .with_tokenizer = false,
                        .placement = network_.parameters().placement()});
  Model* source = other ? &*other : model_;
  const std::string digest = source ? source->weights_digest() : std::string();
  run.state.identity["reference model"] = digest;
  run.reference = prepare_reference(run.train, "", other ? &*other : nullptr, digest);
  for (auto& set : run.evals)
    set.reference = prepare_reference(*set.data, "." + set.name, other ? &*other : nullptr, digest);
}

ReferenceLogps PreferenceTrainer::prepare_reference(const PreferenceData& data,
                                                    const std::string& name, Model* reference_model,
                                                    const std::string& model_digest) {
  // A file can only prove what it is for when the weights have a digest, so a bare network computes
  // every time.
  std::string path = reference_.ref_logps_cache.value_or(
      options_.output_dir.empty() ? ""
                                  : join_path(options_.output_dir, "reference_logps.safetensors"));
  if (model_digest.empty()) path.clear();
  if (!path.empty()) path += name;
  const ReferenceKey key{
      .model = model_digest,
      .tokenizer = model_ && model_->has_tokenizer() ? model_->tokenizer().digest() : "",
      .rows = data.digest,
      .dtype = reference_dtype(network_.parameters().placement(), options_.logits_dtype),
      .marks = has(objective_.needs(), Needs::tail)            ? "tail"
               : has(objective_.needs(), Needs::token_rewards) ? "token_rewards"
                                                               : ""};
  if (!path.empty())
    if (auto cached = read_reference_cache(path, key, data.rows)) {
      log_info("reference log-probs: ", path);
      return std::move(*cached);
    }
  std::optional<PreferenceStep> other;
  if (reference_model)
    other.emplace(reference_model->network(), objective_, step_options(options_));
  ReferenceLogps logps = compute_reference(other ? *other : engine_, data.rows);
  if (!path.empty()) write_reference_cache(path, key, logps);
  return logps;
}

std::map<std::string, std::string> PreferenceTrainer::identity(const Run& run) const {
  auto identity = run.state.identity;
  identity["rows"] = run.train.digest;
  // A run may be lengthened where the schedule does not depend on its end.
  if (options_.lr_scheduler_type == ScheduleKind::linear ||
      options_.lr_scheduler_type == ScheduleKind::cosine)
    identity["updates"] = std::to_string(run.total_steps);
  identity["dtype"] = dtype_text(network_.parameters().placement());
  identity.merge(run_identity(objective_, options_));
  return identity;
}

void PreferenceTrainer::resume(Run& run) {
  const std::string& from = options_.resume_from_checkpoint;
  run.state.identity = identity(run);
  if (from == "never") return;
  require(model_ != nullptr, ErrorKind::option, "train",
          "resume_from_checkpoint needs a model folder.");
  std::optional<Checkpoint> checkpoint;
  if (run.directory)
    checkpoint = find_newest_checkpoint(posix_file_system(), run.directory->path());
  bool own_metrics = true;  // the checkpoint's count of bytes is about this folder's metrics.jsonl
  if (from != "auto") {
    const std::optional<Checkpoint> newest = std::exchange(checkpoint, open_checkpoint(from));
    require(!newest || newest->step <= checkpoint->step, ErrorKind::cannot_create, "resume",
            options_.output_dir, " holds ", newest ? checkpoint_name(newest->step) : "",
            ", which is newer than ", from,
            ". Name another output_dir, or continue the newest with resume_from_checkpoint: auto.");
    own_metrics = run.directory && std::filesystem::canonical(from).parent_path() ==
                                       std::filesystem::canonical(run.directory->path());
  }
  if (!checkpoint) {
    log_info("resume_from_checkpoint: auto found no checkpoint in ", options_.output_dir,
             "; starting fresh");
    if (run.directory) run.directory->restart(0, 0);
    return;
  }
  run.state = load_training_state(*checkpoint, run.state.identity, model_->network(), optimizer_);
  step_ = run.state.step;
  coupling_ = run.state.coupling;
  run.health.given() = run.state.alerts;
  run.last_saved = step_;
  if (run.directory) run.directory->restart(step_, own_metrics ? run.state.metrics_bytes : 0);
  log_info("resumed ", checkpoint->folder, " at update ", step_, " of ", run.total_steps);
}

void PreferenceTrainer::train_one(Run& run) {
  PreferenceStep::Inspect inspect;
  if (step_ == 0 && run.policy_is_reference)
    inspect = [&](const PackingPlan& plan, const SequenceStatistics& statistics, const RowLosses&) {
      for (int64_t r = 0; r < plan.num_rows(); ++r) {
        if (!run.train.rows[plan.row_ids[r]].reference_prompt.empty()) continue;
        const auto reference = run.reference.row(plan.row_ids[r]);
        for (size_t k = 0; k < reference.size(); ++k) {
          const double ratio = statistics.logp[plan.row_first_sequence[r] + k] - reference[k];
          require(std::abs(ratio) <= kStepZeroTolerance, ErrorKind::internal, "train", "row ",
                  run.train.rows[plan.row_ids[r]].id, ", branch ", k,
                  ": policy and reference are the same model before the first update, yet their "
                  "log-probs differ by ",
                  number(ratio), " nats (", number(kStepZeroTolerance),
                  " allowed). The reference log-probs are not this model's; delete their cache and "
                  "start again.");
        }
      }
    };
  const auto indices = run.rows_of(step_, options_);
  const double rate = options_.learning_rate * schedule_factor(options_.lr_scheduler_type, step_,
                                                               run.warmup_steps, run.total_steps);
  start_update(run.train.rows, indices, run.reference, rate, inspect);
  // On a device the numbers are asked for when somebody needs them.
  if (!engine_.deferred() || step_ == run.total_steps || log_due(step_) ||
      stop_.load(std::memory_order_relaxed) ||
      run.due(options_.eval_strategy, options_.eval_steps, step_) ||
      run.due(options_.save_strategy, options_.save_steps, step_))
    collect(run);
  else
    run.progress->update(step_, run.last_status);
}

bool PreferenceTrainer::log_due(int64_t step) const {
  return step % options_.logging_steps == 0 || (step == 1 && options_.logging_first_step);
}

void PreferenceTrainer::collect(Run& run) {
  for (const UpdateResult& result : collect_updates(run.train.rows)) {
    run.state.num_tokens += result.num_tokens;
    run.interval_tokens += result.num_tokens;
    run.state.interval.merge(result.metrics);
    run.state.interval.add("loss", result.loss, 1);
    log_training(run, result);
  }
}

void PreferenceTrainer::log_training(Run& run, const UpdateResult& result) {
  std::string status =
      "loss " + number(result.loss) + reward_text(result.metrics, "  acc ", "  margin ");
  const double seconds = seconds_since(run.interval_start),
               rate = run.interval_tokens / std::max(seconds, 1e-9);
  status += "  " + format_count(rate) + " tok/s";
  run.last_status = status;
  run.progress->update(result.step, status);
  if (!log_due(result.step)) return;
  if (run.directory) {
    const MetricSums& sums = run.state.interval;
    MetricLine line{.kind = "train", .step = result.step, .values = {}};
    line.add("epoch", static_cast<double>(result.step) / static_cast<double>(run.steps_per_epoch));
    line.add("loss", sums.mean("loss"))
        .add("grad_norm", result.grad_norm)
        .add("learning_rate", result.learning_rate);
    for (const auto& [name, value] : sums.reported())
      if (name != "loss") line.add(name, value);
    line.add("num_tokens", run.state.num_tokens).add("perf/tokens_per_second", rate);
    run.directory->write_metrics(line);
  }
  for (const std::string& alert : run.health.alerts(run.state.interval)) {
    log_warning("update ", result.step, ": ", alert);
    if (run.directory)
      run.directory->write_metrics(
          {.kind = "event", .step = result.step, .values = {}, .message = alert});
  }
  run.state.interval = {};
  run.interval_tokens = 0;
  run.interval_start = std::chrono::steady_clock::now();
}

ReferenceLogps PreferenceTrainer::reference_logps(std::span<const TokenizedRow> rows) {
  return compute_reference(engine_, rows);
}

PreferenceStep::Result PreferenceTrainer::evaluate(std::span<const TokenizedRow> rows,
                                                   const ReferenceLogps& reference) {
  const std::vector<int64_t> indices = all_indices(rows.size());
  CouplingState state = coupling_;
  state.frozen = true;
  return engine_.evaluate(rows, indices, reference, normalizers_of(rows, indices),
                          {.values = couple(rows, indices, reference, state)});
}

void PreferenceTrainer::evaluate_all(Run& run) {
  if (run.last_evaluated == step_) return;
  run.last_evaluated = step_;
  for (const auto& set : run.evals) {
    const auto start = std::chrono::steady_clock::now();
    const PreferenceStep::Result result = evaluate(set.data->rows, set.reference);
    log_info(set.name, " at update ", step_, ": loss ", number(result.loss),
             reward_text(result.metrics, ", accuracy ", ", margin "));
    if (!run.directory) continue;
    MetricLine line{.kind = "eval", .step = step_, .values = {}};
    line.add("epoch", static_cast<double>(step_) / static_cast<double>(run.steps_per_epoch));
    line.add(set.name + "_loss", result.loss);
    for (const auto& [name, value] : result.metrics.reported())
      line.add(set.name + "_" + name, value);
    line.add(set.name + "_runtime", seconds_since(start));
    run.directory->write_metrics(line);
  }
  run.interval_start = std::chrono::steady_clock::now();
  run.interval_tokens = 0;
}

void PreferenceTrainer::save_checkpoint(Run& run) {
  if (!run.directory || !model_ || run.last_saved == step_) return;
  run.state.step = step_;
  run.state.coupling = coupling_;
  run.state.alerts = run.health.given();
  run.state.metrics_bytes = run.directory->metrics_bytes();
  save_training_state(posix_file_system(), run.directory->path(), run.state, model_->network(),
                      optimizer_);
  run.last_saved = step_;
  if (options_.save_total_limit > 0)
    prune_checkpoints(posix_file_system(), run.directory->path(), options_.save_total_limit);
}

std::string PreferenceTrainer::run_json(const Run& run) const {
  JsonObject options, versions;
  for (const auto& option : objective_options(objective_)) options.add(option.name, option.value);
  for (const auto& option : describe_options(options_)) options.add(option.name, option.value);
  if (has(objective_.needs(), Needs::reference))
    for (const auto& option : describe_options(reference_)) options.add(option.name, option.value);
  versions.add("device", network_.parameters().placement().device.str())
      .add("dtype", dtype_text(network_.parameters().placement()))
      .add("torch", TORCH_VERSION)
      .add("threads", static_cast<int64_t>(at::get_num_threads()));
  JsonObject out;
  out.add("objective", objective_.name())
      .add_raw("options", options.str())
      .add_raw("versions", versions.str());
  out.add("model", model_ ? model_->folder() : std::string())
      .add("rows", static_cast<int64_t>(run.train.rows.size()));
  out.add("rows_digest", run.train.digest).add("updates", run.total_steps);
  return out.str() + "\n";
}

}  // namespace pref
