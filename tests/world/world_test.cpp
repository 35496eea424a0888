// SPDX-License-Identifier: Apache-2.0
// Prompts, replies, pairs and their labels: determinism, split, statistics.
#include "examples/world/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "libpref/base/error.h"

namespace pref {
namespace {

bool same(const WorldPair& a, const WorldPair& b) {
  return a.prompt == b.prompt && a.chosen == b.chosen && a.rejected == b.rejected &&
         a.score_chosen == b.score_chosen && a.label_probability == b.label_probability;
}

double words(const std::string& text) {
  double n = text.empty() ? 0 : 1;
  for (const char c : text) n += c == ' ';
  return n;
}

double agreement(const std::vector<WorldPair>& pairs) {
  double agree = 0;
  for (const WorldPair& pair : pairs) agree += pair.score_chosen > pair.score_rejected;
  return agree / static_cast<double>(pairs.size());
}

TEST(World, InvariantSeedDecidesAll) {
  const World a, b, other({.seed = 2});
  const auto first = a.pairs(WorldSplit::train, 200), again = b.pairs(WorldSplit::train, 200);
  int different = 0;
  const auto others = other.pairs(WorldSplit::train, 200);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(same(first[i], again[i])) << i;
    different += first[i].prompt != others[i].prompt;
  }
  EXPECT_GT(different, 190);
  // More rows do not change the ones before.
  const auto more = a.pairs(WorldSplit::train, 300);
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(same(first[i], more[i])) << i;
  const auto rows = a.demonstrations(WorldSplit::train, 200),
             second = a.demonstrations(WorldSplit::train, 200, 1);
  const auto rows_again = b.demonstrations(WorldSplit::train, 200);
  int changed = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].completion, rows_again[i].completion);
    EXPECT_EQ(rows[i].prompt, second[i].prompt);
    changed += rows[i].completion != second[i].completion;
  }
  EXPECT_GT(changed, 100);
}

