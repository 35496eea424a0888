// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/sequence_sums.h.
#include "kernels/cuda/sequence_sums.h"

#include "kernels/cuda/device/sequence_sums.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {

static constexpr int kThreads = 128;

void sequence_sums(const int64_t* first_label, int64_t sequences, const SequenceSum* sums,
                   int count, Stream stream) {
  require(count >= 0 && count <= kMaxSequenceSums, ErrorKind::option, "sequence_sums", "at most ",
          kMaxSequenceSums, " statistics are summed in one call, got ", count, ".");
  SequenceSums all;
  std::copy(sums, sums + count, all.item);
  launch("sequence_sums", stream, {sequences, kThreads, count}, sum_sequences<kThreads>,
         first_label, all);
}

void marked_sums(const int64_t* first_label, int64_t sequences, const double* mark,
                 const float* logp, double* marked, double* unlikely, Stream stream) {
  launch("marked_sums", stream, {sequences, kThreads}, sum_marked<kThreads>, first_label, mark,
         logp, marked, unlikely);
}

void spread_to_labels(const double* d_sequence, const int64_t* first_label, int64_t sequences,
                      float* d_label, Stream stream, const MarkSlopes& marks) {
  require(!marks.mark || (marks.logp && marks.d_marked), ErrorKind::option, "spread_to_labels",
          "log-probs and derivatives are required beside marks, got none.");
  launch("spread_to_labels", stream, {sequences, kThreads}, spread_sequences<kThreads>, d_sequence,
         first_label, d_label, marks);
}

}  // namespace pref::kernels::cuda
