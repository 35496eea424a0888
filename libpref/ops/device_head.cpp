// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/device_head.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "kernels/cuda/logprob.h"
#include "kernels/cuda/sequence_sums.h"
#include "libpref/base/error.h"
#include "libpref/objectives/pair_loss.h"
#include "libpref/ops/device.h"
#include "libpref/ops/flops.h"
#include "libpref/ops/matrix_product.h"
#include "libpref/ops/reused_buffer.h"

namespace pref {
namespace {

using at::Tensor;
namespace cuda = kernels::cuda;

// Rows of one product where nothing else bounds them: full rate, and dW's f32 traffic is spread.
constexpr int64_t kTargetLabels = 8192;
constexpr int64_t kRecomputeChunk = 4096;

enum Sum { kLogp, kCollision, kMaxLogp, kEntropy, kHits, kMeanLogit, kMarked, kUnlikely, kSums };
enum TokenValue {
  kTokenLogp,
  kTokenLse,
  kTokenCollision,
  kTokenEntropy,
  kTokenMaxLogp,
  kTokenHit,
  kTokenMeanLogit,
  kTokenSlope,
  kTokenValues
};

const int64_t* integers(const Tensor& x, int64_t offset = 0) {
  return x.defined() ? x.const_data_ptr<int64_t>() + offset : nullptr;
}
const double* doubles(const Tensor& x, int64_t offset = 0) {
  return x.defined() ? x.const_data_ptr<double>() + offset : nullptr;
}

}  // namespace

const double* DeviceStatistics::logp() const { return doubles(sums, kLogp * sums.size(1)); }
const double* DeviceStatistics::marked() const { return doubles(sums, kMarked * sums.size(1)); }

SequenceStatistics statistics_on_host(const DeviceStatistics& statistics, const Labels& labels) {
  const Tensor sums = statistics.sums.cpu();
  const int64_t count = labels.num_sequences();
  const double* data = sums.const_data_ptr<double>();
  const auto row = [&](int which) {
    return std::vector<double>(data + which * count, data + (which + 1) * count);
  };
  SequenceStatistics out{.logp = row(kLogp),
                         .collision = row(kCollision),
                         .entropy = row(kEntropy),
                         .max_logp = row(kMaxLogp),
                         .hits = row(kHits),
                         .mean_logit = row(kMeanLogit),
                         .num_tokens = {},
                         .marked = row(kMarked),
                         .unlikely = row(kUnlikely)};
  for (int64_t s = 0; s < count; ++s) {
    const auto n =
        static_cast<double>(labels.sequence_first_label[s + 1] - labels.sequence_first_label[s]);
    out.num_tokens.push_back(n);
    out.collision[s] *= n;
    out.max_logp[s] *= n;
  }
  return out;
}

DeviceHead::DeviceHead(Weight lm_head, HeadOptions options, LogitsType logits)
    : lm_head_(std::move(lm_head)),
      options_(options),
      logits_type_(logits == LogitsType::f32 ? at::kFloat : lm_head_.value.scalar_type()) {
  require(lm_head_.value.dim() == 2 && lm_head_.value.is_contiguous(), ErrorKind::option, "head",
          "lm_head must be a contiguous matrix [vocabulary, hidden], got ", lm_head_.value.sizes(),
          ".");
  const int64_t row = bytes_per_label() * lm_head_.value.size(0);
  require(options_.logits_bytes >= row, ErrorKind::option, "head",
          "the logits budget must hold one row of the vocabulary (", row, " bytes), got ",
          options_.logits_bytes, " bytes. Raise logits_budget_mb.");
}

int64_t DeviceHead::bytes_per_label() const {
  const auto bytes = static_cast<int64_t>(c10::elementSize(logits_type_));
  return logits_type_ == lm_head_.value.scalar_type()
             ? bytes
             : bytes + static_cast<int64_t>(lm_head_.value.element_size());
}

std::vector<HeadGroup> DeviceHead::groups(const Labels& labels) const {
  const int64_t budget = options_.logits_bytes / (bytes_per_label() * lm_head_.value.size(0));
  return head_groups(labels, std::min(budget, kTargetLabels), kRecomputeChunk);
}

void DeviceHead::check(const Tensor& hidden, const PackedBatch& batch) const {
  require(hidden.dim() == 2 && hidden.size(1) == lm_head_.value.size(1) &&
              hidden.scalar_type() == lm_head_.value.scalar_type(),
          ErrorKind::option, "head", "hidden states [T, ", lm_head_.value.size(1), "] in ",
          lm_head_.value.scalar_type(), " are required, got ", hidden.sizes(), " ",
          hidden.scalar_type(), ".");
  require(batch.on_device != nullptr, ErrorKind::option, "head",
          "a batch made for a device is required (make_packed_batch with an Uploader).");
  labels_of(batch.plan).check(hidden.size(0));
  labels_of(batch.plan).check_tokens(lm_head_.value.size(0));
}

// One call's walk.
struct DeviceHead::Steps : HeadSteps {
  Steps(DeviceHead& owner, const Tensor& hidden, const PackedBatch& packed)
      : head(owner),
        h(hidden.detach().contiguous()),
        batch(*packed.on_device),
        labels(labels_of(packed.plan)),
        weight(owner.lm_head_.value),
        width(h.size(1)),
        vocab(weight.size(0)),
        transform{static_cast<float>(owner.options_.logit_scale),
                  static_cast<float>(owner.options_.logit_soft_cap)},
        stream(ops::stream_of(h)),
        tokens(at::empty({kTokenValues, labels.num_labels()}, h.options().dtype(at::kFloat))),
        sums(at::zeros({kSums, labels.num_sequences()}, h.options().dtype(at::kDouble))) {}

