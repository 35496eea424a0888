// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/device_batch.h"

#include <ATen/core/Tensor.h>

#include "kernels/cuda/rows.h"

namespace pref {
namespace {

using Words = ops::WordBuffer::Range;

struct GroupRanges {
  Words target, begin, source;
};
GroupRanges add_groups(ops::WordBuffer& buffer, std::span<const int64_t> index) {
  const kernels::cuda::RowGroups groups =
      kernels::cuda::group_rows(index.data(), static_cast<int64_t>(index.size()));
  return {buffer.add(groups.target), buffer.add(groups.begin), buffer.add(groups.source)};
}
ops::RowGroupTensors take_groups(const at::Tensor& words, const GroupRanges& ranges) {
  return {take(words, ranges.target), take(words, ranges.begin), take(words, ranges.source)};
}

std::vector<int32_t> narrowed(const std::vector<int64_t>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

PackedBatch make_packed_batch(PackingPlan plan, const RowInputs& inputs,
                              const std::vector<HeadGroup>& groups, ops::Uploader& uploader,
                              const at::Tensor& coupled) {
  ops::WordBuffer buffer;
  const Words tokens = buffer.add(plan.tokens), positions = buffer.add(plan.positions);
  const GroupRanges token_groups = add_groups(buffer, plan.tokens);
  const ops::VarlenOffsets offsets = ops::varlen_offsets(plan.segments, plan.num_tokens());
  const Words cu_q = buffer.add(narrowed(offsets.cu_q)), cu_k = buffer.add(narrowed(offsets.cu_k)),
              expand = buffer.add(offsets.expand), fold_begin = buffer.add(offsets.fold_begin),
              fold_source = buffer.add(offsets.fold_source);
  const Words label_row = buffer.add(plan.label_row), label_token = buffer.add(plan.label_token),
              sequence_first_label = buffer.add(plan.sequence_first_label),
              row_first_sequence = buffer.add(plan.row_first_sequence),
              label_mark = buffer.add(plan.label_mark);
  std::vector<GroupRanges> label_groups;
  for (const HeadGroup& group : groups)
    for (const LabelRange& chunk : group.chunks)
      label_groups.push_back(add_groups(
          buffer, std::span<const int64_t>(plan.label_row).subspan(chunk.first, chunk.count())));
  const Words ref_logp = buffer.add(inputs.ref_logp), ref_marked = buffer.add(inputs.ref_marked),
              weight = buffer.add(inputs.weight), margin = buffer.add(inputs.margin),
              score = buffer.add(inputs.score),
              win_probability = buffer.add(inputs.win_probability),
              given_coupled = buffer.add(inputs.coupled), label = buffer.add(inputs.label);

  const at::Tensor words = uploader.upload(buffer.words());
  const auto integers = [&](Words range) { return take(words, range); };
  const auto doubles = [&](Words range) { return take(words, range, at::kDouble); };
  auto attention = std::make_shared<ops::VarlenPlan>();
  attention->entries = {.cu_q = offsets.cu_q,
                        .cu_k = offsets.cu_k,
                        .cu_q_device = take(words, cu_q, at::kInt),
                        .cu_k_device = take(words, cu_k, at::kInt),
                        .max_q = offsets.max_q,
                        .max_k = offsets.max_k,
                        .dense = offsets.dense};
  attention->expand = integers(expand);
  attention->fold = {{}, integers(fold_begin), integers(fold_source)};
  auto device = std::make_shared<DeviceBatch>();
  device->token_groups = take_groups(words, token_groups);
  device->attention = std::move(attention);
  device->label_row = integers(label_row);
  device->label_token = integers(label_token);
  device->sequence_first_label = integers(sequence_first_label);
  device->row_first_sequence = integers(row_first_sequence);
  device->label_mark = doubles(label_mark);
  for (const GroupRanges& ranges : label_groups)
    device->label_groups.push_back(take_groups(words, ranges));
  device->ref_logp = doubles(ref_logp);
  device->ref_marked = doubles(ref_marked);
  device->weight = doubles(weight);
  device->margin = doubles(margin);
  device->score = doubles(score);
  device->win_probability = doubles(win_probability);
  device->coupled = coupled.defined() ? coupled : doubles(given_coupled);
  device->label = take(words, label, at::kInt);
  return {.plan = std::move(plan),
          .tokens = integers(tokens),
          .positions = integers(positions),
          .on_device = std::move(device)};
}

}  // namespace pref
