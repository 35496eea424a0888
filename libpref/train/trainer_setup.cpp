// SPDX-License-Identifier: Apache-2.0
// What a run starts from and leaves behind: the reference's log-probs, checkpoints, run.json.
#include <ATen/Parallel.h>
#include <torch/version.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/base/log.h"
#include "libpref/train/run_identity.h"
#include "libpref/train/trainer_run.h"

namespace pref {
namespace {

// What decides the digits of a log-prob; gradients' types do not.
std::string reference_dtype(const Placement& placement, LogitsType logits) {
  if (placement.dtype == at::kFloat) return "float32";
  return logits == LogitsType::f32 ? "bfloat16, float32 logits" : "bfloat16";
}

}  // namespace

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
    other.emplace(reference_model->network(), objective_, step_options_of(options_));
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
