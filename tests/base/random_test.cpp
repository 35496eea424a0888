// SPDX-License-Identifier: Apache-2.0
// Philox against the known answers of Random123; streams by their laws.
#include "libpref/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "libpref/base/error.h"

namespace pref {
namespace {

using Words4 = std::array<uint32_t, 4>;

TEST(Philox, MatchesReference) {
  // Random123's kat_vectors, philox 4x32 with 10 rounds.
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t k = 0xffffffff;
  EXPECT_EQ(philox4x32({k, k, k, k}, {k, k}),
            (Words4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, GoldenFirstNumbers) {
  // Pinned: data orders and samples of older runs depend on them.
  RandomStream stream(42, "data order", 3);
  const uint64_t first = stream.next_u64(), second = stream.next_u64();
  EXPECT_EQ(first, 9118956848225627611u);
  EXPECT_EQ(second, 8461125511773539187u);
}

TEST(RandomStream, InvariantSeekGivesTheSameNumbers) {
  RandomStream all(7, "x", 1);
  std::vector<uint32_t> words(1000);
  for (uint32_t& word : words) word = all.next_u32();
  EXPECT_EQ(all.position(), 1000u);
  for (const uint64_t at : {0u, 1u, 2u, 3u, 4u, 5u, 7u, 8u, 511u, 999u}) {
    RandomStream stream(7, "x", 1);
    stream.seek(at);
    EXPECT_EQ(stream.position(), at);
    for (uint64_t i = at; i < std::min<uint64_t>(at + 9, 1000); ++i)
      EXPECT_EQ(stream.next_u32(), words[i]) << at << " " << i;
  }
  RandomStream far(7, "x", 1), next(7, "x", 1);
  far.seek((uint64_t{1} << 34) + 4);  // block 2^32 + 1: the high counter word is used
  next.seek(4);
  EXPECT_NE(far.next_u64(), next.next_u64());
}

TEST(RandomStream, InvariantStreamsDiffer) {
  std::set<uint64_t> firsts;
  for (uint64_t seed = 0; seed < 20; ++seed)
    for (const char* purpose : {"data order", "dropout", ""})
      for (const uint64_t index : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32})
        firsts.insert(RandomStream(seed, purpose, index).next_u64());
  EXPECT_EQ(firsts.size(), 20u * 3 * 3);
}

TEST(RandomStream, ValueMomentsOfUniformAndNormal) {
  RandomStream stream(1, "moments");
  constexpr int n = 200000;
  double uniform_sum = 0, sum = 0, squares = 0, cubes = 0, fourths = 0;
  for (int i = 0; i < n; ++i) {
    const double u = stream.uniform(), x = stream.normal();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    ASSERT_TRUE(std::isfinite(x));
    uniform_sum += u;
    sum += x;
    squares += x * x;
    cubes += x * x * x;
    fourths += x * x * x * x;
  }
  // Six standard errors: sd/sqrt(n) with sd of u 0.289, x 1, x^2 sqrt 2, x^3 sqrt 15, x^4 sqrt 96.
  const double error = 6 / std::sqrt(n);
  EXPECT_NEAR(uniform_sum / n, 0.5, 0.289 * error);
  EXPECT_NEAR(sum / n, 0, error);
  EXPECT_NEAR(squares / n, 1, std::sqrt(2) * error);
  EXPECT_NEAR(cubes / n, 0, std::sqrt(15) * error);
  EXPECT_NEAR(fourths / n, 3, std::sqrt(96) * error);
  EXPECT_EQ(stream.position(), 6u * n);  // 2 words a uniform, 4 a normal
}

TEST(RandomStream, ValueBelowIsUniform) {
  RandomStream stream(3, "below");
  constexpr int n = 60000;
  int counts[6] = {};
  for (int i = 0; i < n; ++i) {
    const uint64_t k = stream.below(6);
    ASSERT_LT(k, 6u);
    ++counts[k];
  }
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - n / 6.0) * (count - n / 6.0) / (n / 6.0);
  EXPECT_LT(chi_square, 35);  // 5 degrees of freedom: p = 1.5e-6
  // n = 3/4 of 2^64. Without the refusals the product maps four words onto three values: every
  // third value comes twice.
  const uint64_t big = uint64_t{3} << 62;
  int low = 0, thirds[3] = {};
  for (int i = 0; i < 30000; ++i) {
    const uint64_t k = stream.below(big);
    ASSERT_LT(k, big);
    low += k < big / 3;
    ++thirds[k % 3];
  }
  EXPECT_NEAR(low, 10000, 6 * std::sqrt(30000 * 2.0 / 9));
  for (const int count : thirds) EXPECT_NEAR(count, 10000, 6 * std::sqrt(30000 * 2.0 / 9));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(stream.below(1), 0u);
  int hits = 0;
  for (int i = 0; i < 10000; ++i) hits += stream.bernoulli(0.25);
  EXPECT_NEAR(hits, 2500, 6 * std::sqrt(10000 * 0.1875));
}

TEST(RandomStream, InvariantPermutationHoldsEveryNumberOnce) {
  for (const int64_t n : {0, 1, 2, 5, 1000}) {
    std::vector<int64_t> order = RandomStream(9, "order", static_cast<uint64_t>(n)).permutation(n);
    EXPECT_EQ(order, RandomStream(9, "order", static_cast<uint64_t>(n)).permutation(n));
    if (n == 1000) {
      EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
    }
    std::sort(order.begin(), order.end());
    ASSERT_EQ(order.size(), static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(order[i], i);
  }
  // All 6 orders of three come equally often.
  std::set<std::vector<int64_t>> seen;
  int first_order = 0;
  for (uint64_t i = 0; i < 6000; ++i) {
    const auto order = RandomStream(11, "three", i).permutation(3);
    seen.insert(order);
    first_order += order == std::vector<int64_t>{0, 1, 2};
  }
  EXPECT_EQ(seen.size(), 6u);
  EXPECT_NEAR(first_order, 1000, 6 * std::sqrt(6000 * 5.0 / 36));
}

TEST(RandomStream, RejectsEmptyRanges) {
  RandomStream stream(1, "x");
  EXPECT_THROW(stream.below(0), Error);
  EXPECT_THROW(stream.permutation(-1), Error);
}

}  // namespace
}  // namespace pref
