// SPDX-License-Identifier: Apache-2.0
// Kernels of kernels/cuda/logprob.h. A block walks one range of columns of one row, sixteen bytes a
// thread and several loads ahead; the block's partial states are joined in a fixed tree.
#pragma once
#include "kernels/cuda/device/index.cuh"
#include "kernels/cuda/device/online_softmax.cuh"
#include "kernels/cuda/device/vector_io.cuh"

namespace pref::kernels::cuda {

/// The warp's states in one tree; every lane holds the result.
__device__ __forceinline__ RowState merge_warp(RowState a, float base) {
#pragma unroll
  for (int bits = kWarpSize / 2; bits > 0; bits /= 2) {
    RowState other;
    other.top = __shfl_xor_sync(kAllLanes, a.top, bits);
    other.sum = __shfl_xor_sync(kAllLanes, a.sum, bits);
    other.squares = __shfl_xor_sync(kAllLanes, a.squares, bits);
    other.weighted = __shfl_xor_sync(kAllLanes, a.weighted, bits);
    other.total = __shfl_xor_sync(kAllLanes, a.total, bits);
    a = merge(a, other, base);
  }
  return a;
}

/// The block's states; warp 0 holds the result.
template <int kThreads>
__device__ __forceinline__ RowState merge_block(RowState a, float base) {
  constexpr int kWarps = kThreads / kWarpSize;
  PREF_SHARED_ARRAY(RowState, warp_states, kWarps);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  a = merge_warp(a, base);
  if (lane == 0) warp_states[warp] = a;
  __syncthreads();
  if (warp > 0) return a;
  a = lane < kWarps ? warp_states[lane] : empty_row();
  return merge_warp(a, base);
}

template <class T, bool kCapped, int kLoads, int kThreads>
PREF_DEVICE void absorb_vectors(RowState& state, const uint4* vectors, const LogitMap& map) {
  constexpr int kPer = Elements<T>::kPerVector;
  uint4 raw[kLoads];
#pragma unroll
  for (int l = 0; l < kLoads; ++l) raw[l] = load_streaming(vectors + l * kThreads);
  float value[kLoads * kPer];
#pragma unroll
  for (int l = 0; l < kLoads; ++l) {
    float z[kPer];
    Elements<T>::unpack(raw[l], z);
#pragma unroll
    for (int i = 0; i < kPer; ++i) value[l * kPer + i] = map_logit<kCapped>(z[i], map).value;
  }
  absorb(state, value, map.base);
}

template <class T, bool kCapped>
PREF_DEVICE void absorb_one(RowState& state, const T* z, const LogitMap& map) {
  const float value[1] = {map_logit<kCapped>(to_float(*z), map).value};
  absorb(state, value, map.base);
}

/// Block (row, part). With one part the row's statistics are written, else its partial.
template <class T, bool kCapped, int kThreads, int kLoads>
__global__ void __launch_bounds__(kThreads)
    logprob_rows(const T* logits, int64_t vocab, int64_t stride, const int64_t* labels,
                 int64_t first_column, LogitMap map, TokenStatistics out,
                 LogprobPartial* partials) {
  const int64_t row = blockIdx.x, part = blockIdx.y, parts = gridDim.y;
  const T* z = logits + row_begin(row, stride);
  const Span span = vector_span(reinterpret_cast<uintptr_t>(z), vocab, sizeof(T));
  const Range mine = part_range(span.vectors, part, parts);
  const auto* vectors = reinterpret_cast<const uint4*>(z + span.head);
  const int64_t thread = threadIdx.x;

  RowState state = empty_row();
  int64_t i = mine.begin + thread;
  for (; i + (kLoads - 1) * kThreads < mine.end; i += kLoads * kThreads)
    absorb_vectors<T, kCapped, kLoads, kThreads>(state, vectors + i, map);
  for (; i < mine.end; i += kThreads)
    absorb_vectors<T, kCapped, 1, kThreads>(state, vectors + i, map);
  if (part == 0 && thread < span.head) absorb_one<T, kCapped>(state, z + thread, map);
  if (part == parts - 1 && span.tail_begin + thread < vocab)
    absorb_one<T, kCapped>(state, z + span.tail_begin + thread, map);
  state = merge_block<kThreads>(state, map.base);
  if (thread != 0) return;

  const int64_t column = labels[row] - first_column;
  float label = -INFINITY;
  if (part == 0 && column >= 0 && column < vocab)
    label = map_logit<kCapped>(to_float(z[column]), map).value;
  if (partials) {
    partials[row_begin(row, parts) + part] = {state.top,      state.sum,   state.squares,
                                              state.weighted, state.total, label};
  } else {
    write_statistics(state, label, map, kCapped, vocab, out, row);
  }
}

/// One thread a row.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    logprob_merge_rows(const LogprobPartial* partials, int64_t rows, int64_t parts,
                       int64_t row_stride, int64_t part_stride, int64_t vocab, LogitMap map,
                       bool capped, TokenStatistics out) {
  const int64_t row = flat_index(blockIdx.x, kThreads, threadIdx.x);
  if (row >= rows) return;
  RowState state = empty_row();
  float label = -INFINITY;
  for (int64_t part = 0; part < parts; ++part) {
    const LogprobPartial p = partials[row_begin(row, row_stride) + row_begin(part, part_stride)];
    state = merge(state, {p.top, p.sum, p.squares, p.weighted, p.total}, map.base);
    label = fmaxf(label, p.label);
  }
  write_statistics(state, label, map, capped, vocab, out, row);
}

