// SPDX-License-Identifier: Apache-2.0
// Differentiable operators of a decoder block over packed rows, each a thin autograd function
// around a kernel or a matrix product. Gradients of weights are added into Weight::gradient where
// one is given. f32 on the CPU, f32 or bf16 on a device; contiguous. What can be had again from
// what is kept anyway (a norm's output, silu(gate) * up) is computed again in the backward pass
// instead of kept.
#pragma once
#include <ATen/core/TensorBody.h>

#include <functional>
#include <vector>

#include "libpref/ops/tensor_kernels.h"
#include "libpref/ops/weight.h"

namespace pref::ops {

/// x [T, I] times weight [O, I] transposed, plus bias [O] and residual [T, O] where defined.
/// Returns [T, O].
at::Tensor linear(const at::Tensor& x, const Weight& weight, const Weight& bias = {},
                  const at::Tensor& residual = {});

/// linear(rms_norm(x, norm, eps), weight, bias), keeping x alone.
at::Tensor norm_linear(const at::Tensor& x, const Weight& norm, double eps, const Weight& weight,
                       const Weight& bias = {});

/// linear(swiglu(gate_up), weight, bias, residual), keeping gate_up alone.
at::Tensor swiglu_linear(const at::Tensor& gate_up, const Weight& weight, const Weight& bias = {},
                         const at::Tensor& residual = {});

/// Rows of `weight` [V, D] for tokens [T] i64. The gradient is a scatter-add in a fixed order; on a
/// device it needs the tokens' groups (row_groups_on), and without them the tokens are read back.
/// Throws ErrorKind::data: a token outside [0, V) (on a device callers check; see check_tokens).
at::Tensor embedding(const at::Tensor& tokens, const Weight& weight,
                     const RowGroupTensors& groups = {});
void check_tokens(at::ArrayRef<int64_t> tokens, int64_t vocab, const char* where);

/// RMSNorm over the last dimension of x [T, D] with weight [D].
at::Tensor rms_norm(const at::Tensor& x, const Weight& weight, double eps);

/// RMSNorm of each head (Qwen3): qkv [T, (H + 2 K) d]; q heads with q_weight [d], k heads with
/// k_weight [d], v untouched.
at::Tensor head_norm(const at::Tensor& qkv, const Weight& q_weight, const Weight& k_weight,
                     int64_t query_heads, int64_t key_heads, int64_t head_dim, double eps);

/// Rotates the first `heads` heads (queries and keys) of qkv [T, W] by positions [T] i64; cosine,
/// sine [max, d/2] f32. rope_ does so in place: qkv is contiguous, no leaf, and nobody's input.
at::Tensor rope(const at::Tensor& qkv, const at::Tensor& positions, const at::Tensor& cosine,
                const at::Tensor& sine, int64_t heads, int64_t head_dim);
at::Tensor rope_(const at::Tensor& qkv, const at::Tensor& positions, const at::Tensor& cosine,
                 const at::Tensor& sine, int64_t heads, int64_t head_dim);

/// silu(gate) * up of gate_up [T, 2 I], gate first. Returns [T, I].
at::Tensor swiglu(const at::Tensor& gate_up);

/// f(x), keeping x alone: f runs a second time in the backward pass. f must be a function of x and
/// of weights whose gradients are added in place (Weight::gradient); `anchor` is any tensor that
/// requires a gradient, so that f's weights get theirs where x needs none.
at::Tensor recomputed(const std::function<at::Tensor(const at::Tensor&)>& f, const at::Tensor& x,
                      const at::Tensor& anchor);

}  // namespace pref::ops
