// SPDX-License-Identifier: Apache-2.0
// What couples the rows of a global batch (objectives/coupling.h), on a device: statistics of its
// microbatches in, Sequence::coupled out, nothing waited for.
#pragma once
#include <span>
#include <vector>

#include "libpref/ops/device_head.h"

namespace pref {

/// [2] f64 on the device: mean and count of a state that is not frozen.
at::Tensor coupling_on_device(const CouplingState& state, at::Device device);
/// The state again. Waits for the device.
CouplingState coupling_on_host(const at::Tensor& state);

/// What a batch's rows have besides their statistics: B rows of S sequences, by row, then branch.
struct CouplingInputs {
  std::vector<int64_t> row_first_sequence{0};    ///< [B + 1]
  std::vector<int64_t> sequence_first_label{0};  ///< [S + 1]: token counts
  std::vector<double> ref_logp, ref_marked;      ///< [S], where the objective needs them

  /// Joins a microbatch's rows to those that are there.
  void add(const PackingPlan& plan);
};

/// [S] f64 on the device. `microbatches` lie in the order of the rows. `state` takes the batch in,
/// unless `failure` [1] i32, which may be undefined, is not 0 by then.
at::Tensor couple_on_device(const Objective& objective,
                            std::span<const DeviceStatistics> microbatches,
                            const CouplingInputs& inputs, const at::Tensor& state,
                            const at::Tensor& failure, ops::Uploader& uploader);

}  // namespace pref
