// SPDX-License-Identifier: Apache-2.0
// Words, overlap, quotes, and the statistics of lengths, on numbers worked by hand.
#include "libpref/data/audit/text_facts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "libpref/base/random.h"
#include "libpref/data/audit/length_statistics.h"

namespace pref::audit {
namespace {

std::string numbered(int first, int last) {
  std::string out;
  for (int i = first; i <= last; ++i) out += (out.empty() ? "w" : " w") + std::to_string(i);
  return out;
}

TEST(Words, ValueIgnoresWhiteSpaceAndPerhapsCase) {
  EXPECT_EQ(words_of("One  two\n"), words_of(" One\ttwo"));
  EXPECT_NE(words_of("One two"), words_of("one two"));
  EXPECT_EQ(words_of("One  two\n", Case::folded), words_of(" one\tTWO", Case::folded));
  EXPECT_NE(words_of("\u00c9", Case::folded), words_of("\u00e9", Case::folded));
  EXPECT_EQ(words_of("one two").size(), 2u);
  EXPECT_NE(words_of("one two"), words_of("onetwo"));
  EXPECT_NE(words_of("2+2"), words_of("2-2"));
  EXPECT_EQ(words_of("日本 語"), words_of("日本語"));
  EXPECT_EQ(words_of("日本語").size(), 3u);
  EXPECT_EQ(words_of("\u00a0a\u3000b").size(), 2u);
  EXPECT_TRUE(words_of(" \n").empty());
  // A long word is hashed in pieces; each of them counts.
  const std::string a(200, 'a');
  std::string b = a;
  b[10] = 'b';
  EXPECT_NE(words_of(a), words_of(b));
  EXPECT_EQ(words_of(a).size(), 1u);
}

TEST(Words, ValueOfConversations) {
  const Content text{.text = "hi  there"};
  const Content one{.messages = {{"user", "hi there"}}};
  const Content two{.messages = {{"system", "hi"}, {"user", "there"}}};
  const Content swapped{.messages = {{"user", "hi"}, {"system", "there"}}};
  EXPECT_EQ(words_of(text), words_of(one));
  EXPECT_NE(words_of(two), words_of(one));
  EXPECT_NE(words_of(two), words_of(swapped));
}

TEST(Overlap, Value) {
  // 10 words are 8 stretches of three; another last word changes one of them.
  const Words a = words_of(numbered(1, 10)), b = words_of(numbered(1, 9) + " other");
  EXPECT_DOUBLE_EQ(overlap(a, a), 1);
  EXPECT_DOUBLE_EQ(overlap(a, b), 7.0 / 8);
  EXPECT_DOUBLE_EQ(overlap(a, words_of(numbered(11, 20))), 0);
  EXPECT_DOUBLE_EQ(overlap(words_of("a b"), words_of("a b")), 0);  // too short to say
  // A stretch counts as often as it stands: 6 of "x x x" against 2.
  EXPECT_DOUBLE_EQ(overlap(words_of("x x x x x x x x"), words_of("x x x x")), 2.0 * 2 / (6 + 2));
}

TEST(LongestQuote, Value) {
  const Words prompt = words_of(numbered(1, 40));
  EXPECT_EQ(longest_quote(prompt, words_of("so " + numbered(5, 16) + " then")), 12);
  EXPECT_EQ(longest_quote(prompt, words_of(numbered(5, 12))), 8);
  EXPECT_EQ(longest_quote(prompt, words_of(numbered(5, 11) + " x " + numbered(12, 18))), 0);
  EXPECT_EQ(longest_quote(prompt, words_of(numbered(1, 9) + " x " + numbered(20, 31))), 12);
  EXPECT_EQ(longest_quote(words_of("a b"), words_of("a b")), 0);
}

TEST(LengthSummary, Value) {
  std::vector<int64_t> lengths;
  for (int64_t i = 200; i >= 1; --i) lengths.push_back(i);
  const LengthSummary s = summarize(lengths);
  EXPECT_EQ(s, (LengthSummary{200, 20100, 1, 10, 100, 190, 198, 200}));
  EXPECT_DOUBLE_EQ(s.mean(), 100.5);
  EXPECT_EQ(summarize({7}), (LengthSummary{1, 7, 7, 7, 7, 7, 7, 7}));
  EXPECT_EQ(summarize({}), LengthSummary{});
}

TEST(Histogram, ValueAndSum) {
  // 10 bins reach 99 with a width of 10; longer ones are in the last.
  const Histogram h = histogram({0, 9, 10, 99, 100, 5000}, 99, 10);
  EXPECT_EQ(h.width, 10);
  EXPECT_EQ(h.counts, (std::vector<int64_t>{2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2}));
  for (const int64_t reach : {0, 1, 7, 40, 41, 999, 1000, 123456}) {
    const Histogram wide = histogram({reach, 3 * reach}, reach, 40);
    EXPECT_GT(static_cast<int64_t>(wide.counts.size() - 1) * wide.width, reach);
    EXPECT_LE(wide.counts.size(), 42u);
    int64_t sum = 0;
    for (const int64_t count : wide.counts) sum += count;
    EXPECT_EQ(sum, 2);
  }
}

TEST(LengthBias, Value) {
  LengthBias bias;
  bias.compare(10, 4);  // gaps 6, -2, 0, 4: mean 2, variance ((16 + 16 + 4 + 4) / 3)
  bias.compare(3, 5);
  bias.compare(8, 8);
  bias.compare(9, 5);
  EXPECT_DOUBLE_EQ(bias.mean_gap(), 2);
  EXPECT_NEAR(bias.mean_gap_error(), std::sqrt(40.0 / 3 / 4), 1e-12);
  EXPECT_EQ(bias.unequal(), 3);
  EXPECT_EQ(bias.longer_wins(), 2);
  EXPECT_DOUBLE_EQ(bias.longer_wins_share(), 2.0 / 3);
  EXPECT_NEAR(bias.longer_wins_error(), std::sqrt(2.0 / 3 / 3 / 3), 1e-12);
}

TEST(LengthBias, MatchesReferencePearson) {
  RandomStream random(7, "lengths");
  LengthBias bias;
  std::vector<double> x, y;
  for (int i = 0; i < 300; ++i) {
    const auto chosen = static_cast<int64_t>(20 + random.below(80));
    const auto rejected = static_cast<int64_t>(10 + random.below(80));
    bias.compare(chosen, rejected);
    x.insert(x.end(), {static_cast<double>(chosen), static_cast<double>(rejected)});
    y.insert(y.end(), {1, 0});
  }
  double mx = 0, my = 0, sxy = 0, sxx = 0, syy = 0;
  for (size_t i = 0; i < x.size(); ++i) mx += x[i] / 600, my += y[i] / 600;
  for (size_t i = 0; i < x.size(); ++i) {
    sxy += (x[i] - mx) * (y[i] - my);
    sxx += (x[i] - mx) * (x[i] - mx);
    syy += (y[i] - my) * (y[i] - my);
  }
  const double r = sxy / std::sqrt(sxx * syy);
  EXPECT_NEAR(bias.point_biserial(), r, 1e-12);
  EXPECT_NEAR(bias.point_biserial_error(), std::sqrt((1 - r * r) / 598), 1e-12);
  EXPECT_GT(r, 0.1);
}

TEST(LengthBias, ValueWithoutVariation) {
  LengthBias none, equal;
  EXPECT_EQ(none.point_biserial(), 0);
  EXPECT_EQ(none.longer_wins_share(), 0.5);
  for (int i = 0; i < 3; ++i) equal.compare(5, 5);
  EXPECT_EQ(equal.point_biserial(), 0);
  EXPECT_EQ(equal.mean_gap_error(), 0);
}

}  // namespace
}  // namespace pref::audit
