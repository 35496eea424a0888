// SPDX-License-Identifier: Apache-2.0
// The running statistics of a row of logits and how two of them are joined. All exponents are in
// base 2: an element contributes 2^d, d = y log2 e - shift with shift = top log2 e rounded once.
// Whatever uses a shift rounds it alike (multiply), so its rounding cancels.
#pragma once
#include <cfloat>
#include <cmath>

#include "kernels/cuda/device/platform.cuh"
#include "kernels/cuda/logprob.h"

namespace pref::kernels::cuda {

/// A product that is rounded before it meets a sum.
PREF_DEVICE float multiply(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

/// y = scale z, whose scale is part of `base` = scale log2 e; or y = cap tanh(scale z / cap) with
/// base = log2 e.
struct LogitMap {
  float base, scale, cap, to_unit;  ///< to_unit = scale / cap
};

inline LogitMap make_logit_map(LogitTransform transform) {
  const bool capped = transform.soft_cap > 0;
  const float log2e = kLog2e;
  return {capped ? log2e : transform.scale * log2e, transform.scale, transform.soft_cap,
          capped ? transform.scale / transform.soft_cap : 0};
}

struct Mapped {
  float value;  ///< z itself without a cap, else y
  float slope;  ///< dy/dz without the scale
};
template <bool kCapped>
PREF_DEVICE Mapped map_logit(float z, const LogitMap& map) {
  if constexpr (!kCapped) return {z, 1.0f};
  const float x = z * map.to_unit;
  const float e = exp2_fast(fabsf(x) * (-2 * kLog2e));
  const float tanh = divide_fast(1 - e, 1 + e);
  return {map.cap * copysignf(tanh, x), divide_fast(4 * e, (1 + e) * (1 + e))};
}

struct RowState {
  float top, sum, squares, weighted, total;
};

PREF_DEVICE RowState empty_row() { return {-FLT_MAX, 0, 0, 0, 0}; }

/// Makes the sums relative to a larger top. Below -126 the terms vanish; the bound keeps 0 times
/// infinity out, also for an empty state.
PREF_DEVICE void raise_top(RowState& a, float top, float base) {
  const float d = fmaxf(multiply(a.top, base) - multiply(top, base), -200.0f);
  const float factor = exp2_fast(d);
  a.weighted = factor * fmaf(d, a.sum, a.weighted);
  a.sum *= factor;
  a.squares *= factor * factor;
  a.top = top;
}

PREF_DEVICE RowState merge(RowState a, RowState b, float base) {
  const float top = fmaxf(a.top, b.top);
  raise_top(a, top, base);
  raise_top(b, top, base);
  return {top, a.sum + b.sum, a.squares + b.squares, a.weighted + b.weighted, a.total + b.total};
}

/// Adds N mapped logits; their sums are formed apart, so that a long row stays precise.
template <int N>
PREF_DEVICE void absorb(RowState& a, const float (&value)[N], float base) {
  float top = a.top;
#pragma unroll
  for (int i = 0; i < N; ++i) top = fmaxf(top, value[i]);
  if (top > a.top) raise_top(a, top, base);
  const float shift = multiply(a.top, base);
  float sum = 0, squares = 0, weighted = 0, total = 0;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float d = fmaxf(fmaf(value[i], base, -shift), -126.0f);
    const float e = exp2_fast(d);
    sum += e;
    squares = fmaf(e, e, squares);
    weighted = fmaf(d, e, weighted);
    total += value[i];
  }
  a.sum += sum;
  a.squares += squares;
  a.weighted += weighted;
  a.total += total;
}

PREF_DEVICE void write_statistics(const RowState& a, float label, const LogitMap& map, bool capped,
                                  int64_t vocab, const TokenStatistics& out, int64_t row) {
  const float shift = multiply(a.top, map.base);
  const float poison = a.total - a.total;  // NaN when a logit was not finite
  const float log_sum = log2f(a.sum) + poison;
  const float at_label = fmaf(label, map.base, -shift), at_top = fmaf(a.top, map.base, -shift);
  out.logp[row] = (at_label - log_sum) * kLn2;
  out.lse[row] = (shift + log_sum) * kLn2;
  if (out.collision) out.collision[row] = (log2f(a.squares) - 2 * log_sum) * kLn2;
  if (out.entropy) out.entropy[row] = (log_sum - a.weighted / a.sum) * kLn2;
  if (out.max_logp) out.max_logp[row] = (at_top - log_sum) * kLn2;
  if (out.hit) out.hit[row] = poison == 0 && label >= a.top ? 1.0f : 0.0f;
  if (out.mean_logit)
    out.mean_logit[row] = a.total * (capped ? 1.0f : map.scale) / static_cast<float>(vocab);
}

}  // namespace pref::kernels::cuda
