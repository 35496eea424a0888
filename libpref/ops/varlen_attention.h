// SPDX-License-Identifier: Apache-2.0
// Packed attention on a device. A shared prompt stands once in the batch; its keys and values are
// copied to where each branch reads them, [P W | P L], so that every branch is one ragged entry of
// ordinary causal attention (arXiv:2410.20305 shares prompts by a mask instead). The copies'
// gradients are added up in a fixed order.
#pragma once
#include <memory>

#include "libpref/data/packing.h"
#include "libpref/ops/attention_backend.h"
#include "libpref/ops/tensor_kernels.h"

namespace pref::ops {

/// Offsets of a batch, in host memory. `expand` and the fold are empty where no prompt is shared.
struct VarlenOffsets {
  std::vector<int64_t> cu_q, cu_k;               ///< [E + 1]
  std::vector<int64_t> expand;                   ///< [Tk] the token whose key stands there
  std::vector<int64_t> fold_begin, fold_source;  ///< [T + 1], [Tk]: a token's places
  int64_t max_q = 0, max_k = 0;
  bool dense = false;
};
/// Segments must tile [0, tokens) in order (pack_rows).
VarlenOffsets varlen_offsets(const std::vector<Segment>& segments, int64_t tokens);

/// The same on a device.
struct VarlenPlan {
  VarlenEntries entries;
  at::Tensor expand;     ///< [Tk] i64, or undefined
  RowGroupTensors fold;  ///< of tokens
};

/// qkv [T, (H + 2 K) d], rotated; returns [T, H d]. Differentiable by qkv.
at::Tensor varlen_attention(const at::Tensor& qkv, AttentionShape shape,
                            std::shared_ptr<const VarlenPlan> plan);

/// Attended (query, key) pairs, a causal n x n block counting n^2 / 2, as the CPU's tiles count.
double attended_pairs(const VarlenEntries& entries, int64_t window);

}  // namespace pref::ops
