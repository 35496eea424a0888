// SPDX-License-Identifier: Apache-2.0
// CPU side of kernels/logprob.h. A row is walked once in blocks that fit the first-level cache: a
// block's maximum is found first, then sum e^(y - max), sum e^2 and sum e (y - max) are taken from
// cache, so memory is read once and the exponent is computed once per element. Lanes are f32 and
// leave for double sums at every block's end.
#include "kernels/logprob.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "libpref/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/logprob.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "kernels/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pref::kernels {
namespace HWY_NAMESPACE {
namespace {

// Floats per block: at most 4 KB, so that a block and the next one's prefetched lines stay in a 32
// KB first-level cache, and at most 64 additions per lane of two accumulators, whose rounding does
// not show beside the logits' own.
constexpr int64_t kMaxBlock = 1024;
HWY_INLINE int64_t block_size(FloatTag d) {
  return std::min<int64_t>(kMaxBlock, 128 * static_cast<int64_t>(hn::Lanes(d)));
}

enum class Transform { identity, scale, soft_cap };

template <Transform kTransform>
HWY_INLINE FloatVec transformed(FloatTag d, FloatVec z, LogitTransform transform) {
  if constexpr (kTransform == Transform::identity) return z;
  const auto scaled = hn::Mul(z, hn::Set(d, transform.scale));
  if constexpr (kTransform == Transform::scale) return scaled;
  const auto cap = hn::Set(d, transform.soft_cap);
  return hn::Mul(cap, tanh_of(d, hn::Mul(scaled, hn::Set(d, 1 / transform.soft_cap))).tanh);
}

template <Transform kTransform>
HWY_INLINE float transformed_label(float z, LogitTransform transform) {
  const FloatTag d;
  return hn::GetLane(transformed<kTransform>(d, hn::Set(d, z), transform));
}

// What a row has shown so far, relative to its running maximum. The elements equal to the maximum
// are counted apart from the sum of the others: their terms are exactly 1, and log(1 + tail) keeps
// a small tail that 1 + tail would round away.
struct RowSums {
  float max = 0;
  double ties = 0;      // elements equal to max
  double tail = 0;      // sum of e^(y - max) over the others
  double tail_sq = 0;   // sum of e^(2 (y - max)) over the others
  double weighted = 0;  // sum of e^(y - max) (y - max)
  double logits = 0;    // sum of y

  void raise_max(float new_max) {
    const double change = static_cast<double>(max) - static_cast<double>(new_max);
    const double factor = std::exp(change);
    weighted = factor * (weighted + (ties + tail) * change);
    tail = factor * (ties + tail);
    tail_sq = factor * factor * (ties + tail_sq);
    ties = 0;
    max = new_max;
  }
};

struct BlockScan {
  float max;
  double sum;
};

// Maximum and sum of a block's y; a transform also writes y to `y`. NaN or infinity shows in the
// sum.
template <Transform kTransform>
HWY_INLINE BlockScan scan_block(FloatTag d, const float* z, int64_t count, LogitTransform transform,
                                float* y) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto lowest = hn::Set(d, std::numeric_limits<float>::lowest());
  auto max0 = lowest, max1 = lowest, max2 = lowest, max3 = lowest;
  auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  const auto take = [&](int64_t i, FloatVec& max, FloatVec& sum) HWY_ATTR {
    const auto v = transformed<kTransform>(d, hn::LoadU(d, z + i), transform);
    if constexpr (kTransform != Transform::identity) hn::StoreU(v, d, y + i);
    max = hn::Max(max, v);
    sum = hn::Add(sum, v);
  };
  int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    take(i, max0, sum0);
    take(i + lanes, max1, sum1);
    take(i + 2 * lanes, max2, sum2);
    take(i + 3 * lanes, max3, sum3);
  }
  for (; i + lanes <= count; i += lanes) take(i, max0, sum0);
  if (i < count) {
    const PartVector part{count - i};
    const auto v = transformed<kTransform>(d, part.load(d, z + i), transform);
    if constexpr (kTransform != Transform::identity) part.store(d, v, y + i);
    const auto used = hn::FirstN(d, static_cast<size_t>(count - i));
    max1 = hn::Max(max1, hn::IfThenElse(used, v, lowest));
    sum1 = hn::Add(sum1, hn::IfThenElseZero(used, v));
  }
  const auto max = hn::Max(hn::Max(max0, max1), hn::Max(max2, max3));
  const auto sum = hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3));
  return {hn::GetLane(hn::MaxOfLanes(d, max)), sum_lanes(d, sum)};
}

