// SPDX-License-Identifier: Apache-2.0
// Causal attention over a packed batch whose branches share their prompt's keys and values, which
// exist once. Back end on the CPU: ATen's flash attention per tile. Its `is_causal` aligns top-left
// (wrong where there are fewer queries than keys), so a branch runs as prompt tile (no mask) plus
// own tile (causal), merged by log-sum-exp; the backward pass of each tile takes the merged output
// and log-sum-exp, which makes its gradients exact.
#pragma once
#include <ATen/core/TensorBody.h>

#include <memory>
#include <vector>

#include "libpref/data/packing.h"

namespace pref::ops {

struct AttentionShape {
  int64_t query_heads, key_heads, head_dim;
  int64_t window = 0;   ///< keys visible to a query, itself included; 0 = all earlier ones
  double scale = 0;     ///< of the scores; 0 = 1/sqrt(head_dim)
  double soft_cap = 0;  ///< soft_cap tanh(score / soft_cap), on a device only; 0 = none
};

/// Which tiles of the score matrix a packed batch computes, with their masks. Made once per batch
/// and window, used by every layer.
struct AttentionPlan;
std::shared_ptr<const AttentionPlan> make_attention_plan(const std::vector<Segment>& segments,
                                                         AttentionShape shape,
                                                         at::ScalarType dtype);

/// qkv [T, (H + 2 K) d] f32 or f64, rotated; returns [T, H d]. Query head h reads key head h /
/// (H/K). Differentiable by qkv. Rows run side by side on threads; a row's result depends on its
/// batch mates and on the thread count only by the rounding of the matrix products.
at::Tensor packed_attention(const at::Tensor& qkv, std::shared_ptr<const AttentionPlan> plan);

}  // namespace pref::ops
