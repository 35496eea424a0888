// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/step.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <numeric>

#include "libpref/base/error.h"

namespace pref {
namespace {

void require_finite(const PackingPlan& plan, std::span<const TokenizedRow> rows,
                    const RowLosses& losses) {
  std::string bad;
  for (int64_t r = 0; r < plan.num_rows(); ++r)
    if (!std::isfinite(losses.row_loss()[r]))
      bad += (bad.empty() ? "" : ", ") + rows[plan.row_ids[r]].id;
  require(bad.empty(), ErrorKind::non_finite, "train", "the loss is not finite for row(s) ", bad,
          ". The weights were not updated. Look at these rows with `pref logps`, or lower "
          "learning_rate if the run has diverged.");
}

Marks marks_of(const Objective& objective) {
  return has(objective.needs(), Needs::tail)            ? Marks::tail
         : has(objective.needs(), Needs::token_rewards) ? Marks::token_rewards
                                                        : Marks::none;
}

}  // namespace

ReferenceLogps::ReferenceLogps(std::span<const TokenizedRow> rows, std::vector<double> values,
                               std::vector<double> marked)
    : values_(std::move(values)), marked_(std::move(marked)), first_{0} {
  for (const auto& row : rows)
    first_.push_back(first_.back() + static_cast<int64_t>(row.branches.size()));
  require(first_.back() == static_cast<int64_t>(values_.size()), ErrorKind::data, "reference",
          first_.back(), " reference log-probs are required, one per branch, got ", values_.size(),
          ".");
  require(marked_.empty() || marked_.size() == values_.size(), ErrorKind::data, "reference",
          values_.size(), " marked sums or none are required, got ", marked_.size(), ".");
}

std::span<const double> ReferenceLogps::marked_row(int64_t index) const {
  const auto whole = row(index);
  return marked_.empty() ? std::span<const double>()
                         : std::span(marked_).subspan(first_[index], whole.size());
}

std::span<const double> ReferenceLogps::row(int64_t index) const {
  require(index + 1 < static_cast<int64_t>(first_.size()), ErrorKind::option, "reference",
          "reference log-probs of row ", index, " are required; they are given for ",
          first_.size() ? first_.size() - 1 : 0, " rows. Compute them with reference_logps().");
  return std::span(values_).subspan(first_[index], first_[index + 1] - first_[index]);
}

PreferenceStep::PreferenceStep(Network& network, const Objective& objective, StepOptions options)
    : network_(network),
      objective_(objective),
      options_(options),
      head_(network.lm_head(), options.head) {}

PreferenceStep::Result PreferenceStep::run(std::span<const TokenizedRow> rows,
                                           std::span<const int64_t> indices,
                                           const ReferenceLogps& reference,
                                           const Normalizers& normalizers, const Inspect& inspect,
                                           std::span<const double> coupled, bool with_gradient) {
  Result result;
  for (const auto& microbatch : split_by_tokens(rows, indices, options_.tokens_per_microbatch)) {
    const PackedBatch batch = make_packed_batch(pack_rows(rows, microbatch, marks_of(objective_)));
    const Labels labels = labels_of(batch.plan);
    std::vector<double> ref_logp, ref_marked;
    if (has(objective_.needs(), Needs::reference))
      for (const int64_t index : microbatch) {
        const auto values = reference.row(index), marked = reference.marked_row(index);
        ref_logp.insert(ref_logp.end(), values.begin(), values.end());
        ref_marked.insert(ref_marked.end(), marked.begin(), marked.end());
      }
    RowInputs inputs = row_inputs(batch.plan);
    inputs.ref_logp = ref_logp;
    inputs.ref_marked = ref_marked;
    if (!coupled.empty()) {
      inputs.coupled = coupled.first(static_cast<size_t>(labels.num_sequences()));
      coupled = coupled.subspan(static_cast<size_t>(labels.num_sequences()));
    }
    RowLosses losses(objective_, normalizers, labels, inputs);
    SequenceStatistics statistics;
    if (with_gradient) {
      const at::Tensor hidden = network_.hidden(batch);
      at::Tensor d_hidden;
      if (hidden.requires_grad()) d_hidden = at::zeros(hidden.sizes(), at::kFloat);
      statistics = head_.backward(hidden, labels, std::ref(losses), d_hidden);
      require_finite(batch.plan, rows, losses);
      if (inspect) inspect(batch.plan, statistics, losses);
      if (d_hidden.defined()) hidden.backward(d_hidden);
    } else {
      c10::NoGradGuard no_grad;
      statistics = head_.statistics(network_.hidden(batch), labels);
      losses(statistics);
      require_finite(batch.plan, rows, losses);
    }
    result.loss += losses.loss();
    add_batch_metrics(labels, statistics, losses, result.metrics);
    for (const int64_t index : microbatch)
      for (const auto& branch : rows[index].branches)
        result.num_tokens += static_cast<double>(rows[index].prompt.size() + branch.size());
  }
  return result;
}

PreferenceStep::Result PreferenceStep::accumulate(std::span<const TokenizedRow> rows,
                                                  std::span<const int64_t> indices,
                                                  const ReferenceLogps& reference,
                                                  const Normalizers& normalizers,
                                                  const Inspect& inspect,
                                                  std::span<const double> coupled) {
  return run(rows, indices, reference, normalizers, inspect, coupled, true);
}

PreferenceStep::Result PreferenceStep::evaluate(std::span<const TokenizedRow> rows,
                                                std::span<const int64_t> indices,
                                                const ReferenceLogps& reference,
                                                const Normalizers& normalizers,
                                                std::span<const double> coupled) {
  return run(rows, indices, reference, normalizers, {}, coupled, false);
}

void PreferenceStep::statistics(
    std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
    const std::function<void(const PackingPlan&, const SequenceStatistics&)>& receive) {
  c10::NoGradGuard no_grad;
  for (const auto& microbatch : split_by_tokens(rows, indices, options_.tokens_per_microbatch)) {
    const PackedBatch batch = make_packed_batch(pack_rows(rows, microbatch, marks_of(objective_)));
    receive(batch.plan, head_.statistics(network_.hidden(batch), labels_of(batch.plan)));
  }
}

ReferenceLogps PreferenceStep::reference(std::span<const TokenizedRow> rows,
                                         const std::function<void(int64_t)>& progress) {
  std::vector<double> logp, marked;
  int64_t done = 0;
  statistics(rows, all_indices(rows.size()),
             [&](const PackingPlan& plan, const SequenceStatistics& statistics) {
               logp.insert(logp.end(), statistics.logp.begin(), statistics.logp.end());
               if (!plan.label_mark.empty())
                 marked.insert(marked.end(), statistics.marked.begin(), statistics.marked.end());
               done += plan.num_rows();
               if (progress) progress(done);
             });
  return ReferenceLogps(rows, std::move(logp), std::move(marked));
}

std::vector<double> PreferenceStep::logps(std::span<const TokenizedRow> rows,
                                          std::span<const int64_t> indices) {
  std::vector<double> out;
  statistics(rows, indices, [&](const PackingPlan&, const SequenceStatistics& statistics) {
    out.insert(out.end(), statistics.logp.begin(), statistics.logp.end());
  });
  return out;
}

std::vector<int64_t> all_indices(size_t count) {
  std::vector<int64_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

Normalizers normalizers_of(std::span<const TokenizedRow> rows, std::span<const int64_t> indices) {
  Normalizers n{static_cast<double>(indices.size()), 0};
  for (const int64_t index : indices)
    n.chosen_tokens += static_cast<double>(rows[index].branches.at(0).size());
  return n;
}

}  // namespace pref