// Lane sums of one block; only what the template asks for is computed.
template <bool kMoments, bool kHoldsMax>
struct BlockSums {
  FloatVec tail, tail_sq, weighted, ties;

  explicit HWY_INLINE BlockSums(FloatTag d)
      : tail(hn::Zero(d)), tail_sq(hn::Zero(d)), weighted(hn::Zero(d)), ties(hn::Zero(d)) {}

  HWY_INLINE void add(FloatTag d, FloatVec y, FloatVec max) {
    add_term(d, hn::Sub(y, max), exp_of(d, hn::Sub(y, max)));
  }

  HWY_INLINE void add_part(FloatTag d, FloatVec y, FloatVec max, int64_t count) {
    const auto used = hn::FirstN(d, static_cast<size_t>(count));
    // An unused lane is moved below the maximum, where its zero term adds nothing and is not taken
    // for a tie.
    const auto distance = hn::IfThenElse(used, hn::Sub(y, max), hn::Set(d, kExpLowest));
    add_term(d, distance, hn::IfThenElseZero(used, exp_of(d, distance)));
  }

  HWY_INLINE void add_term(FloatTag d, FloatVec distance, FloatVec e) {
    if constexpr (kHoldsMax) {
      const auto at_max = hn::Eq(distance, hn::Zero(d));
      ties = hn::Add(ties, hn::IfThenElseZero(at_max, e));
      e = hn::IfThenZeroElse(at_max, e);
    }
    tail = hn::Add(tail, e);
    if constexpr (kMoments) {
      tail_sq = hn::MulAdd(e, e, tail_sq);
      weighted = hn::MulAdd(e, distance, weighted);
    }
  }

  HWY_INLINE void leave(FloatTag d, RowSums& row) const {
    row.tail += sum_lanes(d, tail);
    if constexpr (kHoldsMax) row.ties += sum_lanes(d, ties);
    if constexpr (kMoments) {
      row.tail_sq += sum_lanes(d, tail_sq);
      row.weighted += sum_lanes(d, weighted);
    }
  }
};

// Adds a block of y to the row; `next` is the memory that follows, fetched while this block keeps
// the multipliers busy.
template <bool kMoments, bool kHoldsMax>
HWY_INLINE void add_block(FloatTag d, const float* y, int64_t count, const float* next,
                          RowSums& row) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto max = hn::Set(d, row.max);
  BlockSums<kMoments, kHoldsMax> even(d), odd(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    hwy::Prefetch(next + i);
    even.add(d, hn::LoadU(d, y + i), max);
    odd.add(d, hn::LoadU(d, y + i + lanes), max);
  }
  for (; i + lanes <= count; i += lanes) even.add(d, hn::LoadU(d, y + i), max);
  if (i < count) odd.add_part(d, PartVector{count - i}.load(d, y + i), max, count - i);
  even.leave(d, row);
  odd.leave(d, row);
}

