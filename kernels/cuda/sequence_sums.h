// SPDX-License-Identifier: Apache-2.0
// Per-token statistics to per-sequence sums, and per-sequence derivatives back to per-token
// coefficients: what stands between the logits' statistics and the loss. Labels of a sequence are
// neighbours: [first_label[s], first_label[s + 1]).
#pragma once
#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// One statistic: x [L] f32, out [S] f64.
struct SequenceSum {
  const float* x = nullptr;
  double* out = nullptr;
  bool mean = false;  ///< divided by the sequence's count; 0 for an empty sequence
};
inline constexpr int kMaxSequenceSums = 4;

/// out[s] = sum (or mean) of x over the labels of s, in f64. first_label [S + 1] i64; sums [count],
/// a host array of at most kMaxSequenceSums. One launch.
void sequence_sums(const int64_t* first_label, int64_t sequences, const SequenceSum* sums,
                   int count, Stream stream);

/// d_label[l] = d_sequence[s] for every label of s; d_sequence [S] f64, d_label [L] f32.
void spread_to_labels(const double* d_sequence, const int64_t* first_label, int64_t sequences,
                      float* d_label, Stream stream);

}  // namespace pref::kernels::cuda
