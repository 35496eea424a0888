// SPDX-License-Identifier: Apache-2.0
// Per-token statistics to per-sequence sums, and per-sequence derivatives back to per-token
// coefficients: what stands between the logits' statistics and the loss. Labels of a sequence are
// neighbours: [first_label[s], first_label[s + 1]). Sums as the objectives define them, no paper
// behind their order.
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
/// a host array of at most kMaxSequenceSums. One launch. Throws (option): more sums than that.
void sequence_sums(const int64_t* first_label, int64_t sequences, const SequenceSum* sums,
                   int count, Stream stream);

/// marked[s] = sum of mark log p, unlikely[s] = sum of mark log(1 - p) (kernels/log_complement.h)
/// over the labels of s; mark [L] f64, logp [L] f32, out [S] f64.
void marked_sums(const int64_t* first_label, int64_t sequences, const double* mark,
                 const float* logp, double* marked, double* unlikely, Stream stream);

/// The derivatives by those two sums [S] f64, with what they were taken of. mark null: none.
struct MarkSlopes {
  const double* mark = nullptr;
  const float* logp = nullptr;
  const double* d_marked = nullptr;
  const double* d_unlikely = nullptr;  ///< or null: 0
};

/// d_label[l] = d_sequence[s] for every label of s, plus mark (d_marked[s] + d_unlikely[s] d log(1 -
/// p)/d log p) where there are marks; d_sequence [S] f64, d_label [L] f32.
void spread_to_labels(const double* d_sequence, const int64_t* first_label, int64_t sequences,
                      float* d_label, Stream stream, const MarkSlopes& marks = {});

}  // namespace pref::kernels::cuda
