// SPDX-License-Identifier: Apache-2.0
// kernels/swiglu.h on CUDA (arXiv:2002.05202, eq. 5): y = silu(gate) up, gate and up side by side.
#pragma once
#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// gate_up [N, 2 D] f32 or bf16 (gate first), y [N, D] of its type.
void swiglu_forward(ConstPointer gate_up, int64_t rows, int64_t width, void* y, Stream stream);
/// d_gate_up [N, 2 D] from dy [N, D] and gate_up [N, 2 D], types alike. May alias gate_up.
void swiglu_backward(ConstPointer dy, const void* gate_up, int64_t rows, int64_t width,
                     void* d_gate_up, Stream stream);

}  // namespace pref::kernels::cuda
