// SPDX-License-Identifier: Apache-2.0
// kernels/rope.h on CUDA (arXiv:2104.09864, eq. 34, halves paired as in Hugging Face decoders),
// optionally writing to other rows: keys of a shared prompt go straight to where every branch reads
// them.
#pragma once
#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// out[i] = x[r] turned by direction times the angles of positions[r], r = source[i], or i where
/// `source` is null. x [T, stride_x], out [rows, stride_out] f32 or bf16 alike, `heads` heads of
/// head_dim (even) from a row's start; out may be x when source is null and strides are equal.
/// positions [T] i64; cosine, sine [max_position, head_dim / 2] f32. direction +1 or -1 (the
/// gradient). Throws (option): an odd head_dim, a stride below heads * head_dim, another direction.
void rope_rotate(ConstPointer x, int64_t stride_x, const int64_t* source, int64_t rows,
                 int64_t heads, int64_t head_dim, const int64_t* positions, const float* cosine,
                 const float* sine, int direction, void* out, int64_t stride_out, Stream stream);

}  // namespace pref::kernels::cuda
