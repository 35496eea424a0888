// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (arXiv:2104.09864, eq. 34) in the layout of Hugging Face decoders:
// element i of a head is paired with element i + head_dim/2.  x_i' = x_i cos - x_{i+h/2} sin;
// x_{i+h/2}' = x_{i+h/2} cos + x_i sin
#pragma once
#include <cstdint>

namespace pref::kernels {

/// In place. x [T, stride] f32, `heads` heads of head_dim from the row's start; positions [T] i64;
/// cosine, sine [max_position, head_dim/2] f32. direction +1 rotates, -1 rotates back (the
/// gradient). head_dim is even, positions lie in [0, max_position): neither is checked, nothing
/// throws. Any alignment of an f32.
void rope_rotate(float* x, int64_t tokens, int64_t stride, int64_t heads, int64_t head_dim,
                 const int64_t* positions, const float* cosine, const float* sine, int direction);

}  // namespace pref::kernels
