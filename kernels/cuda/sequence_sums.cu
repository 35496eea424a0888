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

void spread_to_labels(const double* d_sequence, const int64_t* first_label, int64_t sequences,
                      float* d_label, Stream stream) {
  launch("spread_to_labels", stream, {sequences, kThreads}, spread_sequences<kThreads>, d_sequence,
         first_label, d_label);
}

}  // namespace pref::kernels::cuda
