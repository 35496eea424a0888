// SPDX-License-Identifier: Apache-2.0
// A preference loss as one differentiable call on hidden states, for training loops that are not
// ours:
//
//   auto hidden = my_network(tokens);                                    // [T, D], any layout of
//     rows
//   auto result = pref::preference_loss(hidden, my_network.lm_head, labels, pref::DPO{.beta = 0.1},
//     {.ref_logp = ref});
//   result.loss.backward();
//
// The gradients are computed with the loss, in the head's single walk, and kept; backward only
// scales and returns them.
#pragma once
#include <ATen/core/TensorBody.h>

#include <optional>

#include "libpref/ops/row_losses.h"

namespace pref {

struct PreferenceLoss {
  at::Tensor loss;                ///< scalar f32, differentiable by hidden and lm_head
  SequenceStatistics statistics;  ///< [S]
  std::vector<double> rewards;    ///< [S]
};

/// hidden [T, D] f32, lm_head [V, D] f32, or both f32 or bf16 on a device, which is waited for;
/// `labels` and `inputs` as their structs say. The loss is divided by `normalizers`, by default the
/// rows (and chosen tokens) of this call. Under no-grad
/// only statistics are computed. Throws ErrorKind::option for shapes that disagree, ErrorKind::data
/// for a token outside [0, V).
PreferenceLoss preference_loss(const at::Tensor& hidden, const at::Tensor& lm_head,
                               const Labels& labels, const Objective& objective,
                               const RowInputs& inputs, const HeadOptions& options = {},
                               std::optional<Normalizers> normalizers = std::nullopt);

/// The normalizers of a batch taken by itself: its rows, and the labels of its rows' first
/// branches.
Normalizers normalizers_of(const Labels& labels);

}  // namespace pref
