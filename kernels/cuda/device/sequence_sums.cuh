// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/sequence_sums.h: one block a sequence.
#pragma once
#include "kernels/cuda/device/block_sum.cuh"
#include "kernels/cuda/sequence_sums.h"
#include "kernels/log_complement.h"

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
    spread_sequences(const double* d_sequence, const int64_t* first_label, float* d_label,
                     MarkSlopes marks) {
  const double value = d_sequence[blockIdx.x];
  for (int64_t i = first_label[blockIdx.x] + threadIdx.x; i < first_label[blockIdx.x + 1];
       i += kThreads) {
    double d = value;
    if (marks.mark && marks.mark[i] != 0) {
      const double unlikely = marks.d_unlikely ? marks.d_unlikely[blockIdx.x] : 0;
      const LogComplement rest = log_complement(static_cast<double>(marks.logp[i]));
      d += marks.mark[i] * (marks.d_marked[blockIdx.x] + unlikely * rest.slope);
    }
    d_label[i] = static_cast<float>(d);
  }
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    sum_marked(const int64_t* first_label, const double* mark, const float* logp, double* marked,
               double* unlikely) {
  double sum = 0, rest = 0;
  for (int64_t i = first_label[blockIdx.x] + threadIdx.x; i < first_label[blockIdx.x + 1];
       i += kThreads) {
    if (mark[i] == 0) continue;
    const auto x = static_cast<double>(logp[i]);
    sum += mark[i] * x;
    rest += mark[i] * log_complement(x).value;
  }
  sum = block_sum(sum);
  __syncthreads();  // block_sum's memory is free again
  rest = block_sum(rest);
  if (threadIdx.x == 0) {
    marked[blockIdx.x] = sum;
    unlikely[blockIdx.x] = rest;
  }
}

}  // namespace pref::kernels::cuda
