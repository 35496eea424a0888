// SPDX-License-Identifier: Apache-2.0
// kernels/logprob.h on CUDA: statistics of logits in one read of the row, and their gradient in
// place in one read and one write. One exponential per logit gives log p, sum p^2 and entropy
// (online softmax, arXiv:1805.02867, algorithm 3). Throws (option): vocab below 1 or above the
// stride, a scale that is not above 0, a missing workspace.
#pragma once
#include "kernels/cuda/types.h"
#include "kernels/logprob.h"

namespace pref::kernels::cuda {

/// What a range of columns contributes to a row; of vocabulary shards and of split rows.
struct LogprobPartial {
  float top;       ///< largest transformed logit
  float sum;       ///< sum of 2^(y log2 e - shift), shift = top log2 e
  float squares;   ///< sum of the squares of those terms
  float weighted;  ///< sum of each term times its exponent
  float total;     ///< sum of the logits
  float label;     ///< the label's transformed logit, -infinity where another range holds it
};

/// Ranges of columns that logprob_statistics cuts each row into: more than one when rows are few.
int64_t logprob_parts(int64_t rows, int64_t vocab);

/// logits [N, stride] f32 or bf16, the first `vocab` columns used; labels [N] i64; out [N] f32
/// each, logp and lse required. workspace [N * logprob_parts] or null where that is 1. As on the
/// CPU, but: a label outside [0, vocab) makes its logp -infinity (nothing is thrown from a device),
/// and p beyond 1 - 6e-8 reads as 1.
void logprob_statistics(ConstPointer logits, int64_t rows, int64_t vocab, int64_t stride,
                        const int64_t* labels, LogitTransform transform, const TokenStatistics& out,
                        LogprobPartial* workspace, Stream stream);

/// The statistics of columns [first_column, first_column + vocab) of a larger vocabulary, from
/// logits [N, stride] f32 or bf16; labels [N] i64 count in the larger one. partials [N].
void logprob_partials(ConstPointer logits, int64_t rows, int64_t vocab, int64_t stride,
                      const int64_t* labels, int64_t first_column, LogitTransform transform,
                      LogprobPartial* partials, Stream stream);

/// Joins `parts` partials of each row in order, partials[row row_stride + part part_stride]; out
/// [N] f32. `vocab` is that of all parts together.
void logprob_merge(const LogprobPartial* partials, int64_t rows, int64_t parts, int64_t row_stride,
                   int64_t part_stride, int64_t vocab, LogitTransform transform,
                   const TokenStatistics& out, Stream stream);

/// Per row, what the gradient needs: made by logprob_gradient in its workspace.
struct RowGradient {
  float shift, factor, at_label, unused;
};

/// Overwrites logits [N, stride] f32 or bf16 with dL/dz as on the CPU; labels [N] i64; logp, lse,
/// d_logp [N] f32 from logprob_statistics on the same logits, workspace [N]. A label outside [0,
/// vocab) makes its row NaN unless d_logp is 0. The label's element is computed in f32 and rounded
/// once.
void logprob_gradient(Pointer logits, int64_t rows, int64_t vocab, int64_t stride,
                      const int64_t* labels, const float* logp, const float* lse,
                      const float* d_logp, LogitTransform transform, RowGradient* workspace,
                      Stream stream);

}  // namespace pref::kernels::cuda
