// SPDX-License-Identifier: Apache-2.0
// Sum of one number per thread over a block, in an order that depends on the block's size alone.
#pragma once
#include "kernels/cuda/device/platform.cuh"

namespace pref::kernels::cuda {

/// The same on every thread. Whole warps, at most 32. May be called again after a barrier.
template <class Number>
__device__ __forceinline__ Number block_sum(Number x) {
  PREF_SHARED_ARRAY(Number, warp_sums, kWarpSize);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
#pragma unroll
  for (int bits = kWarpSize / 2; bits > 0; bits /= 2) x += __shfl_xor_sync(kAllLanes, x, bits);
  if (lane == 0) warp_sums[static_cast<int>(threadIdx.x) / kWarpSize] = x;
  __syncthreads();
  Number sum = 0;
  for (int w = 0; w < warps; ++w) sum += warp_sums[w];
  return sum;
}

}  // namespace pref::kernels::cuda