TEST(World, InvariantPromptsAreManyAndShort) {
  const World world;
  std::unordered_set<std::string> distinct;
  double total = 0;
  for (uint64_t index = 0; index < 200'000; ++index) {
    const std::string prompt = world.prompt(index);
    const double n = words(prompt);
    ASSERT_LE(n, 40) << prompt;
    ASSERT_GE(n, 8) << prompt;
    total += n;
    distinct.insert(prompt);
  }
  EXPECT_GE(distinct.size(), 100'000u);
  EXPECT_GT(total / 200'000, 12);
  EXPECT_LT(total / 200'000, 20);
}

TEST(World, InvariantSplitIsByPrompt) {
  const World world, other({.seed = 9});
  const auto train = world.prompts(WorldSplit::train, 5000),
             held_out = world.prompts(WorldSplit::held_out, 1000);
  const std::set<std::string> set(train.begin(), train.end());
  EXPECT_EQ(set.size(), train.size());
  for (const std::string& prompt : held_out) {
    EXPECT_FALSE(set.contains(prompt)) << prompt;
    EXPECT_EQ(other.split(prompt), WorldSplit::held_out);
  }
  double held = 0;
  for (uint64_t index = 0; index < 20'000; ++index)
    held += world.split(world.prompt(index)) == WorldSplit::held_out;
  EXPECT_NEAR(held / 20'000, 0.1, 0.02);
}

TEST(World, InvariantPolicyIsOfMixedQuality) {
  const World world;
  double right = 0, wrong = 0, beside = 0, rambling = 0, opened = 0, closed = 0;
  constexpr int kReplies = 20'000;
  for (uint64_t index = 0; index < kReplies; ++index) {
    const std::string prompt = world.prompt(index);
    RandomStream random(3, "world policy test", index);
    const WorldReply reply = world.sample_reply(prompt, random);
    EXPECT_EQ(reply.quality.quality(), world.judge(prompt, reply.text).quality());
    EXPECT_LE(words(reply.text), 25);
    EXPECT_NE(reply.quality.answer, -2) << prompt << " / " << reply.text;
    right += reply.quality.answer == 1;
    wrong += reply.quality.answer == -1;
    beside += reply.quality.answer == -1.5;
    rambling += reply.quality.brevity < 0;
    opened += reply.text.starts_with("Good question!");
    closed += reply.text.ends_with("Take care!");
  }
  // 0.1 wrong values; of the others half answer the question, and of the rest two in five do.
  EXPECT_NEAR(right / kReplies, 0.45 + 0.45 * 0.44, 0.04);
  EXPECT_NEAR(wrong / kReplies, 0.16, 0.06);
  EXPECT_NEAR(beside / kReplies, 0.2, 0.06);
  EXPECT_NEAR(rambling / kReplies, 0.36, 0.06);
  // One of three openings, and of three closings, in 14 % each.
  EXPECT_NEAR(opened / kReplies, 0.14 / 3, 0.01);
  EXPECT_NEAR(closed / kReplies, 0.14 / 3, 0.01);
}

TEST(World, ValueLabelsFollowBradleyTerry) {
  const World world;
  const auto pairs = world.pairs(WorldSplit::train, 8000);
  double ties = 0, right_or_not = 0, expected = 0;
  for (const WorldPair& pair : pairs) {
    // With neither noise nor bias, P(label) = sigma(difference of the true rewards).
    EXPECT_NEAR(pair.label_probability, 1 / (1 + std::exp(pair.score_rejected - pair.score_chosen)),
                1e-12);
    EXPECT_NEAR(pair.score_chosen, world.true_reward(pair.prompt, pair.chosen), 1e-12);
    EXPECT_NEAR(pair.score_rejected, world.true_reward(pair.prompt, pair.rejected), 1e-12);
    ties += pair.score_chosen == pair.score_rejected;
    const double p = pair.label_probability;
    expected += pair.score_chosen > pair.score_rejected ? p : 1 - p;
    right_or_not += (world.judge(pair.prompt, pair.chosen).answer == 1) !=
                    (world.judge(pair.prompt, pair.rejected).answer == 1);
  }
  EXPECT_LT(ties / 8000, 0.005);
  EXPECT_NEAR(right_or_not / 8000, 7. / 8, 0.02);
  EXPECT_NEAR(agreement(pairs), expected / 8000, 0.015);  // the labels are drawn, not sorted
  EXPECT_LT(agreement(pairs), 0.97);
}

TEST(World, ValueLabelNoise) {
  // With scores far apart, labels disagree exactly where they were flipped.
  for (const double noise : {0.0, 0.1, 0.3}) {
    const auto pairs =
        World({.reward_scale = 1000, .label_noise = noise}).pairs(WorldSplit::train, 8000);
    EXPECT_NEAR(agreement(pairs), 1 - noise, 0.015) << noise;
    for (const WorldPair& pair : pairs) {
      if (pair.score_chosen == pair.score_rejected) continue;
      EXPECT_NEAR(pair.label_probability,
                  pair.score_chosen > pair.score_rejected ? 1 - noise : noise, 1e-9);
    }
  }
}

TEST(World, ValueLengthBias) {
  // One logit a word: of pairs that differ by four words, sigma(4 + difference of rewards) prefer
  // the longer.
  const auto longer_share = [](double bias) {
    double longer = 0, n = 0;
    for (const WorldPair& pair : World({.length_bias = bias}).pairs(WorldSplit::train, 8000)) {
      const double by = words(pair.chosen) - words(pair.rejected);
      const double z = pair.score_chosen - pair.score_rejected + bias * by;
      EXPECT_NEAR(pair.label_probability, 1 / (1 + std::exp(-z)), 1e-12);
      if (by == 0) continue;
      longer += by > 0;
      ++n;
    }
    return longer / n;
  };
  EXPECT_NEAR(longer_share(0), 0.5, 0.06);
  EXPECT_GT(longer_share(1), 0.6);
  EXPECT_GT(longer_share(10), 0.97);
  EXPECT_LT(longer_share(-10), 0.03);
}

TEST(World, ValueTrueOrder) {
  const auto noisy = World({.label_noise = 0.3}).pairs(WorldSplit::held_out, 500);
  const auto sorted = true_order(noisy);
  for (size_t i = 0; i < noisy.size(); ++i) {
    EXPECT_GE(sorted[i].score_chosen, sorted[i].score_rejected);
    const bool swapped = sorted[i].chosen != noisy[i].chosen;
    EXPECT_EQ(swapped, noisy[i].score_chosen < noisy[i].score_rejected);
    EXPECT_EQ(sorted[i].label_probability,
              swapped ? 1 - noisy[i].label_probability : noisy[i].label_probability);
    EXPECT_EQ(swapped ? sorted[i].rejected : sorted[i].chosen, noisy[i].chosen);
  }
}

TEST(World, RejectsOptions) {
  EXPECT_THAT([] { World({.label_noise = 0.6}); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("label_noise")));
  EXPECT_THROW(World({.reward_scale = 0}), Error);
  EXPECT_THROW(World({.seed = -1}), Error);
  EXPECT_THROW(World({.held_out = 1}), Error);
  const World none_held_out({.held_out = 0});
  EXPECT_TRUE(none_held_out.prompts(WorldSplit::held_out, 0).empty());
  EXPECT_THAT([&] { none_held_out.prompts(WorldSplit::held_out, 1); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("held_out > 0 is required")));
  EXPECT_THROW(World().prompts(WorldSplit::train, -1), Error);
}

}  // namespace
}  // namespace pref
