// SPDX-License-Identifier: Apache-2.0
// The kernels' index functions with sizes that no test could allocate, and bf16 conversion on the
// values where a shortcut would show.
#include "kernels/cuda/device/index.cuh"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/cuda/device/vector_io.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {
namespace {

constexpr int64_t k2To31 = int64_t{1} << 31;

TEST(CudaIndex, RowsBeyondTwoToThe31) {
  EXPECT_EQ(row_begin(16384, 256000), 4194304000);
  EXPECT_EQ(row_begin(k2To31 + 1, 3), 6442450947);
}

TEST(CudaIndex, FlatIndicesBeyondTwoToThe31) {
  EXPECT_EQ(flat_index(0x7fffffffu, 1024, 1023), int64_t{0x7fffffff} * 1024 + 1023);
  EXPECT_EQ(flat_index(31368193, 256, 255), 8030257663);  // an 8B model's elements
}

TEST(CudaIndex, PartsCoverARangeOnce) {
  for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{31}, 3 * k2To31 + 5})
    for (const int64_t parts : {1, 2, 3, 8}) {
      int64_t at = 0;
      for (int64_t part = 0; part < parts; ++part) {
        const Range range = part_range(count, part, parts);
        EXPECT_EQ(range.begin, at) << count << " " << part << " of " << parts;
        EXPECT_GE(range.end, range.begin);
        at = range.end;
      }
      EXPECT_EQ(at, count) << parts;
    }
}

TEST(CudaIndex, SpansBeginOnVectors) {
  for (const int bytes : {2, 4})
    for (int64_t offset = 0; offset < 16; offset += bytes)
      for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{7}, int64_t{64}, k2To31 + 9}) {
        const uintptr_t address = (uintptr_t{5} << 40) + static_cast<uintptr_t>(offset);
        const Span span = vector_span(address, count, bytes);
        const int64_t per_vector = 16 / bytes;
        EXPECT_LT(span.head, per_vector);
        EXPECT_TRUE(span.vectors == 0 ||
                    (address + static_cast<uintptr_t>(span.head * bytes)) % 16 == 0);
        EXPECT_EQ(span.tail_begin, span.head + span.vectors * per_vector);
        EXPECT_LE(span.tail_begin, count);
        EXPECT_LT(count - span.tail_begin, per_vector);
      }
}

TEST(CudaIndex, RejectsTooManyBlocks) {
  EXPECT_THROW(launch(
                   "here", nullptr, {kMaxGridX + 1, 32}, +[](int) {}, 0),
               Error);
  EXPECT_THROW(launch(
                   "here", nullptr, {1, 32, kMaxGridY + 1}, +[](int) {}, 0),
               Error);
}

TEST(CudaBF16, RoundsToNearestEven) {
  const auto bits = [](uint32_t x) { return bf16_bits(float_of(x)); };
  EXPECT_EQ(bits(0x3f808000u), 0x3f80);  // a tie to even
  EXPECT_EQ(bits(0x3f818000u), 0x3f82);
  EXPECT_EQ(bits(0x3f808001u), 0x3f81);
  EXPECT_EQ(bits(0x7f7fffffu), 0x7f80);  // beyond the largest
  EXPECT_EQ(bits(0xff800000u), 0xff80);
  EXPECT_GT(bits(0x7f800001u) & 0x7fff, 0x7f80);  // a NaN whose upper half alone is infinite
  EXPECT_EQ(bf16_pair_bits(1, -2), 0xc0003f80u);
  for (uint32_t i = 0; i < 0x10000; ++i) {
    const float x = to_float(BF16{static_cast<uint16_t>(i)});
    if (x == x) {
      EXPECT_EQ(bf16_bits(x), i);
    }
  }
}

}  // namespace
}  // namespace pref::kernels::cuda