  float* token(TokenValue which, int64_t label = 0) const {
    return tokens.mutable_data_ptr<float>() + which * labels.num_labels() + label;
  }
  double* sum(Sum which) const {
    return sums.mutable_data_ptr<double>() + which * labels.num_sequences();
  }
  Tensor logits_view(LabelRange range) const {
    return ops::reused(head.logits_, range.count(), vocab, h.options().dtype(head.logits_type_));
  }
  Tensor gathered_view(LabelRange range) const {
    return ops::reused(head.gathered_, range.count(), width, h.options());
  }
  Tensor floats(int64_t count) const { return at::empty({count}, tokens.options()); }
  void count_flops(LabelRange range) const {
    detail::count_head_flops(2.0 * range.count() * width * vocab);
  }

  void logits(LabelRange range) override {
    const Tensor gathered = gathered_view(range);
    ops::take_rows_into(h, integers(batch.label_row, range.first), gathered);
    ops::product_into(logits_view(range), gathered, weight.t());
    count_flops(range);
  }

  void statistics(LabelRange range) override {
    const int64_t l = range.first, parts = cuda::logprob_parts(range.count(), vocab);
    const kernels::TokenStatistics out{token(kTokenLogp, l),      token(kTokenLse, l),
                                       token(kTokenCollision, l), token(kTokenEntropy, l),
                                       token(kTokenMaxLogp, l),   token(kTokenHit, l),
                                       token(kTokenMeanLogit, l)};
    Tensor workspace;
    if (parts > 1)
      workspace = floats(range.count() * parts *
                         static_cast<int64_t>(sizeof(cuda::LogprobPartial) / sizeof(float)));
    cuda::logprob_statistics(ops::const_pointer(head.logits_), range.count(), vocab, vocab,
                             integers(batch.label_token, l), transform, out,
                             workspace.defined()
                                 ? static_cast<cuda::LogprobPartial*>(workspace.mutable_data_ptr())
                                 : nullptr,
                             stream);
  }

  // Token statistics to the sums of sequences [first, end).
  void add_up(int64_t first, int64_t end) {
    const int64_t* offsets = integers(batch.sequence_first_label, first);
    const cuda::SequenceSum all[] = {{token(kTokenLogp), sum(kLogp) + first},
                                     {token(kTokenCollision), sum(kCollision) + first, true},
                                     {token(kTokenMaxLogp), sum(kMaxLogp) + first, true},
                                     {token(kTokenEntropy), sum(kEntropy) + first},
                                     {token(kTokenHit), sum(kHits) + first},
                                     {token(kTokenMeanLogit), sum(kMeanLogit) + first}};
    cuda::sequence_sums(offsets, end - first, all, 4, stream);
    cuda::sequence_sums(offsets, end - first, all + 4, 2, stream);
    if (batch.label_mark.defined())
      cuda::marked_sums(offsets, end - first, doubles(batch.label_mark), token(kTokenLogp),
                        sum(kMarked) + first, sum(kUnlikely) + first, stream);
  }

