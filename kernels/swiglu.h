// SPDX-License-Identifier: Apache-2.0
// SwiGLU (arXiv:2002.05202): y = silu(gate) * up, silu(g) = g / (1 + e^-g). gate and up stand side
// by side in one matrix.
#pragma once
#include <cstdint>

namespace pref::kernels {

/// gate_up [N, 2 D] f32 (gate first), y [N, D] f32.
void swiglu_forward(const float* gate_up, int64_t rows, int64_t width, float* y);
/// d_gate_up [N, 2 D] from dy [N, D]; gate_up as in forward. May alias gate_up.
void swiglu_backward(const float* dy, const float* gate_up, int64_t rows, int64_t width,
                     float* d_gate_up);

}  // namespace pref::kernels
