// SPDX-License-Identifier: Apache-2.0
// Vector pieces shared by the CPU kernels, compiled once per instruction set by Highway: e^x, tanh,
// loads of a partial vector, sums of lanes in double. Every multiply that feeds an add is an
// explicit fused one, so that a loop's body and its tail round alike and a range may be split
// anywhere without changing a bit. Included inside foreach_target.h's rounds, hence the toggled
// guard in place of #pragma once.
#if defined(PREF_KERNELS_CPU_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREF_KERNELS_CPU_SIMD_MATH_INL_H_
#undef PREF_KERNELS_CPU_SIMD_MATH_INL_H_
#else
#define PREF_KERNELS_CPU_SIMD_MATH_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pref::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;
using ExponentVec = hn::Vec<hn::RebindToSigned<FloatTag>>;

/// Arguments of Exp below this are raised to it: e^-87 = 1.6e-38 is the last power of e above the
/// subnormals.
inline constexpr float kExpLowest = -87.0f;

/// x log2 e = n + f with n a whole number and f in [-1/2, 1/2]; `exponent` holds n << 23.
struct ReducedExp {
  FloatVec f;
  ExponentVec exponent;
};

/// x in [kExpLowest, 88].
HWY_INLINE ReducedExp reduce_exp(FloatTag d, FloatVec x) {
  const hn::RebindToSigned<FloatTag> di;
  const auto log2e = hn::Set(d, 0x1.715476p+0f);
  // Adding 1.5 * 2^23 leaves round(x log2 e) in the low bits of the sum; the constant's own bits
  // leave with the shift.
  const auto round_to_integer = hn::Set(d, 0x1.8p+23f);
  const auto shifted = hn::MulAdd(x, log2e, round_to_integer);
  const auto f = hn::MulSub(x, log2e, hn::Sub(shifted, round_to_integer));
  return {f, hn::ShiftLeft<23>(hn::BitCast(di, shifted))};
}

/// e^x for x <= 88; below kExpLowest the value there. Relative error <= 2.0e-7 + 1.3e-8 |x| with
/// fused multiply-add (the second term is log2 e rounded to f32), 2.0e-7 + 1.2e-7 |x| without;
/// checked by tests/kernels/simd_math_test.cpp. Exactly 1 at 0. NaN is not carried on every
/// instruction set: callers carry it by the sum or product they form anyway.
HWY_INLINE FloatVec exp_of(FloatTag d, FloatVec x) {
  const hn::RebindToSigned<FloatTag> di;
  const ReducedExp reduced = reduce_exp(d, hn::Max(hn::Set(d, kExpLowest), x));
  // 2^f = 1 + f q(f), q a minimax fit by 2^f's relative error: 1.0e-7 after rounding the
  // coefficients to f32. One more coefficient would make that 1e-8, and the statistics of logits 6
  // % slower.
  auto q = hn::Set(d, 0x1.5bba14p-10f);
  q = hn::MulAdd(q, reduced.f, hn::Set(d, 0x1.3cea88p-7f));
  q = hn::MulAdd(q, reduced.f, hn::Set(d, 0x1.c6b73ap-5f));
  q = hn::MulAdd(q, reduced.f, hn::Set(d, 0x1.ebf9bep-3f));
  q = hn::MulAdd(q, reduced.f, hn::Set(d, 0x1.62e42ap-1f));
  const auto power = hn::MulAdd(q, reduced.f, hn::Set(d, 1.0f));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, power), reduced.exponent));
}

struct TanhSlope {
  FloatVec tanh, slope;  ///< slope = 1 - tanh^2, without the cancellation of that formula
};

