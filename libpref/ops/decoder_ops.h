// SPDX-License-Identifier: Apache-2.0
// Differentiable operators of a decoder block over packed rows, each a thin autograd function
// around a kernel or a matrix product. Gradients of weights are added into Weight::gradient where
// one is given. f32, contiguous.
#pragma once
#include <ATen/core/TensorBody.h>

#include <vector>

#include "libpref/ops/weight.h"

namespace pref::ops {

/// x [T, I] times weight [O, I] transposed, plus bias [O] and residual [T, O] where defined.
/// Returns [T, O].
at::Tensor linear(const at::Tensor& x, const Weight& weight, const Weight& bias = {},
                  const at::Tensor& residual = {});

/// Rows of `weight` [V, D] for tokens [T] i64. The gradient is a scatter-add in a fixed order.
/// Throws ErrorKind::data: a token outside [0, V).
at::Tensor embedding(const at::Tensor& tokens, const Weight& weight);

/// RMSNorm over the last dimension of x [T, D] with weight [D].
at::Tensor rms_norm(const at::Tensor& x, const Weight& weight, double eps);

/// RMSNorm of each head (Qwen3): qkv [T, (H + 2 K) d]; q heads with q_weight [d], k heads with
/// k_weight [d], v untouched.
at::Tensor head_norm(const at::Tensor& qkv, const Weight& q_weight, const Weight& k_weight,
                     int64_t query_heads, int64_t key_heads, int64_t head_dim, double eps);

/// Rotates the first `heads` heads (queries and keys) of qkv [T, W] by positions [T] i64; cosine,
/// sine [max, d/2] f32.
at::Tensor rope(const at::Tensor& qkv, const at::Tensor& positions, const at::Tensor& cosine,
                const at::Tensor& sine, int64_t heads, int64_t head_dim);

/// silu(gate) * up of gate_up [T, 2 I], gate first. Returns [T, I].
at::Tensor swiglu(const at::Tensor& gate_up);

}  // namespace pref::ops
