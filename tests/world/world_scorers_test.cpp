// SPDX-License-Identifier: Apache-2.0
#include "examples/world/world_scorers.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "libpref/base/error.h"

namespace pref {
namespace {

WorldPair pair(const std::string& chosen, const std::string& rejected, double probability = 0.5) {
  return {"p", chosen, rejected, 0, 0, probability};
}

TEST(WorldScorers, ValueBlindFindsWords) {
  // "plum" is always preferred to "fig" in training; held out: right, wrong, and two words never
  // seen, a tie.
  const std::vector<WorldPair> train(50, pair("a plum", "a fig"));
  EXPECT_DOUBLE_EQ(blind_scorer_accuracy(train, {pair("plum", "fig")}), 1);
  EXPECT_DOUBLE_EQ(blind_scorer_accuracy(train, {pair("plum", "fig"), pair("fig", "plum")}), 0.5);
  EXPECT_DOUBLE_EQ(blind_scorer_accuracy(train, {pair("new", "other")}), 0.5);
  EXPECT_DOUBLE_EQ(blind_scorer_accuracy({pair("a plum", "a fig")}, {pair("fig", "plum")}), 0);
}

TEST(WorldScorers, ValueBlindFindsNeighbours) {
  // The same words and length; only their order tells.
  const std::vector<WorldPair> train(50, pair("red plum", "plum red"));
  EXPECT_DOUBLE_EQ(blind_scorer_accuracy(train, {pair("red plum", "plum red")}), 1);
}

TEST(WorldScorers, ValueLengthLearnsItsDirection) {
  const std::vector<WorldPair> held_out = {pair("a b c", "d"), pair("e f", "g"), pair("h", "i j"),
                                           pair("k l", "m n")};
  const std::vector<WorldPair> longer(20, pair("a b c", "d")), shorter(20, pair("d", "a b c"));
  EXPECT_DOUBLE_EQ(length_scorer_accuracy(longer, held_out), (1 + 1 + 0 + 0.5) / 4);
  EXPECT_DOUBLE_EQ(length_scorer_accuracy(shorter, held_out), (0 + 0 + 1 + 0.5) / 4);
}

TEST(WorldScorers, ValueLengthIgnoresWords) {
  const std::vector<WorldPair> train(50, pair("a plum", "a fig"));
  EXPECT_DOUBLE_EQ(length_scorer_accuracy(train, {pair("plum", "fig")}), 0.5);
}

TEST(WorldScorers, ValueBayes) {
  EXPECT_DOUBLE_EQ(bayes_accuracy({pair("a", "b", 0.9), pair("a", "b", 0.2)}), (0.9 + 0.8) / 2);
}

TEST(WorldScorers, InvariantWorldNeedsThePrompt) {
  const World world;
  const auto train = world.pairs(WorldSplit::train, 10'000),
             held_out = world.pairs(WorldSplit::held_out, 4000);
  for (const auto& judged : {held_out, true_order(held_out)}) {
    const double blind = blind_scorer_accuracy(train, judged),
                 length = length_scorer_accuracy(train, judged);
    EXPECT_LE(blind, 0.60);
    EXPECT_LE(length, 0.55);
    EXPECT_GE(length, 0.45);
  }
  const double bayes = bayes_accuracy(held_out);
  EXPECT_GT(bayes, 0.90);
  EXPECT_LT(bayes, 0.98);
  // Noise e takes the ceiling c to (1 - e) c + e (1 - c).
  const double noisy =
      bayes_accuracy(World({.label_noise = 0.2}).pairs(WorldSplit::held_out, 4000));
  EXPECT_NEAR(noisy, 0.8 * bayes + 0.2 * (1 - bayes), 0.01);
}

TEST(WorldScorers, InvariantLengthBiasShows) {
  const World world({.length_bias = 1});
  const auto train = world.pairs(WorldSplit::train, 4000),
             held_out = world.pairs(WorldSplit::held_out, 2000);
  EXPECT_GT(length_scorer_accuracy(train, held_out), 0.60);
}

TEST(WorldScorers, RejectsEmptyLists) {
  const std::vector<WorldPair> one = {pair("a", "b")};
  EXPECT_THROW(blind_scorer_accuracy({}, one), Error);
  EXPECT_THROW(blind_scorer_accuracy(one, {}), Error);
  EXPECT_THROW(length_scorer_accuracy({}, one), Error);
  EXPECT_THROW(bayes_accuracy({}), Error);
}

}  // namespace
}  // namespace pref
