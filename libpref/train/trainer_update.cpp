// SPDX-License-Identifier: Apache-2.0
// One update of the trainer: gradients of the global batch, norm, finite check, clip, AdamW. On a
// device it is started here and its numbers are collected later.
#include <ATen/core/Tensor.h>

#include <cmath>
#include <optional>
#include <utility>

#include "libpref/base/error.h"
#include "libpref/ops/device_coupling.h"
#include "libpref/train/couple_batch.h"
#include "libpref/train/trainer.h"

namespace pref {

struct PreferenceTrainer::PendingUpdate {
  int64_t step;
  double learning_rate;
  std::vector<int64_t> indices;  // the global batch
  PreferenceStep::Pending rows;
  std::optional<PreferenceStep::Result> sums;  // where they are there already
  double grad_norm = 0;                        // of the CPU
  at::Tensor device_norm;                      // [1] f32
};

PreferenceTrainer::~PreferenceTrainer() = default;

std::vector<int64_t> PreferenceTrainer::rows_of_rank(std::span<const int64_t> indices) const {
  std::vector<int64_t> mine;
  for (size_t i = 0; i < indices.size(); ++i)
    if (is_of_rank(i)) mine.push_back(indices[i]);
  return mine;
}

// Every rank computes its own rows' log-probs and learns the others', so that all couple alike.
std::vector<double> PreferenceTrainer::couple(std::span<const TokenizedRow> rows,
                                              std::span<const int64_t> indices,
                                              const ReferenceLogps& reference,
                                              CouplingState& state) {
  if (!objective_.couples()) return {};
  const SequenceLogps own = engine_.logps(rows, rows_of_rank(indices));
  SequenceLogps all;
  size_t next = 0;
  for (size_t i = 0; i < indices.size(); ++i)
    for (size_t k = 0; k < rows[static_cast<size_t>(indices[i])].branches.size(); ++k) {
      const size_t sequence = is_of_rank(i) ? next++ : own.logp.size();
      all.logp.push_back(sequence < own.logp.size() ? own.logp[sequence] : 0.0);
      all.marked.push_back(sequence < own.marked.size() ? own.marked[sequence] : 0.0);
    }
  group_->all_reduce_sum(all.logp);
  group_->all_reduce_sum(all.marked);
  return couple_batch(objective_, rows, indices, reference, all, state);
}

void PreferenceTrainer::start_update(std::span<const TokenizedRow> rows,
                                     std::span<const int64_t> indices,
                                     const ReferenceLogps& reference, double learning_rate,
                                     const PreferenceStep::Inspect& inspect) {
  network_.parameters().zero_gradients();
  // One normalizer for the global batch; each rank takes every size-th row.
  const Normalizers normalizers = normalizers_of(rows, indices);
  const std::vector<int64_t> mine = rows_of_rank(indices);
  PreferenceStep::Coupled coupled;
  std::vector<double> values;  // of this rank's sequences
  if (objective_.couples() && engine_.deferred() && group_->size() == 1) {
    if (!device_coupling_.defined())
      device_coupling_ = coupling_on_device(coupling_, network_.parameters().placement().device);
    coupled =
        engine_.enqueue_coupling(rows, mine, reference, device_coupling_, optimizer_.failure());
  } else {
    const std::vector<double> all = couple(rows, indices, reference, coupling_);
    size_t sequence = 0;
    for (size_t i = 0; i < indices.size() && !all.empty(); ++i)
      for (size_t k = 0; k < rows[static_cast<size_t>(indices[i])].branches.size(); ++k, ++sequence)
        if (is_of_rank(i)) values.push_back(all[sequence]);
    coupled.values = values;
  }
  auto update = std::make_shared<PendingUpdate>(PendingUpdate{
      step_ + 1, learning_rate, std::vector<int64_t>(indices.begin(), indices.end()),
      engine_.enqueue(rows, mine, reference, normalizers, coupled, optimizer_.failure())});
  if (!engine_.deferred() || inspect)
    update->sums = engine_.finish(update->rows, rows, inspect);  // may refuse the update
  for (const auto& block : network_.parameters().blocks()) group_->all_reduce_sum(block.gradient);
  if (engine_.deferred()) {
    update->device_norm = optimizer_.enqueue_step(learning_rate, options_.max_grad_norm);
  } else {
    update->grad_norm = gradient_norm(network_.parameters());
    require_finite_norm(*update, rows);
    // As torch.nn.utils.clip_grad_norm_: max_norm / (norm + 1e-6), at most 1.
    const double clip = options_.max_grad_norm > 0
                            ? std::min(1.0, options_.max_grad_norm / (update->grad_norm + 1e-6))
                            : 1.0;
    optimizer_.step(learning_rate, clip);
  }
  ++step_;
  pending_.push_back(std::move(update));
}

void PreferenceTrainer::require_finite_norm(const PendingUpdate& update,
                                            std::span<const TokenizedRow> rows) const {
  if (std::isfinite(update.grad_norm)) return;
  std::string ids;
  for (const int64_t index : update.indices) ids += (ids.empty() ? "" : ", ") + rows[index].id;
  fail(ErrorKind::non_finite, "train", "the gradient of update ", update.step,
       " is not finite (norm ", update.grad_norm, "). Its rows: ", ids,
       ". The weights were not updated. Lower learning_rate, or look at these rows with `pref "
       "logps`.");
}

UpdateResult PreferenceTrainer::finish_update(PendingUpdate& update,
                                              std::span<const TokenizedRow> rows) {
  if (!update.sums) update.sums = engine_.finish(update.rows, rows);
  if (update.device_norm.defined()) {
    update.grad_norm = update.device_norm.item<float>();
    require_finite_norm(update, rows);
  }
  PreferenceStep::Result& sums = *update.sums;
  std::vector<double> totals = {sums.loss, sums.num_tokens};
  for (const auto& entry : sums.metrics.entries())
    totals.insert(totals.end(), {entry.sum, entry.count});
  group_->all_reduce_sum(totals);
  for (size_t i = 0; i < sums.metrics.entries().size(); ++i) {
    sums.metrics.entries()[i].sum = totals[2 + 2 * i];
    sums.metrics.entries()[i].count = totals[3 + 2 * i];
  }
  return {.step = update.step,
          .loss = totals[0],
          .grad_norm = update.grad_norm,
          .learning_rate = update.learning_rate,
          .metrics = std::move(sums.metrics),
          .num_tokens = totals[1]};
}

std::vector<UpdateResult> PreferenceTrainer::collect_updates(std::span<const TokenizedRow> rows) {
  const auto pending = std::exchange(pending_, {});
  std::vector<UpdateResult> results;
  if (device_coupling_.defined())
    coupling_ = coupling_on_host(std::exchange(device_coupling_, at::Tensor()));
  try {
    for (const auto& update : pending) results.push_back(finish_update(*update, rows));
  } catch (const Error&) {
    const auto skipped = static_cast<int64_t>(pending.size() - results.size());
    if (engine_.deferred()) optimizer_.forget_failure(skipped);
    step_ -= skipped;
    throw;
  }
  return results;
}

UpdateResult PreferenceTrainer::step(std::span<const TokenizedRow> rows,
                                     const ReferenceLogps& reference, double learning_rate) {
  start_update(rows, all_indices(rows.size()), reference, learning_rate, {});
  return std::move(collect_updates(rows).back());
}

}  // namespace pref
