// SPDX-License-Identifier: Apache-2.0
// The true reward: values worked by hand, bounds, and text that no grammar expects.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "examples/world/world.h"
#include "libpref/base/error.h"

namespace pref {
namespace {

const std::string kSofa = "The lamp is red and the sofa is green. What colour is the sofa?";
const std::string kHours = "The bakery opens at 8 and closes at 5. When does the bakery close?";
const std::string kPrices = "The cup costs 4 coins and the book costs 7 coins. ";
const std::string kPlums = "Ben has 3 plums and Ann has 4 plums. ";

struct Case {
  std::string prompt, reply;
  double answer, form, brevity;
};

TEST(WorldReward, Value) {
  const std::vector<Case> cases = {
      // Right; wrong value; true but not asked; false and not asked.
      {kSofa, "The sofa is green.", 1, 0, 0},
      {kSofa, "The sofa is red.", -1, 0, 0},
      {kSofa, "The lamp is red.", -1.5, 0, 0},
      {kSofa, "The lamp is blue.", -1.5, 0, 0},
      // Bare words; case, articles and full stops are free.
      {kSofa, "green", 1, 0, 0},
      {kSofa, "Green.", 1, 0, 0},
      {kSofa, "red", -1, 0, 0},
      {kSofa, "the lamp", -1.5, 0, 0},
      {kHours, "at 5", 1, 0, 0},
      {kHours, "8", -1, 0, 0},
      {kHours, "5 coins", -1.5, 0, 0},
      {kHours, "The bakery opens at 8.", -1.5, 0, 0},
      // Brevity: each statement beside the answer costs 0.3, three at most.
      {kSofa, "Happy to help! The sofa is green.", 1, 0, -0.3},
      {kSofa, "I could go on for hours. The sofa is green. Take care!", 1, 0, -0.6},
      {kSofa, "The lamp is red and the sofa is green.", 1, 0, -0.3},
      {kSofa, "Take care! Take care! Take care! Take care! green.", 1, 0, -0.9},
      {kHours, "The bakery opens at 8 and closes at 5.", 1, 0, -0.3},
      // Hedging: one wrong or unfounded claim spoils the reply, in any order.
      {kSofa, "The sofa is green. The sofa is red.", -1, 0, -0.3},
      {kSofa, "red. green.", -1, 0, -0.3},
      {kSofa, "The sofa is green. The lamp is blue.", -1, 0, -0.3},
      {"Ann likes figs and is 9 years old. How old is Ann?", "Ann is 9 years old.", 1, 0, 0},
      {"Ann likes figs and is 9 years old. How old is Ann?", "9", 1, 0, 0},
      {"Ann likes figs and is 9 years old. How old is Ann?", "figs", -1.5, 0, 0},
      {"Ann likes figs and is 9 years old. What does Ann like?",
       "Ann is 9 years old and likes figs.", 1, 0, -0.3},
      // Questions for a subject, comparisons, sums, alphabet, counts.
      {"Ben likes figs and Ann likes nuts. Who likes nuts?", "Ann", 1, 0, 0},
      {"Ben likes figs and Ann likes nuts. Who likes nuts?", "Ann likes figs.", -1.5, 0, 0},
      {"Ben likes figs and Ann likes nuts. Who likes nuts?", "Ben likes nuts.", -1, 0, 0},
      {kPrices + "Which one costs less?", "The cup costs less.", 1, 0, 0},
      {kPrices + "Which one costs less?", "the book", -1, 0, 0},
      {kPrices + "Which one costs less?", "The book costs more.", -1.5, 0, 0},
      {kPrices + "How much is the book?", "7 coins", 1, 0, 0},
      {kPrices + "How much is the book?", "The book costs 4 coins.", -1, 0, 0},
      {kPlums + "How many plums do they have together?", "They have 7 plums.", 1, 0, 0},
      {kPlums + "How many plums do they have together?", "7 figs", -1.5, 0, 0},
      {kPlums + "How many plums do they have together?", "They have 8 plums.", -1, 0, 0},
      {kPlums + "How many plums does Ann have?", "Ben has 3 plums.", -1.5, 0, 0},
      {"Which word comes last in the alphabet, lamp or sofa?", "sofa", 1, 0, 0},
      {"Which word comes last in the alphabet, sofa or lamp?", "The word lamp comes last.", -1, 0,
       0},
      {"The list is red blue red. How often is red in the list?", "The count of red is 2.", 1, 0,
       0},
      {"The list is red blue red. How often is red in the list?", "3", -1, 0, 0},
      // Wishes: missing one costs 0.8.
      {"Keep it short. " + kSofa, "green", 1, 0, 0},
      {"Keep it short. " + kSofa, "The sofa is green.", 1, -0.8, 0},
      {"Answer in a full sentence. " + kSofa, "green", 1, -0.8, 0},
      {"Answer in a full sentence. " + kSofa, "The sofa is red.", -1, 0, 0},
      {"Please be friendly. " + kSofa, "The sofa is green. Have a nice day!", 1, 0, 0},
      {"Please be friendly. " + kSofa, "The sofa is green.", 1, -0.8, 0},
      {"Please be friendly. " + kSofa, "Happy to help! The sofa is green. Take care!", 1, 0, -0.3},
      {"Please be friendly. " + kSofa, "I could go on for hours. green.", 1, -0.8, -0.3},
      // The form is that of the answer, not of what stands beside it.
      {"Keep it short. " + kSofa, "The lamp is red. green.", 1, 0, -0.3},
      // Nothing recognisable.
      {kSofa, "", -2, 0, 0},
      {kSofa, "Take care!", -2, 0, -0.3},
      {"Keep it short. " + kSofa, "is is is", -2, -0.8, -0.3},
      {kSofa, "The sofa is green The lamp is red", -2, 0, -0.3},
  };
  const World world;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.prompt + " / " + c.reply);
    const ReplyQuality quality = world.judge(c.prompt, c.reply);
    EXPECT_DOUBLE_EQ(quality.answer, c.answer);
    EXPECT_DOUBLE_EQ(quality.form, c.form);
    EXPECT_NEAR(quality.brevity, c.brevity, 1e-12);
    EXPECT_DOUBLE_EQ(world.true_reward(c.prompt, c.reply), 2.5 * quality.quality());
  }
}

