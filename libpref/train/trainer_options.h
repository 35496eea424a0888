// SPDX-License-Identifier: Apache-2.0
// Options of a training run, under the names that users of TRL and transformers have in their
// files.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "libpref/base/options.h"
#include "libpref/nn/model.h"
#include "libpref/ops/device_head.h"
#include "libpref/optim/adamw.h"
#include "libpref/optim/schedule.h"

namespace pref {

/// When something is done: never, every N updates, at the end of every epoch.
enum class Interval { no, steps, epoch };
constexpr std::array<EnumName<Interval>, 3> enum_names(Interval) {
  return {{{Interval::no, "no"}, {Interval::steps, "steps"}, {Interval::epoch, "epoch"}}};
}

/// The reference policy, for objectives that need one.
struct ReferenceOptions {
  std::optional<std::string> ref_model_name_or_path;
  std::optional<std::string> ref_logps_cache;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("ref_model_name_or_path", self.ref_model_name_or_path, any(),
          "model folder of the reference policy; default: the policy as it starts");
    visit("ref_logps_cache", self.ref_logps_cache, any(),
          "file of reference log-probs; default: reference_logps.safetensors in output_dir");
  }
};

struct TrainerOptions {
  std::string output_dir;
  double learning_rate = 1e-6;
  ScheduleKind lr_scheduler_type = ScheduleKind::linear;
  double warmup_ratio = 0;
  int64_t warmup_steps = 0;
  double num_train_epochs = 3;
  int64_t max_steps = -1;
  int64_t per_device_train_batch_size = 8;
  int64_t gradient_accumulation_steps = 1;
  double max_grad_norm = 1;
  AdamWOptions optimizer;
  bool shuffle = true;
  int64_t seed = 42;
  int64_t tokens_per_microbatch = 0;
  int64_t logits_budget_mb = 0;
  LogitsType logits_dtype = LogitsType::like_weights;
  bool gradient_checkpointing = false;
  bool deterministic = false;
  int64_t logging_steps = 10;
  bool logging_first_step = false;
  Interval eval_strategy = Interval::no;
  int64_t eval_steps = 500;
  Interval save_strategy = Interval::steps;
  int64_t save_steps = 500;
  int64_t save_total_limit = 0;
  std::string resume_from_checkpoint = "never";
  SaveType save_dtype = SaveType::f32;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("output_dir", self.output_dir, any(),
          "run directory: metrics.jsonl, checkpoints, run.json, model/; empty writes nothing");
    visit("learning_rate", self.learning_rate, at_least(0), "peak learning rate");
    visit("lr_scheduler_type", self.lr_scheduler_type, any(), "schedule after warm-up");
    visit("warmup_ratio", self.warmup_ratio, between(0, 1), "share of all updates that warm up");
    visit("warmup_steps", self.warmup_steps, at_least(0),
          "updates that warm up; above 0 overrides warmup_ratio");
    visit("num_train_epochs", self.num_train_epochs, above(0),
          "passes over the data, may be fractional");
    visit("max_steps", self.max_steps, at_least(-1),
          "updates in all; above 0 overrides num_train_epochs");
    visit("per_device_train_batch_size", self.per_device_train_batch_size, at_least(1),
          "rows per rank and accumulation step");
    visit("gradient_accumulation_steps", self.gradient_accumulation_steps, at_least(1),
          "multiplies the global batch; tokens_per_microbatch splits it");
    visit("max_grad_norm", self.max_grad_norm, at_least(0),
          "gradients are scaled down to this global norm; 0 = no clipping");
    AdamWOptions::fields(self.optimizer, visit);
    visit("shuffle", self.shuffle, any(), "permute rows every epoch; false trains in file order");
    visit("seed", self.seed, at_least(0), "of the row order");
    visit(
        "tokens_per_microbatch", self.tokens_per_microbatch, at_least(0),
        "packed tokens computed at once; changes memory, not the result. 0: 1024 on the CPU, 8192 "
        "on a device");
    visit("logits_budget_mb", self.logits_budget_mb, at_least(0),
          "memory for logits, MiB; changes memory, not the result. 0: 256 on the CPU, 4096 on a "
          "device");
    visit("logits_dtype", self.logits_dtype, any(),
          "element type of logits beside bfloat16 weights: auto (theirs) or float32, which costs "
          "memory and a few percent of time");
    visit("gradient_checkpointing", self.gradient_checkpointing, any(),
          "keep each layer's input alone and compute the layer again in the backward pass: a third "
          "more work, a fraction of the activations' memory, the same result");
    visit(
        "deterministic", self.deterministic, any(),
        "equal runs give equal bits on a CUDA device too (slower attention); the CPU always does");
    visit("logging_steps", self.logging_steps, at_least(1),
          "updates between two lines of metrics.jsonl");
    visit("logging_first_step", self.logging_first_step, any(), "log the first update as well");
    visit("eval_strategy", self.eval_strategy, any(), "when the evaluation sets are scored");
    visit("eval_steps", self.eval_steps, at_least(1),
          "updates between two evaluations (eval_strategy: steps)");
    visit("save_strategy", self.save_strategy, any(),
          "when a checkpoint is written; one is written at the end unless no");
    visit("save_steps", self.save_steps, at_least(1),
          "updates between two checkpoints (save_strategy: steps)");
    visit("save_total_limit", self.save_total_limit, at_least(0),
          "checkpoints kept, newest first; 0 = all");
    visit("resume_from_checkpoint", self.resume_from_checkpoint, any(),
          "never, auto (the newest valid checkpoint of output_dir, else a fresh start), or a "
          "checkpoint folder");
    visit("save_dtype", self.save_dtype, any(), "element type of the final model folder");
  }
};

/// With the defaults that depend on where the network is filled in.
TrainerOptions resolved(TrainerOptions options, const Placement& placement);

}  // namespace pref
