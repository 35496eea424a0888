// SPDX-License-Identifier: Apache-2.0
// A packed batch on a device: everything that a step's kernels read besides weights, sent in one
// copy, so that nothing of it is asked back.
#pragma once
#include <memory>
#include <vector>

#include "libpref/ops/head_walk.h"
#include "libpref/ops/packed_batch.h"
#include "libpref/ops/row_losses.h"
#include "libpref/ops/upload.h"
#include "libpref/ops/varlen_attention.h"

namespace pref {

/// i64 unless said otherwise; undefined where the batch has none.
struct DeviceBatch {
  ops::RowGroupTensors token_groups;  ///< which tokens' gradients an embedding row adds up
  std::shared_ptr<const ops::VarlenPlan> attention;

  // The head's labels, and how a chunk of its walk adds dH up (one entry a chunk, in walk order).
  at::Tensor label_row, label_token;                    ///< [L]
  at::Tensor sequence_first_label, row_first_sequence;  ///< [S + 1], [B + 1]
  at::Tensor label_mark;                                ///< [L] f64
  std::vector<ops::RowGroupTensors> label_groups;

  // RowInputs, f64: [S] or [B] as there; label i32.
  at::Tensor ref_logp, ref_marked, weight, margin, score, win_probability, coupled, label;
};

/// `groups` is the walk that the head will take; empty for statistics alone. `coupled` [S] f64 is
/// there already, or undefined: then it is that of `inputs`.
PackedBatch make_packed_batch(PackingPlan plan, const RowInputs& inputs,
                              const std::vector<HeadGroup>& groups, ops::Uploader& uploader,
                              const at::Tensor& coupled = {});

}  // namespace pref
