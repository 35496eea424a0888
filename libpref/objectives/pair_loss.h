// SPDX-License-Identifier: Apache-2.0
// An objective over the rows of a batch on a CUDA device: per-sequence sums in, loss, derivatives
// and rewards out, by the very functors of list.h, whose headers name paper and equation. One small
// launch per term, nothing waits. Arrays are aligned to their elements.
#pragma once
#include "kernels/cuda/types.h"
#include "libpref/objectives/objective.h"

namespace pref {

/// Device arrays, f64 unless said otherwise; B rows, S sequences ordered by row, then branch.
struct DeviceRows {
  int64_t rows = 0;
  const int64_t* row_first_sequence = nullptr;    ///< [B + 1] i64
  const int64_t* sequence_first_label = nullptr;  ///< [S + 1] i64: token counts
  const double* logp = nullptr;                   ///< [S] sums
  const double* ref_logp = nullptr;               ///< [S] sums, where the objective needs them
  const double* collision = nullptr;              ///< [S] means, where needed
  const double* max_logp = nullptr;               ///< [S] means, where needed
  const double* win_probability = nullptr;        ///< [S], where needed
  const double* score = nullptr;                  ///< [S], where needed
  const double* weight = nullptr;                 ///< [B] or null: 1
  const double* margin = nullptr;                 ///< [B] or null: 0
  const int32_t* label = nullptr;                 ///< [B] i32: 1, -1, 0 none; where needed
  const double* marked = nullptr;                 ///< [S] sums, where the objective marks tokens
  const double* ref_marked = nullptr;             ///< [S] sums, where it marks tails
  const double* unlikely = nullptr;               ///< [S] sums, where it takes token rewards
  const double* coupled = nullptr;                ///< [S], where it couples the batch
};

/// Device arrays, all f64, overwritten and required but the last two: loss, exploration,
/// pair_weight [B]; d_logp, reward [S].
struct DeviceRowLosses {
  double* loss = nullptr;
  double* d_logp = nullptr;
  double* reward = nullptr;
  double* exploration = nullptr;
  double* pair_weight = nullptr;
  double* d_marked = nullptr;    ///< [S], where the objective marks tokens
  double* d_unlikely = nullptr;  ///< [S], the same
};

/// What couple_rows() writes, on the device.
struct DeviceCoupling {
  double* coupled = nullptr;         ///< [S] f64, overwritten
  double* state = nullptr;           ///< [2] f64: CouplingState's mean and count
  const int32_t* failure = nullptr;  ///< [1] i32 or null; where not 0 the state stays as it is
  double* workspace = nullptr;       ///< [3 B] f64
};

/// What Objective::couple() gives for the rows of a global batch, by one block: rows are ranked by
/// counting, which takes B^2 steps. Throws ErrorKind::option: the objective couples nothing; an array
/// that it needs is null; libpref was built without CUDA.
void couple_rows(const Objective& objective, const DeviceRows& rows, const DeviceCoupling& out,
                 kernels::cuda::Stream stream);

/// What Objective::operator() gives for every row. A row that it would refuse (a margin without a
/// place, missing win probabilities, unordered scores, too few or too many branches) gets NaN
/// as loss and derivatives, which the step's finite check finds. Throws ErrorKind::option: an array
/// that the objective needs is null; libpref was built without CUDA.
void pair_losses(const Objective& objective, const Normalizers& normalizers, const DeviceRows& rows,
                 const DeviceRowLosses& out, kernels::cuda::Stream stream);

}  // namespace pref
