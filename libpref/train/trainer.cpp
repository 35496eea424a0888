// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/trainer.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/train/run_identity.h"
#include "libpref/train/run_report.h"
#include "libpref/train/trainer_run.h"

namespace pref {
namespace {

// How far a sequence's log-prob may lie from its reference before the first update, nats. The CPU
// computes a row alike in whatever batch. A device's products add up in an order that depends on the
// batch's size, and bf16 turns what then differs into whole steps of 2^-8, token by token.
double step_zero_tolerance(const Placement& placement, double tokens) {
  if (!ops::on_device(placement.device)) return 1e-4;
  return placement.dtype == at::kFloat ? 1e-3 + 1e-5 * tokens : 0.5 + 0.02 * tokens;
}

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

}  // namespace

PreferenceTrainer::PreferenceTrainer(Model* model, Network& network, Objective objective,
                                     TrainerOptions options, ReferenceOptions reference)
    : model_(model),
      network_(network),
      objective_(std::move(objective)),
      options_(resolved(std::move(options), network.parameters().placement())),
      reference_(std::move(reference)),
      group_(single_process()),
      engine_(network_, objective_, step_options_of(options_)),
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
    const bool evaluates = run.due(options_.eval_strategy, options_.eval_steps, step_) ||
                           (last && options_.eval_strategy != Interval::no);
    const bool saves =
        options_.save_strategy != Interval::no &&
        (last || stopping || run.due(options_.save_strategy, options_.save_steps, step_));
    // On a device the numbers are asked for when somebody needs them.
    if (!engine_.deferred() || last || stopping || evaluates || saves || log_due(step_))
      collect(run);
    else
      run.progress->update(step_, run.last_status);
    if (evaluates) evaluate_all(run);
    if (saves) save_checkpoint(run);
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

void PreferenceTrainer::train_one(Run& run) {
  PreferenceStep::Inspect inspect;
  if (step_ == 0 && run.policy_is_reference)
    inspect = [&](const PackingPlan& plan, const SequenceStatistics& statistics, const RowLosses&) {
      for (int64_t r = 0; r < plan.num_rows(); ++r) {
        if (!run.train.rows[plan.row_ids[r]].reference_prompt.empty()) continue;
        const auto reference = run.reference.row(plan.row_ids[r]);
        for (size_t k = 0; k < reference.size(); ++k) {
          const size_t sequence = plan.row_first_sequence[r] + k;
          const double ratio = statistics.logp[sequence] - reference[k],
                       allowed = step_zero_tolerance(network_.parameters().placement(),
                                                     statistics.num_tokens[sequence]);
          require(std::abs(ratio) <= allowed, ErrorKind::internal, "train", "row ",
                  run.train.rows[plan.row_ids[r]].id, ", branch ", k,
                  ": policy and reference are the same model before the first update, yet their "
                  "log-probs differ by ",
                  number(ratio), " nats (", number(allowed),
                  " allowed). The reference log-probs are not this model's; delete their cache and "
                  "start again.");
        }
      }
    };
  const auto indices = run.rows_of(step_, options_);
  const double rate = options_.learning_rate * schedule_factor(options_.lr_scheduler_type, step_,
                                                               run.warmup_steps, run.total_steps);
  start_update(run.train.rows, indices, run.reference, rate, inspect);
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

}  // namespace pref
