// SPDX-License-Identifier: Apache-2.0
// AdamW with decoupled weight decay (arXiv:1711.05101, algorithm 2) on flat fp32 buffers, one pass,
// gradient clip factor included. Any alignment of an f32; arguments are not checked, nothing
// throws.
//   g' = clip g;  m = b1 m + (1-b1) g';  v = b2 v + (1-b2) g'^2
//   w = w - lr weight_decay w - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
#pragma once
#include <cstdint>

namespace pref::kernels {

struct AdamWStep {
  double learning_rate, beta1, beta2, eps, weight_decay;
  int64_t step;               ///< t, from 1
  double gradient_scale = 1;  ///< the clip factor
};

/// weight, exp_avg, exp_avg_sq [N] f32 updated; gradient [N] f32 read. Elementwise: callers split
/// ranges freely.
void adamw_update(float* weight, const float* gradient, float* exp_avg, float* exp_avg_sq,
                  int64_t count, const AdamWStep& step);

/// Sum of squares of x [count] f32 in double, fixed order for a given count (blocks of 4096,
/// combined in order).
double sum_of_squares(const float* x, int64_t count);

}  // namespace pref::kernels