template <Transform kTransform, bool kMoments>
void statistics_rows(const float* logits, int64_t rows, int64_t vocab, int64_t stride,
                     const int64_t* labels, LogitTransform transform, const TokenStatistics& out) {
  const FloatTag d;
  const int64_t block = block_size(d);
  HWY_ALIGN float buffer[kMaxBlock];
  for (int64_t i = 0; i < rows; ++i) {
    const float* z = logits + i * stride;
    RowSums row;
    float label_logit = 0;
    for (int64_t begin = 0; begin < vocab; begin += block) {
      const int64_t count = std::min(block, vocab - begin);
      const BlockScan scan = scan_block<kTransform>(d, z + begin, count, transform, buffer);
      const float* y = kTransform == Transform::identity ? z + begin : buffer;
      row.logits += scan.sum;
      if (labels[i] >= begin && labels[i] < begin + count) label_logit = y[labels[i] - begin];
      if (begin == 0) {
        row.max = scan.max;
      } else if (scan.max > row.max) {
        row.raise_max(scan.max);
      }
      const float* next = z + begin + block;
      if (scan.max == row.max) {
        add_block<kMoments, true>(d, y, count, next, row);
      } else {
        add_block<kMoments, false>(d, y, count, next, row);
      }
    }
    // A maximum forgets NaN, the sum of the logits does not.
    const double poison = row.logits - row.logits;
    const double log_sum = std::log1p(row.ties - 1 + row.tail) + poison;
    out.logp[i] = static_cast<float>(static_cast<double>(label_logit) - row.max - log_sum);
    out.lse[i] = static_cast<float>(row.max + log_sum);
    if (out.max_logp) out.max_logp[i] = static_cast<float>(-log_sum);
    if (out.hit) out.hit[i] = poison == 0 && label_logit >= row.max ? 1.0f : 0.0f;
    if (out.mean_logit)
      out.mean_logit[i] = static_cast<float>(row.logits / static_cast<double>(vocab));
    if constexpr (kMoments) {
      if (out.collision) {
        out.collision[i] = static_cast<float>(std::log1p(row.ties - 1 + row.tail_sq) - 2 * log_sum);
      }
      if (out.entropy)
        out.entropy[i] = static_cast<float>(log_sum - row.weighted / (row.ties + row.tail));
    }
  }
}

template <Transform kTransform>
void statistics(const float* logits, int64_t rows, int64_t vocab, int64_t stride,
                const int64_t* labels, LogitTransform transform, const TokenStatistics& out) {
  const bool moments = out.collision || out.entropy;
  const auto run = moments ? statistics_rows<kTransform, true> : statistics_rows<kTransform, false>;
  run(logits, rows, vocab, stride, labels, transform, out);
}

// c p dy/dz with p = e^(y - lse); lse comes as a sum of two floats, so that logits far from zero
// keep their precision.
template <Transform kTransform>
HWY_INLINE FloatVec gradient_term(FloatTag d, FloatVec z, FloatVec lse_high, FloatVec lse_low,
                                  FloatVec coefficient, LogitTransform transform) {
  FloatVec y = z;
  FloatVec scaled_coefficient = coefficient;
  if constexpr (kTransform == Transform::scale) y = hn::Mul(z, hn::Set(d, transform.scale));
  if constexpr (kTransform == Transform::soft_cap) {
    const auto scaled = hn::Mul(z, hn::Set(d, transform.scale));
    const TanhSlope capped = tanh_of(d, hn::Mul(scaled, hn::Set(d, 1 / transform.soft_cap)));
    y = hn::Mul(hn::Set(d, transform.soft_cap), capped.tanh);
    scaled_coefficient = hn::Mul(coefficient, capped.slope);
  }
  return hn::Mul(scaled_coefficient, exp_of(d, hn::Sub(hn::Sub(y, lse_high), lse_low)));
}

// dy/dz at the label.
template <Transform kTransform>
HWY_INLINE float slope_at(float z, LogitTransform transform) {
  if constexpr (kTransform == Transform::identity) return 1;
  if constexpr (kTransform == Transform::scale) return transform.scale;
  const FloatTag d;
  const float scaled = z * transform.scale;
  return transform.scale *
         hn::GetLane(tanh_of(d, hn::Set(d, scaled * (1 / transform.soft_cap))).slope);
}

