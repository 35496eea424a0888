// SPDX-License-Identifier: Apache-2.0
// RMSNorm (arXiv:1910.07467, eq. 4) of every head of a matrix by one weight, as Qwen3 norms queries
// and keys: many short rows in one launch.
#pragma once
#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// Heads are `width` columns each, side by side; [N, stride] with heads * width used columns.
struct HeadShape {
  int64_t rows = 0, heads = 1, width = 1;
};

/// y = x / sqrt(mean(x^2) + eps) * weight of each head. x, y [N, stride], weight [width], f32 or bf16
/// alike, aligned to their elements (faster: to sixteen bytes, strides and width too); inverse_rms
/// [heads, N] f32. Throws (option): a width above 1024, a stride below heads * width.
void head_norm_forward(ConstPointer x, int64_t stride_x, const HeadShape& shape, const void* weight,
                       float eps, void* y, int64_t stride_y, float* inverse_rms, Stream stream);

/// Floats of the workspace of head_norm_backward.
int64_t head_norm_backward_workspace(const HeadShape& shape);

/// dx = dL/dx; d_weight [width] f32 is added to, in an order that the shape alone decides. dy, x
/// (what was normalised), dx, weight as above; inverse_rms from forward; workspace
/// [head_norm_backward_workspace(shape)] f32. Throws as above.
void head_norm_backward(ConstPointer dy, int64_t stride_dy, const void* x, int64_t stride_x,
                        const HeadShape& shape, const void* weight, const float* inverse_rms,
                        void* dx, int64_t stride_dx, float* d_weight, float* workspace,
                        Stream stream);

}  // namespace pref::kernels::cuda
