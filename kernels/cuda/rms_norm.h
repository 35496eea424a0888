// SPDX-License-Identifier: Apache-2.0
// kernels/rms_norm.h on CUDA (arXiv:1910.07467, eq. 4), with the residual's addition in front of
// it.
#pragma once
#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// s = x + residual, rounded to the type, written to `sum` where `residual` is not null;
/// y = s / sqrt(mean(s^2) + eps) * weight. x, residual, sum, y f32 or bf16 alike, [N, stride] with
/// `width` used columns (residual and sum with x's stride; sum may alias either); weight [width] of
/// the same type; inverse_rms [N] f32. Throws (option): a stride below the width, a residual
/// without a place for the sum.
void rms_norm_forward(ConstPointer x, const void* residual, void* sum, int64_t rows, int64_t width,
                      int64_t stride_x, const void* weight, float eps, void* y, int64_t stride_y,
                      float* inverse_rms, Stream stream);

/// Floats of the workspace of rms_norm_backward.
int64_t rms_norm_backward_workspace(int64_t rows, int64_t width);

/// dx = dL/dx (overwritten, or added to when `accumulate_dx`); d_weight [width] f32 is added to,
/// rows in a fixed order. dy, x (what was normalised), dx [N, stride] with `width` used columns and
/// weight [width] of one type, f32 or bf16; inverse_rms [N] f32 from forward; workspace
/// [rms_norm_backward_workspace(rows, width)] f32. Throws (option): a width above 16384 (a block
/// keeps the row's share of d_weight in shared memory), a stride below the width.
void rms_norm_backward(ConstPointer dy, int64_t stride_dy, const void* x, int64_t stride_x,
                       const void* weight, const float* inverse_rms, int64_t rows, int64_t width,
                       void* dx, int64_t stride_dx, bool accumulate_dx, float* d_weight,
                       float* workspace, Stream stream);

}  // namespace pref::kernels::cuda
