// SPDX-License-Identifier: Apache-2.0
// Row movement on CUDA: gather (rows that predict a label, embedding rows, the shared prompt's keys
// and values for every branch) and its gradient, sums of rows in a fixed order without atomics
// (scatter-add of dH, embedding gradient, the fold of a shared prompt's key and value gradients).
// Plain indexing, no paper behind it. Throws (option): x and out of two types.
#pragma once
#include <vector>

#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// out[i, :] = x[index[i], :width]; x [N, stride_x], index [M] i64 in [0, N) (not checked), out [M,
/// width] of x's type.
void gather_rows(ConstPointer x, int64_t stride_x, int64_t width, const int64_t* index,
                 int64_t count, Pointer out, Stream stream);

/// Rows grouped by where they go, on the host: group u adds rows source[begin[u] .. begin[u + 1])
/// to row target[u]. Targets rise; sources of a group keep their order.
struct RowGroups {
  std::vector<int64_t> target, begin, source;
  int64_t count() const { return static_cast<int64_t>(target.size()); }
};
/// index [count] i64 on the host. Needs no device and is there in every build.
RowGroups group_rows(const int64_t* index, int64_t count);

/// x[target[u], :] = (accumulate ? x[target[u], :] : 0) + sum of rows[source[k], :] for begin[u] <=
/// k < begin[u + 1], in order of k, in f32, rounded once. x [N, stride_x], the first `width` columns
/// used, and rows [M, width] f32 or bf16, not aliased; target [groups] (no two equal) or null for
/// target[u] = u, begin [groups + 1], source i64, all on the device. Rows of x that are no target stay as they are.
void sum_row_groups(Pointer x, int64_t stride_x, int64_t width, const int64_t* target,
                    const int64_t* begin, const int64_t* source, int64_t groups, ConstPointer rows,
                    bool accumulate, Stream stream);

}  // namespace pref::kernels::cuda
