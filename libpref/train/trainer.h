// SPDX-License-Identifier: Apache-2.0
// The one trainer: an objective, a network, an optimizer and a process group. DPOTrainer and its
// siblings are thin names. fit() reads in the order things happen: reference log-probs, resume,
// then per update: rows, gradients, norm, finite check, clip, AdamW, log, evaluate, save.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libpref/data/load_preferences.h"
#include "libpref/distributed/communicator.h"
#include "libpref/nn/model.h"
#include "libpref/objectives/objective.h"
#include "libpref/optim/adamw.h"
#include "libpref/train/reference.h"
#include "libpref/train/step.h"
#include "libpref/train/trainer_options.h"

namespace pref {

/// What one update did.
struct UpdateResult {
  int64_t step = 0;  ///< updates done with it
  double loss = 0, grad_norm = 0, learning_rate = 0;
  MetricSums metrics;
  double num_tokens = 0;
};

class PreferenceTrainer {
 public:
  /// The model is trained in place and must outlive the trainer. Options are checked here.
  PreferenceTrainer(Model& model, Objective objective, TrainerOptions options,
                    ReferenceOptions reference = {});
  /// Any network. fit() then writes metrics but neither checkpoints nor a model folder:
  /// save_strategy must be "no".
  PreferenceTrainer(Network& network, Objective objective, TrainerOptions options);
  ~PreferenceTrainer();
  PreferenceTrainer(const PreferenceTrainer&) = delete;

  /// The whole run. Evaluation sets are scored by name: "" gives eval_loss, "test" gives
  /// eval_test_loss. Throws Error: option, data, non_finite (before the update, naming rows),
  /// digest, io; requeue after request_stop().
  void fit(const PreferenceData& train, const std::map<std::string, PreferenceData>& eval = {});

  /// One update on all of `rows`, for loops of your own, at `learning_rate`. Objectives that need a
  /// reference take its log-probs of these rows (see reference_logps).
  UpdateResult step(std::span<const TokenizedRow> rows, const ReferenceLogps& reference,
                    double learning_rate);

  /// Log-probs of the rows under the network as it stands now; before the first step these are the
  /// reference's.
  ReferenceLogps reference_logps(std::span<const TokenizedRow> rows);

  /// Scores rows without changing anything; the loss is divided by the rows given.
  PreferenceStep::Result evaluate(std::span<const TokenizedRow> rows,
                                  const ReferenceLogps& reference);

  /// Asks fit() to save a checkpoint after the present update and to leave with ErrorKind::requeue.
  /// Async-signal-safe.
  void request_stop() noexcept { stop_.store(true, std::memory_order_relaxed); }

  int64_t steps_done() const { return step_; }
  const Objective& objective() const { return objective_; }
  const TrainerOptions& options() const { return options_; }  ///< as resolved

 private:
  struct Run;  // what fit() holds: data, files, progress
  PreferenceTrainer(Model* model, Network& network, Objective objective, TrainerOptions options,
                    ReferenceOptions reference);
  struct PendingUpdate;
  /// One update; on a device it is started and not waited for, unless `inspect` must see it first.
  void start_update(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                    const ReferenceLogps& reference, double learning_rate,
                    const PreferenceStep::Inspect& inspect);
  /// What the updates started since the last call gave. One that was not finite throws; on a device
  /// it and those after it have changed nothing and are taken back.
  std::vector<UpdateResult> collect_updates(std::span<const TokenizedRow> rows);
  UpdateResult finish_update(PendingUpdate& update, std::span<const TokenizedRow> rows);
  void require_finite_norm(const PendingUpdate& update, std::span<const TokenizedRow> rows) const;
  bool log_due(int64_t step) const;
  /// The part of a global batch that this rank computes: every size-th row.
  bool is_of_rank(size_t i) const {
    return static_cast<int>(i % static_cast<size_t>(group_->size())) == group_->rank();
  }
  std::vector<int64_t> rows_of_rank(std::span<const int64_t> indices) const;
  /// What the global batch `indices` gives its sequences; empty unless the objective couples.
  std::vector<double> couple(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                             const ReferenceLogps& reference, CouplingState& state);
  ReferenceLogps prepare_reference(const PreferenceData& data, const std::string& name,
                                   Model* reference_model, const std::string& model_digest);
  void prepare_references(Run& run);
  void resume(Run& run);
  void train_one(Run& run);
  void collect(Run& run);
  void log_training(Run& run, const UpdateResult& result);
  void evaluate_all(Run& run);
  void save_checkpoint(Run& run);
  std::map<std::string, std::string> identity(const Run& run) const;
  std::string run_json(const Run& run) const;

  Model* model_ = nullptr;
  Network& network_;
  Objective objective_;
  TrainerOptions options_;
  ReferenceOptions reference_;
  std::shared_ptr<Communicator> group_;
  PreferenceStep engine_;
  AdamW optimizer_;
  std::vector<std::shared_ptr<PendingUpdate>> pending_;
  int64_t step_ = 0;
  CouplingState coupling_;
  at::Tensor device_coupling_;  // in its place while updates are under way on a device
  std::atomic<bool> stop_{false};
};

/// DPO (arXiv:2305.18290).
class DPOTrainer : public PreferenceTrainer {
 public:
  DPOTrainer(Model& model, DPO objective, TrainerOptions options, ReferenceOptions reference = {})
      : PreferenceTrainer(model, Objective(objective), std::move(options), std::move(reference)) {}
};

/// SimPO (arXiv:2405.14734): length-normalised, no reference.
class SimPOTrainer : public PreferenceTrainer {
 public:
  SimPOTrainer(Model& model, SimPO objective, TrainerOptions options)
      : PreferenceTrainer(model, Objective(objective), std::move(options)) {}
};

/// WPO (arXiv:2406.11827): DPO, or another loss of pairs, weighted by the present policy.
class WPOTrainer : public PreferenceTrainer {
 public:
  WPOTrainer(Model& model, Term objective, Weighting weighting, TrainerOptions options,
             ReferenceOptions reference = {})
      : PreferenceTrainer(model, Objective({{std::move(objective)}}, {.weighting = weighting}),
                          std::move(options), std::move(reference)) {}
};

/// SELM (arXiv:2405.19332): DPO and an exploration term on branch 2, the reference's response. Load
/// rows with DataOptions::reference_response.
class SELMTrainer : public PreferenceTrainer {
 public:
  SELMTrainer(Model& model, SELM objective, TrainerOptions options, ReferenceOptions reference = {})
      : PreferenceTrainer(model, Objective(objective), std::move(options), std::move(reference)) {}
};

/// KTO (arXiv:2402.01306) on unpaired feedback; give it unpaired() data with_mismatched_responses().
class KTOTrainer : public PreferenceTrainer {
 public:
  KTOTrainer(Model& model, KTO objective, TrainerOptions options, ReferenceOptions reference = {})
      : PreferenceTrainer(model, Objective(objective), std::move(options), std::move(reference)) {}
};

/// Supervised fine-tuning on branch 0 of every row.
class SFTTrainer : public PreferenceTrainer {
 public:
  SFTTrainer(Model& model, TrainerOptions options)
      : PreferenceTrainer(model, Objective(SFT{}), std::move(options)) {}
};

}  // namespace pref
