// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/step.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <numeric>

#include "libpref/base/error.h"
#include "libpref/ops/device.h"
#include "libpref/ops/device_coupling.h"

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

/// Adds the rows' reference log-probs, and their marked sums where they are given.
void append(const ReferenceLogps& reference, std::span<const int64_t> indices,
            std::vector<double>& logp, std::vector<double>& marked) {
  for (const int64_t index : indices) {
    const auto values = reference.row(index), marks = reference.marked_row(index);
    logp.insert(logp.end(), values.begin(), values.end());
    marked.insert(marked.end(), marks.begin(), marks.end());
  }
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

// What a microbatch was computed from, and what came of it.
struct PreferenceStep::Pending::Microbatch {
  PackedBatch batch;  // on a device only its plan is kept
  std::vector<double> ref_logp, ref_marked, coupled;
  at::Tensor coupled_on_device;
  RowInputs inputs;
  Labels labels;
  SequenceStatistics statistics;    // of the CPU
  std::optional<RowLosses> losses;  // likewise
  DeviceStatistics device_statistics;
};

PreferenceStep::Pending::Pending() = default;
PreferenceStep::Pending::~Pending() = default;
PreferenceStep::Pending::Pending(Pending&&) noexcept = default;
PreferenceStep::Pending& PreferenceStep::Pending::operator=(Pending&&) noexcept = default;

struct PreferenceStep::OnDevice {
  OnDevice(const Weight& lm_head, const StepOptions& options, at::Device device)
      : head(lm_head, options.head, options.logits), uploader(device) {}
  DeviceHead head;
  ops::Uploader uploader;
};

PreferenceStep::PreferenceStep(Network& network, const Objective& objective, StepOptions options)
    : network_(network), objective_(objective), options_(options) {
  const Placement& placement = network.parameters().placement();
  if (ops::on_device(placement.device))
    device_ = std::make_unique<OnDevice>(network.lm_head(), options_, placement.device);
  else
    head_.emplace(network.lm_head(), options.head);
}
PreferenceStep::~PreferenceStep() = default;

void PreferenceStep::compute(Pending::Microbatch& m, const Normalizers& normalizers,
                             bool with_gradient, const at::Tensor& failure) {
  const at::AutoGradMode grad(with_gradient && at::GradMode::is_enabled());
  if (device_) {
    const auto groups = with_gradient ? device_->head.groups(m.labels) : std::vector<HeadGroup>();
    m.batch = make_packed_batch(std::move(m.batch.plan), m.inputs, groups, device_->uploader,
                                m.coupled_on_device);
    const at::Tensor hidden = network_.hidden(m.batch);
    if (with_gradient) {
      at::Tensor d_hidden;
      if (hidden.requires_grad()) d_hidden = at::zeros(hidden.sizes(), hidden.options());
      m.device_statistics = device_->head.backward(hidden, m.batch, groups, objective_, normalizers,
                                                   d_hidden, failure);
      if (d_hidden.defined()) hidden.backward(d_hidden);
    } else {
      m.device_statistics = device_->head.statistics(hidden, m.batch);
    }
    m.batch = {.plan = std::move(m.batch.plan)};  // nobody waits for the memory
    return;
  }
  m.batch = make_packed_batch(std::move(m.batch.plan));
  const at::Tensor hidden = network_.hidden(m.batch);
  m.losses.emplace(objective_, normalizers, m.labels, m.inputs);
  if (with_gradient) {
    at::Tensor d_hidden;
    if (hidden.requires_grad()) d_hidden = at::zeros(hidden.sizes(), at::kFloat);
    m.statistics = head_->backward(hidden, m.labels, std::ref(*m.losses), d_hidden);
    if (d_hidden.defined()) hidden.backward(d_hidden);
  } else {
    m.statistics = head_->statistics(hidden, m.labels);
    (*m.losses)(m.statistics);
  }
}

PreferenceStep::Pending PreferenceStep::run(std::span<const TokenizedRow> rows,
                                            std::span<const int64_t> indices,
                                            const ReferenceLogps& reference,
                                            const Normalizers& normalizers, Coupled coupled,
                                            bool with_gradient, const at::Tensor& failure) {
  Pending pending;
  int64_t sequences = 0;
  pending.normalizers_ = normalizers;
  for (const auto& microbatch : split_by_tokens(rows, indices, options_.tokens_per_microbatch)) {
    auto& m = *pending.microbatches_.emplace_back(std::make_unique<Pending::Microbatch>());
    m.batch.plan = pack_rows(rows, microbatch, marks_of(objective_));
    if (has(objective_.needs(), Needs::reference))
      append(reference, microbatch, m.ref_logp, m.ref_marked);
    const int64_t count = m.batch.plan.num_sequences();
    if (!coupled.values.empty()) {
      const auto own =
          coupled.values.subspan(static_cast<size_t>(sequences), static_cast<size_t>(count));
      m.coupled.assign(own.begin(), own.end());
    }
    if (coupled.on_device.defined())
      m.coupled_on_device = coupled.on_device.narrow(0, sequences, count);
    sequences += count;
    // Views of the plan's arrays, which keep their place when the plan is moved.
    m.labels = labels_of(m.batch.plan);
    m.inputs = row_inputs(m.batch.plan);
    m.inputs.ref_logp = m.ref_logp;
    m.inputs.ref_marked = m.ref_marked;
    m.inputs.coupled = m.coupled;
    compute(m, normalizers, with_gradient, failure);
    for (const int64_t index : microbatch)
      for (const auto& branch : rows[index].branches)
        pending.num_tokens_ += static_cast<double>(rows[index].prompt.size() + branch.size());
  }
  return pending;
}

PreferenceStep::Pending PreferenceStep::enqueue(std::span<const TokenizedRow> rows,
                                                std::span<const int64_t> indices,
                                                const ReferenceLogps& reference,
                                                const Normalizers& normalizers, Coupled coupled,
                                                const at::Tensor& failure) {
  return run(rows, indices, reference, normalizers, std::move(coupled), true, failure);
}

PreferenceStep::Coupled PreferenceStep::enqueue_coupling(std::span<const TokenizedRow> rows,
                                                         std::span<const int64_t> indices,
                                                         const ReferenceLogps& reference,
                                                         const at::Tensor& state,
                                                         const at::Tensor& failure) {
  c10::NoGradGuard no_grad;
  std::vector<DeviceStatistics> statistics;
  CouplingInputs inputs;
  if (has(objective_.needs(), Needs::reference))
    append(reference, indices, inputs.ref_logp, inputs.ref_marked);
  for (const auto& microbatch : split_by_tokens(rows, indices, options_.tokens_per_microbatch)) {
    PackingPlan plan = pack_rows(rows, microbatch, marks_of(objective_));
    inputs.add(plan);
    const PackedBatch batch = make_packed_batch(std::move(plan), {}, {}, device_->uploader);
    statistics.push_back(device_->head.statistics(network_.hidden(batch), batch));
  }
  return {.on_device =
              couple_on_device(objective_, statistics, inputs, state, failure, device_->uploader)};
}

PreferenceStep::Result PreferenceStep::finish(const Pending& pending,
                                              std::span<const TokenizedRow> rows,
                                              const Inspect& inspect) {
  Result result;
  result.num_tokens = pending.num_tokens_;
  for (const auto& held : pending.microbatches_) {
    Pending::Microbatch& m = *held;
    if (device_ && !m.losses) {
      if (m.coupled_on_device.defined()) {
        const at::Tensor values = m.coupled_on_device.cpu();
        const double* first = values.const_data_ptr<double>();
        m.coupled.assign(first, first + values.numel());
        m.inputs.coupled = m.coupled;
      }
      m.statistics = statistics_on_host(m.device_statistics, m.labels);
      m.losses.emplace(objective_, pending.normalizers_, m.labels, m.inputs);
      (*m.losses)(m.statistics);
    }
    require_finite(m.batch.plan, rows, *m.losses);
    if (inspect) inspect(m.batch.plan, m.statistics, *m.losses);
    result.loss += m.losses->loss();
    add_batch_metrics(m.labels, m.statistics, *m.losses, result.metrics);
  }
  return result;
}

PreferenceStep::Result PreferenceStep::accumulate(std::span<const TokenizedRow> rows,
                                                  std::span<const int64_t> indices,
                                                  const ReferenceLogps& reference,
                                                  const Normalizers& normalizers,
                                                  const Inspect& inspect, Coupled coupled) {
  return finish(run(rows, indices, reference, normalizers, std::move(coupled), true, {}), rows,
                inspect);
}

PreferenceStep::Result PreferenceStep::evaluate(std::span<const TokenizedRow> rows,
                                                std::span<const int64_t> indices,
                                                const ReferenceLogps& reference,
                                                const Normalizers& normalizers, Coupled coupled) {
  return finish(run(rows, indices, reference, normalizers, std::move(coupled), false, {}), rows);
}

void PreferenceStep::statistics(
    std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
    const std::function<void(const PackingPlan&, const SequenceStatistics&)>& receive) {
  c10::NoGradGuard no_grad;
  // On a device one microbatch is computed while the one before is read.
  struct Waiting {
    PackingPlan plan;
    DeviceStatistics statistics;
  };
  std::optional<Waiting> waiting;
  const auto read = [&] {
    if (waiting)
      receive(waiting->plan, statistics_on_host(waiting->statistics, labels_of(waiting->plan)));
  };
  for (const auto& microbatch : split_by_tokens(rows, indices, options_.tokens_per_microbatch)) {
    PackingPlan plan = pack_rows(rows, microbatch, marks_of(objective_));
    if (device_) {
      PackedBatch batch = make_packed_batch(std::move(plan), {}, {}, device_->uploader);
      DeviceStatistics next = device_->head.statistics(network_.hidden(batch), batch);
      read();
      waiting = Waiting{std::move(batch.plan), std::move(next)};
    } else {
      const PackedBatch batch = make_packed_batch(std::move(plan));
      receive(batch.plan, head_->statistics(network_.hidden(batch), labels_of(batch.plan)));
    }
  }
  read();
}

ReferenceLogps PreferenceStep::reference(std::span<const TokenizedRow> rows,
                                         const std::function<void(int64_t)>& progress) {
  SequenceLogps all = logps(rows, all_indices(rows.size()), progress);
  return ReferenceLogps(rows, std::move(all.logp), std::move(all.marked));
}

SequenceLogps PreferenceStep::logps(std::span<const TokenizedRow> rows,
                                    std::span<const int64_t> indices,
                                    const std::function<void(int64_t)>& progress) {
  SequenceLogps out;
  int64_t done = 0;
  statistics(rows, indices, [&](const PackingPlan& plan, const SequenceStatistics& statistics) {
    out.logp.insert(out.logp.end(), statistics.logp.begin(), statistics.logp.end());
    if (!plan.label_mark.empty())
      out.marked.insert(out.marked.end(), statistics.marked.begin(), statistics.marked.end());
    done += plan.num_rows();
    if (progress) progress(done);
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
