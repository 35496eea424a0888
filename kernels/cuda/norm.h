// SPDX-License-Identifier: Apache-2.0
// Global gradient norm, clip factor and finite check on the device, so that a step needs no answer
// from it: adamw_update reads factor and flag where they are left. Results are single numbers on
// the device: total [1] f64; norm, factor [1] f32; flags [1] i32. As torch's clip_grad_norm_
// (Pascanu et al., arXiv:1211.5063, algorithm 1).
#pragma once
#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// Doubles of the workspace of sum_of_squares.
int64_t sum_of_squares_workspace(int64_t count);

/// total[0] += sum of x^2; x [count] f32 or bf16, squares in f32, eight at a time joined in f64 in
/// an order fixed by `count`. Calls on one stream add up in their order. workspace
/// [sum_of_squares_workspace(count)] f64. Throws (option): x does not begin on a sixteen-byte
/// boundary.
void sum_of_squares(ConstPointer x, int64_t count, double* workspace, double* total, Stream stream);

/// norm = sqrt(total); factor = min(1, max_norm / (norm + 1e-6)), or 1 where max_norm is 0 (torch's
/// clip_grad_norm_); non_finite = 1 where the norm is not finite (factor is then 0), left as it was
/// where it is: once set, it stops every later step until somebody clears it.
void clip_factor(const double* total, double max_norm, float* norm, float* factor, int* non_finite,
                 Stream stream);

/// flag[0] = 1 if an element of x [count] f32 or bf16 is NaN or infinite; never written otherwise.
void flag_non_finite(ConstPointer x, int64_t count, int* flag, Stream stream);

}  // namespace pref::kernels::cuda
