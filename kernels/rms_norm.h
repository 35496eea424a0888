// SPDX-License-Identifier: Apache-2.0
// RMSNorm (arXiv:1910.07467, eq. 4): y = x / sqrt(mean(x^2) + eps) * weight. Rows are independent;
// callers split them. All f32, any alignment of it; arguments are not checked, nothing throws.
#pragma once
#include <cstdint>

namespace pref::kernels {

/// x [N, stride_x] f32 with D used columns, weight [D], y [N, stride_y], inverse_rms [N] (kept for
/// backward). stride_x lets the heads of a wider matrix be normalised in place of a copy.
void rms_norm_forward(const float* x, int64_t rows, int64_t width, int64_t stride_x,
                      const float* weight, float eps, float* y, int64_t stride_y,
                      float* inverse_rms);

/// dy [N, stride_dy], x [N, stride_x], weight [D], inverse_rms [N] as in forward;
/// dx [N, stride_dx] = dL/dx (overwritten, or added to when `accumulate_dx`); d_weight [D] is added
/// to.
void rms_norm_backward(const float* dy, int64_t stride_dy, const float* x, int64_t stride_x,
                       const float* weight, const float* inverse_rms, int64_t rows, int64_t width,
                       float* dx, int64_t stride_dx, bool accumulate_dx, float* d_weight);

}  // namespace pref::kernels
