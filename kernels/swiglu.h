// SPDX-License-Identifier: Apache-2.0
// SwiGLU (arXiv:2002.05202, eq. 5): y = silu(gate) * up, silu(g) = g / (1 + e^-g). gate and up
// stand side by side in one matrix. Any alignment of an f32; arguments are not checked, nothing
// throws.
#pragma once
#include <cstdint>

namespace pref::kernels {

/// gate_up [N, 2 D] f32 (gate first), y [N, D] f32.
void swiglu_forward(const float* gate_up, int64_t rows, int64_t width, float* y);
/// d_gate_up [N, 2 D] f32 from dy [N, D] f32; gate_up as in forward. May alias gate_up.
void swiglu_backward(const float* dy, const float* gate_up, int64_t rows, int64_t width,
                     float* d_gate_up);

}  // namespace pref::kernels