  void coefficients(const HeadGroup& group) override {
    add_up(group.first_sequence, group.end_sequence);
    const int64_t rows = group.end_row - group.first_row, r = group.first_row,
                  sequences = labels.num_sequences();
    const bool marks = batch.label_mark.defined();
    const DeviceRows in{
        .rows = rows,
        .row_first_sequence = integers(batch.row_first_sequence, r),
        .sequence_first_label = integers(batch.sequence_first_label),
        .logp = sum(kLogp),
        .ref_logp = doubles(batch.ref_logp),
        .collision = sum(kCollision),
        .max_logp = sum(kMaxLogp),
        .win_probability = doubles(batch.win_probability),
        .score = doubles(batch.score),
        .weight = doubles(batch.weight, r),
        .margin = doubles(batch.margin, r),
        .label = batch.label.defined() ? batch.label.const_data_ptr<int32_t>() + r : nullptr,
        .marked = marks ? sum(kMarked) : nullptr,
        .ref_marked = doubles(batch.ref_marked),
        .unlikely = marks ? sum(kUnlikely) : nullptr,
        .coupled = doubles(batch.coupled)};
    // loss, exploration, pair weight of the rows; slopes and rewards of all sequences.
    const Tensor results = at::empty({3 * rows + 4 * sequences}, sums.options());
    double* p = results.mutable_data_ptr<double>();
    double* s = p + 3 * rows;
    const DeviceRowLosses out{.loss = p,
                              .d_logp = s,
                              .reward = s + sequences,
                              .exploration = p + rows,
                              .pair_weight = p + 2 * rows,
                              .d_marked = marks ? s + 2 * sequences : nullptr,
                              .d_unlikely = marks ? s + 3 * sequences : nullptr};
    pair_losses(*objective, normalizers, in, out, stream);
    if (failure.defined())
      failure.bitwise_or_(results.narrow(0, 0, rows).isfinite().logical_not().any().to(at::kInt));
    cuda::MarkSlopes slopes;
    if (marks)
      slopes = {doubles(batch.label_mark), token(kTokenLogp), out.d_marked + group.first_sequence,
                out.d_unlikely + group.first_sequence};
    cuda::spread_to_labels(out.d_logp + group.first_sequence,
                           integers(batch.sequence_first_label, group.first_sequence),
                           group.end_sequence - group.first_sequence, token(kTokenSlope), stream,
                           slopes);
  }

  void gradient(LabelRange range) override {
    const int64_t l = range.first;
    const Tensor logits = logits_view(range);
    const Tensor workspace =
        floats(range.count() * static_cast<int64_t>(sizeof(cuda::RowGradient) / sizeof(float)));
    cuda::logprob_gradient(ops::pointer(logits), range.count(), vocab, vocab,
                           integers(batch.label_token, l), token(kTokenLogp, l),
                           token(kTokenLse, l), token(kTokenSlope, l), transform,
                           static_cast<cuda::RowGradient*>(workspace.mutable_data_ptr()), stream);
    Tensor dz = logits;
    if (logits.scalar_type() != weight.scalar_type()) {
      dz = ops::reused(head.d_logits_, range.count(), vocab, weight.options().requires_grad(false));
      dz.copy_(logits);
    }
    Tensor gathered = gathered_view(range);
    if (head.lm_head_.gradient.defined()) {
      ops::add_product(head.lm_head_.gradient, dz.t(), gathered);
      count_flops(range);
    }
    const ops::RowGroupTensors& groups = batch.label_groups[next_chunk++];
    if (!d_hidden.defined()) return;
    at::mm_out(gathered, dz, weight);  // the hidden states are no longer needed
    count_flops(range);
    ops::add_rows(d_hidden, integers(batch.label_row, l), groups, gathered);
  }

  DeviceHead& head;
  const Tensor h;
  const DeviceBatch& batch;
  const Labels labels;
  const Tensor weight;
  int64_t width, vocab;
  kernels::LogitTransform transform;
  cuda::Stream stream;
  Tensor tokens, sums;
  // Of backward().
  const Objective* objective = nullptr;
  Normalizers normalizers;
  Tensor d_hidden, failure;
  size_t next_chunk = 0;
};

DeviceStatistics DeviceHead::statistics(const Tensor& hidden, const PackedBatch& batch) {
  c10::NoGradGuard no_grad;
  check(hidden, batch);
  Steps steps(*this, hidden, batch);
  const int64_t budget = options_.logits_bytes / (bytes_per_label() * lm_head_.value.size(0));
  walk_head(label_chunks(steps.labels, std::min(budget, kTargetLabels)), steps);
  steps.add_up(0, steps.labels.num_sequences());
  return {steps.sums};
}

DeviceStatistics DeviceHead::backward(const Tensor& hidden, const PackedBatch& batch,
                                      const std::vector<HeadGroup>& groups,
                                      const Objective& objective, const Normalizers& normalizers,
                                      const Tensor& d_hidden, const Tensor& failure) {
  c10::NoGradGuard no_grad;
  check(hidden, batch);
  if (d_hidden.defined())
    require(d_hidden.sizes() == hidden.sizes() && d_hidden.is_contiguous() &&
                d_hidden.scalar_type() == hidden.scalar_type(),
            ErrorKind::option, "head", "d_hidden must be contiguous, of hidden's shape ",
            hidden.sizes(), " and type, got ", d_hidden.sizes(), " ", d_hidden.scalar_type(), ".");
  Steps steps(*this, hidden, batch);
  steps.objective = &objective;
  steps.normalizers = normalizers;
  steps.d_hidden = d_hidden;
  steps.failure = failure;
  walk_head(groups, steps);
  return {steps.sums};
}

}  // namespace pref
