// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/device_coupling.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include "libpref/objectives/pair_loss.h"
#include "libpref/ops/device.h"

namespace pref {

at::Tensor coupling_on_device(const CouplingState& state, at::Device device) {
  at::Tensor out = at::empty({2}, at::TensorOptions(at::kDouble).device(device));
  out.narrow(0, 0, 1).fill_(state.mean);  // as arguments of a kernel: no copy to wait for
  out.narrow(0, 1, 1).fill_(state.count);
  return out;
}

CouplingState coupling_on_host(const at::Tensor& state) {
  const at::Tensor values = state.cpu();
  return {values.const_data_ptr<double>()[0], values.const_data_ptr<double>()[1]};
}

void CouplingInputs::add(const PackingPlan& plan) {
  const auto join = [](std::vector<int64_t>& to, const std::vector<int64_t>& offsets) {
    const int64_t base = to.back();
    for (size_t i = 1; i < offsets.size(); ++i) to.push_back(base + offsets[i]);
  };
  join(row_first_sequence, plan.row_first_sequence);
  join(sequence_first_label, plan.sequence_first_label);
}

at::Tensor couple_on_device(const Objective& objective,
                            std::span<const DeviceStatistics> microbatches,
                            const CouplingInputs& inputs, const at::Tensor& state,
                            const at::Tensor& failure, ops::Uploader& uploader) {
  ops::WordBuffer buffer;
  const auto rows = buffer.add(inputs.row_first_sequence),
             labels = buffer.add(inputs.sequence_first_label),
             ref_logp = buffer.add(inputs.ref_logp), ref_marked = buffer.add(inputs.ref_marked);
  const at::Tensor words = uploader.upload(buffer.words());
  std::vector<at::Tensor> sums;
  for (const DeviceStatistics& one : microbatches) sums.push_back(one.sums);
  const DeviceStatistics whole{at::cat(sums, 1)};
  const int64_t num_rows = rows.count - 1;
  const at::Tensor coupled = at::empty({labels.count - 1}, state.options()),
                   workspace = at::empty({3 * num_rows}, state.options());
  const auto integers = [&](const auto& range) {
    return take(words, range).template const_data_ptr<int64_t>();
  };
  const auto doubles = [&](const auto& range) -> const double* {
    return range.count == 0 ? nullptr
                            : take(words, range, at::kDouble).template const_data_ptr<double>();
  };
  couple_rows(objective,
              {.rows = num_rows,
               .row_first_sequence = integers(rows),
               .sequence_first_label = integers(labels),
               .logp = whole.logp(),
               .ref_logp = doubles(ref_logp),
               .marked = whole.marked(),
               .ref_marked = doubles(ref_marked)},
              {.coupled = coupled.mutable_data_ptr<double>(),
               .state = state.mutable_data_ptr<double>(),
               .failure = failure.defined() ? failure.const_data_ptr<int32_t>() : nullptr,
               .workspace = workspace.mutable_data_ptr<double>()},
              ops::stream_of(state));
  return coupled;
}

}  // namespace pref