TEST(WorldReward, ValueScales) {
  const World world({.reward_scale = 0.5});
  EXPECT_DOUBLE_EQ(world.true_reward(kSofa, "The sofa is red."), -0.5);
}

TEST(WorldReward, InvariantRightIsAboveWrong) {
  // The worst right answer against the best wrong one.
  const World world;
  const double right =
      world.true_reward("Keep it short. " + kSofa, "The sofa is green. The lamp is red. " +
                                                       std::string("Take care! Take care!"));
  EXPECT_NEAR(right, 2.5 * (1 - 0.8 - 0.9), 1e-12);
  EXPECT_GT(right, world.true_reward("Keep it short. " + kSofa, "red"));
}

TEST(WorldReward, InvariantBestReplyIsBest) {
  const World world;
  for (uint64_t index = 0; index < 2000; ++index) {
    const std::string prompt = world.prompt(index);
    EXPECT_DOUBLE_EQ(world.judge(prompt, world.best_reply(prompt)).quality(), kBestQuality)
        << prompt;
  }
}

TEST(WorldReward, InvariantGarbageIsBounded) {
  const World world;
  RandomStream random(7, "world garbage test");
  SCOPED_TRACE("seed 7");
  const std::vector<std::string> pieces = {
      "the ", "The", "sofa", " is ",   "green", ".",     "!",     "?",   " and ",
      ",",    "\n",  "\xff", "\xe2",   "7 ",    "coins", " at ",  "in ", "20",
      "99",   "no",  "  ",   "likes ", "costs", "Ben ",  "plums", "\t",  "Happy to help!",
      "{s}"};
  for (int trial = 0; trial < 5000; ++trial) {
    const std::string prompt = world.prompt(random.below(1000));
    std::string reply;
    const uint64_t length = random.below(12);
    for (uint64_t i = 0; i < length; ++i) {
      if (random.bernoulli(0.1))
        reply += static_cast<char>(random.below(256));
      else
        reply += pieces[random.below(pieces.size())];
    }
    const double reward = world.true_reward(prompt, reply);
    EXPECT_GE(reward, 2.5 * kWorstQuality - 1e-9);
    EXPECT_LE(reward, 2.5 * kBestQuality);
  }
  EXPECT_NEAR(world.judge(kSofa, std::string(200'000, 'x')).quality(), -2.3, 1e-12);
  std::string endless;
  for (int i = 0; i < 20'000; ++i) endless += "The sofa is green. ";
  EXPECT_NEAR(world.judge(kSofa, endless).quality(), 1 - 0.9, 1e-12);
}

TEST(WorldReward, RejectsForeignPrompts) {
  const World world;
  const std::vector<std::string> prompts = {
      "",
      "What is the meaning of life?",
      "What colour is the sofa?",                                         // nothing to answer with
      "The lamp is red. What colour is the sofa?",                        // of another thing
      "The sofa is red and the sofa is green. What colour is the sofa?",  // two answers
      "The sofa is green.",                                               // no question
      "The sofa is green. What colour is the sofa",                       // no question mark
      "The sofa is green. What colour is the sofa? Keep it short.",       // wish at the wrong end
      "The sofa is green. Nobody knows. What colour is the sofa?",        // another statement
      "The list is red sofa. How often is red in the list?",
      "Which word comes first in the alphabet, lamp or lamp?",
      "Which word comes first in the alphabet, lamp or Ben?",
      "Ben has 3 figs and Ann has 4 plums. How many plums do they have together?",
      "Ben has 3 figs and Ann has 4 plums. How many figs do they have together?",
  };
  for (const std::string& prompt : prompts) {
    SCOPED_TRACE(prompt);
    try {
      world.true_reward(prompt, "The sofa is green.");
      FAIL() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      EXPECT_NE(std::string(error.what())
                    .find("[world] a prompt of the world is required, \"" + prompt + "\" came."),
                std::string::npos)
          << error.what();
    }
  }
  RandomStream random(1, "test");
  EXPECT_THROW(world.sample_reply("Hello.", random), Error);
  EXPECT_THROW(world.best_reply("Hello."), Error);
  EXPECT_THROW(world.pair("Hello.", random), Error);
}

}  // namespace
}  // namespace pref
