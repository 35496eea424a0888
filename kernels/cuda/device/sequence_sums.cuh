// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/sequence_sums.h: one block a sequence.
#pragma once
#include "kernels/cuda/device/block_sum.cuh"
#include "kernels/cuda/sequence_sums.h"

namespace pref::kernels::cuda {

struct SequenceSums {
  SequenceSum item[kMaxSequenceSums];
};

/// Block (sequence, statistic). __grid_constant__: the argument is indexed where it stands.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    sum_sequences(const int64_t* first_label, const __grid_constant__ SequenceSums sums) {
  const SequenceSum item = sums.item[blockIdx.y];
  const int64_t begin = first_label[blockIdx.x], end = first_label[blockIdx.x + 1];
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads)
    sum += static_cast<double>(item.x[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0)
    item.out[blockIdx.x] = item.mean && end > begin ? sum / static_cast<double>(end - begin) : sum;
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    spread_sequences(const double* d_sequence, const int64_t* first_label, float* d_label) {
  const auto value = static_cast<float>(d_sequence[blockIdx.x]);
  for (int64_t i = first_label[blockIdx.x] + threadIdx.x; i < first_label[blockIdx.x + 1];
       i += kThreads)
    d_label[i] = value;
}

}  // namespace pref::kernels::cuda