/// Per row: dz = factor 2^(y log2 e - shift) dy/dz, and the label's element. The log-sum-exp is known
/// twice, as lse and as y_label - logp, whose rounding is that of logp: the smaller number is the
/// finer. What `shift` loses in rounding goes into the factor.
template <class T, bool kCapped, int kThreads>
__global__ void __launch_bounds__(kThreads)
    logprob_gradient_prepare(const T* logits, int64_t rows, int64_t vocab, int64_t stride,
                             const int64_t* labels, const float* logp, const float* lse,
                             const float* d_logp, LogitMap map, RowGradient* out) {
  const int64_t row = flat_index(blockIdx.x, kThreads, threadIdx.x);
  if (row >= rows) return;
  const float coefficient = d_logp[row];
  const int64_t label = labels[row];
  if (coefficient == 0) {
    out[row] = {0, 0, 0, 0};
    return;
  }
  if (label < 0 || label >= vocab || !(fabsf(lse[row]) <= FLT_MAX)) {
    out[row] = {0, NAN, NAN, 0};
    return;
  }
  const Mapped at_label = map_logit<kCapped>(to_float(logits[row_begin(row, stride) + label]), map);
  float high, low;
  if (fabsf(logp[row]) < fabsf(lse[row])) {
    high = multiply(at_label.value, map.base);
    low = fmaf(at_label.value, map.base, -high) - logp[row] * kLog2e;
  } else {
    high = multiply(lse[row], kLog2e);
    low = fmaf(lse[row], kLog2e, -high);
  }
  const float shift = high + low, taken = shift - high;
  const float rest = (high - (shift - taken)) + (low - taken);  // of the sum, exactly
  out[row] = {shift, -coefficient * map.scale * exp2f(-rest),
              coefficient * -expm1f(logp[row]) * map.scale * at_label.slope, 0};
}

template <bool kCapped>
PREF_DEVICE float gradient_of(float z, const RowGradient& row, const LogitMap& map) {
  const Mapped y = map_logit<kCapped>(z, map);
  const float p = exp2_fast(fmaf(y.value, map.base, -row.shift));
  return kCapped ? row.factor * y.slope * p : row.factor * p;
}

/// Block (row, part): elements are independent. The label's element is written by the thread that
/// wrote its vector before.
template <class T, bool kCapped, int kThreads, int kLoads>
__global__ void __launch_bounds__(kThreads)
    logprob_gradient_rows(T* logits, int64_t vocab, int64_t stride, const int64_t* labels,
                          LogitMap map, const RowGradient* rows) {
  constexpr int kPer = Elements<T>::kPerVector;
  const int64_t row = blockIdx.x, part = blockIdx.y, parts = gridDim.y;
  T* z = logits + row_begin(row, stride);
  const Span span = vector_span(reinterpret_cast<uintptr_t>(z), vocab, sizeof(T));
  const Range mine = part_range(span.vectors, part, parts);
  auto* vectors = reinterpret_cast<uint4*>(z + span.head);
  const int64_t thread = threadIdx.x;
  const RowGradient gradient = rows[row];
  const bool silent = gradient.factor == 0;  // zeros, whatever the logits are
  const auto one = [&](T* at, bool is_label) {
    *at = Elements<T>::round(silent     ? 0.0f
                             : is_label ? gradient.at_label
                                        : gradient_of<kCapped>(to_float(*at), gradient, map));
  };

  for (int64_t i = mine.begin + thread; i < mine.end; i += kLoads * kThreads) {
    uint4 raw[kLoads];
#pragma unroll
    for (int l = 0; l < kLoads; ++l)
      if (!silent && i + l * kThreads < mine.end)
        raw[l] = load_streaming(vectors + i + l * kThreads);
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      if (i + l * kThreads >= mine.end) continue;
      float x[kPer] = {};
      if (!silent) {
        Elements<T>::unpack(raw[l], x);
#pragma unroll
        for (int k = 0; k < kPer; ++k) x[k] = gradient_of<kCapped>(x[k], gradient, map);
      }
      store_streaming(vectors + i + l * kThreads, Elements<T>::pack(x));
    }
  }
  const int64_t label = labels[row];
  if (part == 0 && thread < span.head) one(z + thread, thread == label);
  const int64_t tail = span.tail_begin + thread;
  if (part == parts - 1 && tail < vocab) one(z + tail, tail == label);
  if (label >= span.head && label < span.tail_begin) {
    const int64_t vector = (label - span.head) / kPer;
    if (vector >= mine.begin && vector < mine.end && (vector - mine.begin) % kThreads == thread)
      one(z + label, true);
  }
}

}  // namespace pref::kernels::cuda