template <Transform kTransform>
void gradient_rows(float* logits, int64_t rows, int64_t vocab, int64_t stride,
                   const int64_t* labels, const float* logp, const float* lse, const float* d_logp,
                   LogitTransform transform) {
  const FloatTag d;
  for (int64_t i = 0; i < rows; ++i) {
    float* z = logits + i * stride;
    if (d_logp[i] == 0) {
      std::fill(z, z + vocab, 0.0f);
      continue;
    }
    if (!std::isfinite(lse[i])) {
      std::fill(z, z + vocab, std::numeric_limits<float>::quiet_NaN());
      continue;
    }
    const float label_logit = z[labels[i]];
    // lse is known twice: as lse, and as y_label - logp, whose rounding is that of logp. The
    // smaller number is the finer.
    const double label_y = transformed_label<kTransform>(label_logit, transform);
    const double center =
        std::abs(logp[i]) < std::abs(lse[i]) ? label_y - static_cast<double>(logp[i]) : lse[i];
    const float center_high = static_cast<float>(center);
    const auto high = hn::Set(d, center_high);
    const auto low = hn::Set(d, static_cast<float>(center - center_high));
    const auto coefficient = hn::Set(d, -d_logp[i] * transform.scale);
    for_vectors(d, vocab, [&](int64_t j, auto access) HWY_ATTR {
      access.store(
          d, gradient_term<kTransform>(d, access.load(d, z + j), high, low, coefficient, transform),
          z + j);
    });
    z[labels[i]] = d_logp[i] * -std::expm1(logp[i]) * slope_at<kTransform>(label_logit, transform);
  }
}

void logprob_statistics_simd(const float* logits, int64_t rows, int64_t vocab, int64_t stride,
                             const int64_t* labels, LogitTransform transform,
                             const TokenStatistics& out) {
  const auto run = transform.soft_cap > 0 ? statistics<Transform::soft_cap>
                   : transform.scale != 1 ? statistics<Transform::scale>
                                          : statistics<Transform::identity>;
  run(logits, rows, vocab, stride, labels, transform, out);
}

void logprob_gradient_simd(float* logits, int64_t rows, int64_t vocab, int64_t stride,
                           const int64_t* labels, const float* logp, const float* lse,
                           const float* d_logp, LogitTransform transform) {
  const auto run = transform.soft_cap > 0 ? gradient_rows<Transform::soft_cap>
                   : transform.scale != 1 ? gradient_rows<Transform::scale>
                                          : gradient_rows<Transform::identity>;
  run(logits, rows, vocab, stride, labels, logp, lse, d_logp, transform);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace pref::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pref::kernels {
namespace {

void check_labels(const int64_t* labels, int64_t rows, int64_t vocab) {
  for (int64_t i = 0; i < rows; ++i) {
    require(labels[i] >= 0 && labels[i] < vocab, ErrorKind::data, "logprob", "token[", i,
            "] = ", labels[i], " is outside [0, ", vocab,
            "). Was the tokenizer built for another model?");
  }
}

}  // namespace

HWY_EXPORT(logprob_statistics_simd);
HWY_EXPORT(logprob_gradient_simd);

void logprob_statistics(const float* logits, int64_t rows, int64_t vocab, int64_t stride,
                        const int64_t* labels, LogitTransform transform,
                        const TokenStatistics& out) {
  check_labels(labels, rows, vocab);
  HWY_DYNAMIC_DISPATCH(logprob_statistics_simd)
  (logits, rows, vocab, stride, labels, transform, out);
}

void logprob_gradient(float* logits, int64_t rows, int64_t vocab, int64_t stride,
                      const int64_t* labels, const float* logp, const float* lse,
                      const float* d_logp, LogitTransform transform) {
  check_labels(labels, rows, vocab);
  HWY_DYNAMIC_DISPATCH(logprob_gradient_simd)
  (logits, rows, vocab, stride, labels, logp, lse, d_logp, transform);
}

}  // namespace pref::kernels
#endif  // HWY_ONCE