/// With e = e^(-2|x|): tanh |x| = -(e - 1) / (2 + (e - 1)) and 1 - tanh^2 = 4 e / (1 + e)^2. e - 1
/// is formed from 2^f - 1 = f q(f), q fitted by its own relative error (2.1e-8), so that small
/// arguments keep their relative precision. Relative error <= 4e-7 for tanh; for the slope, 6e-7
/// plus exp_of's bound at -2|x|, |x| <= 20; checked by tests/kernels/simd_math_test.cpp. NaN stays
/// NaN.
HWY_INLINE TanhSlope tanh_of(FloatTag d, FloatVec x) {
  const hn::RebindToSigned<FloatTag> di;
  const auto one = hn::Set(d, 1.0f);
  const auto two = hn::Set(d, 2.0f);
  // A comparison, unlike a maximum, lets NaN through on every instruction set.
  const auto lowest = hn::Set(d, kExpLowest);
  const auto doubled = hn::Mul(hn::Set(d, -2.0f), hn::Abs(x));
  const ReducedExp reduced =
      reduce_exp(d, hn::IfThenElse(hn::Lt(doubled, lowest), lowest, doubled));
  auto q = hn::Set(d, 0x1.4308fap-13f);
  q = hn::MulAdd(q, reduced.f, hn::Set(d, 0x1.5f07b4p-10f));
  q = hn::MulAdd(q, reduced.f, hn::Set(d, 0x1.3b2ba0p-7f));
  q = hn::MulAdd(q, reduced.f, hn::Set(d, 0x1.c6af6ep-5f));
  q = hn::MulAdd(q, reduced.f, hn::Set(d, 0x1.ebfbdep-3f));
  q = hn::MulAdd(q, reduced.f, hn::Set(d, 0x1.62e430p-1f));
  const auto fraction = hn::Mul(q, reduced.f);
  const auto power = hn::BitCast(d, hn::Add(hn::BitCast(di, one), reduced.exponent));
  const auto e = hn::MulAdd(power, fraction, power);
  const auto e_minus_one = hn::MulAdd(power, fraction, hn::Sub(power, one));
  const auto denominator = hn::Add(two, e_minus_one);
  const auto magnitude = hn::Div(hn::Neg(e_minus_one), denominator);
  const auto twice = hn::Div(two, denominator);
  return {hn::CopySign(magnitude, x), hn::Mul(e, hn::Mul(twice, twice))};
}

/// Sum of the lanes in double, in an order that depends on the instruction set alone.
HWY_INLINE double sum_lanes(FloatTag, FloatVec v) {
#if HWY_TARGET == HWY_SCALAR
  return hn::GetLane(v);
#else
  const hn::Repartition<double, FloatTag> dd;
  const hn::Rebind<float, decltype(dd)> half;
  const auto low = hn::PromoteTo(dd, hn::LowerHalf(half, v));
  const auto high = hn::PromoteTo(dd, hn::UpperHalf(half, v));
  return hn::GetLane(hn::SumOfLanes(dd, hn::Add(low, high)));
#endif
}

/// Access to whole vectors, handed to the body of for_vectors.
struct WholeVector {
  HWY_INLINE FloatVec load(FloatTag d, const float* p) const { return hn::LoadU(d, p); }
  HWY_INLINE void store(FloatTag d, FloatVec v, float* p) const { hn::StoreU(v, d, p); }
};

/// Access to the first `count` lanes; the others read as zero and are not written. Never touches
/// memory past count.
struct PartVector {
  int64_t count;
  HWY_INLINE FloatVec load(FloatTag d, const float* p) const {
    HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
    return hn::Load(d, lanes);
  }
  HWY_INLINE void store(FloatTag d, FloatVec v, float* p) const {
    HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
    hn::Store(v, d, lanes);
    for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
  }
};

/// body(i, access) for i = 0, lanes, 2 lanes, ... below count; `access` loads and stores the vector
/// that starts at i.
template <class Body>
HWY_INLINE void for_vectors(FloatTag d, int64_t count, const Body& body) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, WholeVector());
  if (i < count) body(i, PartVector{count - i});
}

}  // namespace HWY_NAMESPACE
}  // namespace pref::kernels
HWY_AFTER_NAMESPACE();

#endif  // PREF_KERNELS_CPU_SIMD_MATH_INL_H_
