// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/adamw.h: N neighbouring elements a thread, one read and one write of each.
#pragma once
#include "kernels/cuda/adamw.h"
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/random.cuh"
#include "kernels/cuda/device/vector_io.cuh"

namespace pref::kernels::cuda {

/// An f32 as the nearest bf16 and what is left of its bits.
struct SplitFloat {
  uint16_t weight;
  int16_t remainder;
};
PREF_DEVICE SplitFloat split(float x) {
  const uint32_t bits = bits_of(x), upper = (bits + 0x8000u) >> 16;
  return {static_cast<uint16_t>(upper), static_cast<int16_t>(bits - (upper << 16))};
}
PREF_DEVICE float join(uint16_t weight, int16_t remainder) {
  return float_of((static_cast<uint32_t>(weight) << 16) +
                  static_cast<uint32_t>(static_cast<int32_t>(remainder)));
}

/// x or one of its two bf16 neighbours, the nearer the likelier; `random` is 16 bits.
PREF_DEVICE float round_randomly(float x, uint32_t random) {
  return float_of((bits_of(x) + random) & 0xffff0000u);
}

/// The step's factors, formed in double on the host.
struct AdamWFactors {
  float gradient_scale, beta1, rest1, beta2, rest2, eps, decay, size, inverse_correction2;
  uint64_t seed;  ///< 0: round to nearest
};

PREF_DEVICE void adamw_element(float& weight, float g, float& m, float& v, float scale,
                               const AdamWFactors& f) {
  g *= scale;
  m = fmaf(f.beta1, m, f.rest1 * g);
  v = fmaf(f.beta2, v, f.rest2 * g * g);
  const float denominator = sqrtf(v * f.inverse_correction2) + f.eps;
  // Decay and step are joined before they meet the weight, so that it is rounded once.
  weight -= fmaf(f.decay, weight, f.size * m / denominator);
}

/// N f32 values of weights: as they are, or joined from their halves.
template <int N, class W>
PREF_DEVICE void load_weights(const W* weight, const int16_t* remainder, float (&x)[N]) {
  if constexpr (sizeof(W) == 4) {
    load<N>(weight, x);
  } else if constexpr (N == 1) {
    x[0] = join(weight->bits, *remainder);
  } else {
    const uint4 q = *reinterpret_cast<const uint4*>(weight);
    const uint4 r = *reinterpret_cast<const uint4*>(remainder);
    const uint32_t qs[4] = {q.x, q.y, q.z, q.w}, rs[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
    for (int i = 0; i < N; ++i)
      x[i] = join(static_cast<uint16_t>(qs[i / 2] >> (i % 2 * 16)),
                  static_cast<int16_t>(rs[i / 2] >> (i % 2 * 16)));
  }
}
template <int N, class W>
PREF_DEVICE void store_weights(W* weight, int16_t* remainder, const float (&x)[N]) {
  if constexpr (sizeof(W) == 4) {
    store<N>(weight, x);
  } else if constexpr (N == 1) {
    const SplitFloat s = split(x[0]);
    weight->bits = s.weight;
    *remainder = s.remainder;
  } else {
    uint32_t qs[4], rs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const SplitFloat a = split(x[2 * i]), b = split(x[2 * i + 1]);
      qs[i] = a.weight | static_cast<uint32_t>(b.weight) << 16;
      rs[i] = static_cast<uint16_t>(a.remainder) |
              static_cast<uint32_t>(static_cast<uint16_t>(b.remainder)) << 16;
    }
    *reinterpret_cast<uint4*>(weight) = {qs[0], qs[1], qs[2], qs[3]};
    *reinterpret_cast<uint4*>(remainder) = {rs[0], rs[1], rs[2], rs[3]};
  }
}

template <int N, class W, class M, class G>
PREF_DEVICE void adamw_elements(W* weight, int16_t* remainder, const G* gradient, M* exp_avg,
                                M* exp_avg_sq, int64_t i, int64_t first_element, float scale,
                                const AdamWFactors& f) {
  float w[N], g[N], m[N], v[N];
  load_weights<N>(weight + i, remainder + i, w);
  load<N>(gradient + i, g);
  load<N>(exp_avg + i, m);
  load<N>(exp_avg_sq + i, v);
#pragma unroll
  for (int e = 0; e < N; ++e) {
    adamw_element(w[e], g[e], m[e], v[e], scale, f);
    if (sizeof(M) == 2 && f.seed != 0) {
      const uint32_t random = random_bits(f.seed, first_element + i + e);
      m[e] = round_randomly(m[e], random & 0xffffu);
      v[e] = round_randomly(v[e], random >> 16);
    }
  }
  store_weights<N>(weight + i, remainder + i, w);
  store<N>(exp_avg + i, m);
  store<N>(exp_avg_sq + i, v);
}

/// The last block's threads take what is left over a vector one by one.
template <int N, class W, class M, class G, int kThreads>
__global__ void __launch_bounds__(kThreads)
    adamw_range(W* weight, int16_t* remainder, const G* gradient, M* exp_avg, M* exp_avg_sq,
                int64_t count, AdamWFactors f, AdamWDevice device, int64_t first_element) {
  if (device.skip && *device.skip != 0) return;
  const float scale =
      device.gradient_scale ? f.gradient_scale * *device.gradient_scale : f.gradient_scale;
  const int64_t i = flat_index(blockIdx.x, kThreads, threadIdx.x) * N;
  if (i + N <= count) {
    adamw_elements<N>(weight, remainder, gradient, exp_avg, exp_avg_sq, i, first_element, scale, f);
  } else {
    for (int64_t k = i; k < count; ++k)
      adamw_elements<1>(weight, remainder, gradient, exp_avg, exp_avg_sq, k, first_element, scale,
                        f);
  }
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    split_range(const float* master, int64_t count, BF16* weight, int16_t* remainder) {
  const int64_t i = flat_index(blockIdx.x, kThreads, threadIdx.x);
  if (i >= count) return;
  const float x[1] = {master[i]};
  store_weights<1>(weight + i, remainder + i, x);
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    join_range(const BF16* weight, const int16_t* remainder, int64_t count, float* master) {
  const int64_t i = flat_index(blockIdx.x, kThreads, threadIdx.x);
  if (i < count) master[i] = join(weight[i].bits, remainder[i]);
}

}  // namespace pref::kernels::cuda
