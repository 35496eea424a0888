// SPDX-License-Identifier: Apache-2.0
// Row movement: gather of the hidden states that predict a label, and the ordered scatter-add of
// their gradient. Plain indexing, no paper behind it. Any alignment of an f32; indices are not
// checked, nothing throws.
#pragma once
#include <cstdint>

namespace pref::kernels {

/// out[i, :] = x[index[i], :]; x [N, D] f32, index [M] i64 in [0, N), out [M, D].
void gather_rows(const float* x, int64_t width, const int64_t* index, int64_t count, float* out);
/// x[index[i], :] += rows[i, :] in order of i (a fixed order: runs are equal bit for bit); x [N, D]
/// f32, index [M] i64, rows [M, D] f32. Column range [column_begin, column_end) only, so that
/// threads may split columns.
void scatter_add_rows(float* x, int64_t width, const int64_t* index, int64_t count,
                      const float* rows, int64_t column_begin, int64_t column_end);

}  // namespace pref::kernels
