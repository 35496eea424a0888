// SPDX-License-Identifier: Apache-2.0
// CPU side of kernels/gather.h: rows are copied whole; the scatter adds in order of i, so repeated
// indices sum the same way in every run and for every split of the columns.
#include "kernels/gather.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gather.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pref::kernels {
namespace HWY_NAMESPACE {
namespace {

void scatter_add_rows_simd(float* x, int64_t width, const int64_t* index, int64_t count,
                           const float* rows, int64_t column_begin, int64_t column_end) {
  const FloatTag d;
  for (int64_t i = 0; i < count; ++i) {
    float* target = x + index[i] * width + column_begin;
    const float* source = rows + i * width + column_begin;
    for_vectors(d, column_end - column_begin, [&](int64_t j, auto access) HWY_ATTR {
      access.store(d, hn::Add(access.load(d, target + j), access.load(d, source + j)), target + j);
    });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace pref::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pref::kernels {

HWY_EXPORT(scatter_add_rows_simd);

void gather_rows(const float* x, int64_t width, const int64_t* index, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(out + i * width, x + index[i] * width, static_cast<size_t>(width) * sizeof(float));
  }
}

void scatter_add_rows(float* x, int64_t width, const int64_t* index, int64_t count,
                      const float* rows, int64_t column_begin, int64_t column_end) {
  HWY_DYNAMIC_DISPATCH(scatter_add_rows_simd)
  (x, width, index, count, rows, column_begin, column_end);
}

}  // namespace pref::kernels
#endif  // HWY_ONCE
