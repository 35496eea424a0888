// SPDX-License-Identifier: Apache-2.0
// Attention of ragged entries on a device: FlashAttention-2 (arXiv:2307.08691) as ATen has it for
// bf16, cuDNN through ATen where all entries are one dense block, and plain matrix products for what
// neither takes (f32, a soft cap). The only file that calls those unversioned operators. Before its
// first use each is compared with the plain form on a small case; one that fails is replaced, with
// one warning. A cuDNN graph of our own would be a further AttentionBackend.
#pragma once
#include <ATen/core/TensorBody.h>

#include <vector>

#include "libpref/ops/attention.h"

namespace pref::ops {

/// Entry e: queries [cu_q[e], cu_q[e + 1]) of q against keys [cu_k[e], cu_k[e + 1]) of k and v, at
/// least as many keys as queries. Causal, aligned to the last key: query i of n sees the first
/// keys - n + i + 1, or the last `window` of those.
struct VarlenEntries {
  std::vector<int64_t> cu_q, cu_k;      ///< [E + 1], host
  at::Tensor cu_q_device, cu_k_device;  ///< the same, i32
  int64_t max_q = 0, max_k = 0;
  bool dense = false;  ///< several entries, each of the same number of queries and as many keys
  int64_t entries() const { return static_cast<int64_t>(cu_q.size()) - 1; }
};

/// What backward needs of forward.
struct AttentionResult {
  at::Tensor out;               ///< [Tq, H, d]
  at::Tensor lse;               ///< in the back end's own layout; undefined for plain
  at::Tensor state_a, state_b;  ///< random-number state that the operators ask back
};
struct AttentionGradient {
  at::Tensor dq, dk, dv;  ///< [Tq, H, d], [Tk, K, d], contiguous in the last two dimensions
};

enum class AttentionBackend { flash, cudnn, plain };
const char* name_of(AttentionBackend backend);

/// The back end for tensors like `q` (type and device); checks it when it is asked for first.
AttentionBackend choose_attention(const at::Tensor& q, const AttentionShape& shape, bool dense);

/// q [Tq, H, d], k, v [Tk, K, d], last dimension contiguous.
AttentionResult attention_forward(AttentionBackend backend, const at::Tensor& q,
                                  const at::Tensor& k, const at::Tensor& v,
                                  const VarlenEntries& entries, const AttentionShape& shape);
AttentionGradient attention_backward(AttentionBackend backend, const at::Tensor& d_out,
                                     const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const AttentionResult& result, const VarlenEntries& entries,
                                     const AttentionShape& shape);

}  // namespace pref::ops
