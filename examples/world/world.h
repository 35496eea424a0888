// SPDX-License-Identifier: Apache-2.0
// A small world of English questions with a known true reward: prompts state a few facts and ask
// about one of them,
// replies answer well or badly, and `true_reward` reads both. It stands in for a downloaded data
// set and a human judge
// in the quickstart, in tests and in experiments: whether training raised the true reward is
// measured, not guessed.
//   prompt  "The lamp is red and the sofa is green. What colour is the sofa?"
//   good    "The sofa is green."     not asked  "The lamp is red."     wrong  "The sofa is red."
// Everything is a function of (seed, index): no files, no state. A tokenizer of 704 pieces or more
// (world_tokenizer.h) has
// one for every word: prompts are then about 19 tokens long, replies 7.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/base/random.h"

namespace pref {

struct WorldOptions {
  int64_t seed = 1;
  double reward_scale = 2.5;
  double label_noise = 0;
  double length_bias = 0;
  double held_out = 0.1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("seed", self.seed, at_least(0), "selects prompts, replies and labels");
    visit("reward_scale", self.reward_scale, above(0),
          "true reward (logits of a preference) of one unit of quality");
    visit("label_noise", self.label_noise, between(0, 0.5),
          "probability that a preference label is flipped");
    visit("length_bias", self.length_bias, any(),
          "added to the label's logit for each word a reply is longer than the other; the true "
          "reward ignores it");
    visit("held_out", self.held_out, between(0, 0.9), "share of the prompts kept out of training");
  }
};

/// Which prompts. The prompt's text alone decides, so no prompt is in both, whatever the seed.
enum class WorldSplit { train, held_out };

/// How good a reply is, before scaling. `quality()` is the sum of its parts and lies in [-3.7, 1]:
///   answer   1 right, -1 about the thing asked but wrong, -1.5 about something else, -2 nothing
///            recognisable
///   form    -0.8 when the prompt wishes for a short, a full or a friendly reply and the reply is
///           not
///   brevity -0.3 for every statement beside the answer, 3 at most (a friendly reply wished for has
///     one phrase free)
/// A second answer does not help: one wrong or unfounded claim makes the whole reply wrong. A right
/// answer, however
/// rambling, is above every wrong one.
struct ReplyQuality {
  double answer = 0, form = 0, brevity = 0;
  double quality() const { return answer + form + brevity; }
};
constexpr double kWorstQuality = -2 - 0.8 - 3 * 0.3;
constexpr double kBestQuality = 1;

struct WorldReply {
  std::string text;
  ReplyQuality quality;
};

/// Two replies to one prompt. The label is drawn by Bradley-Terry from the true rewards (and noise
/// and bias, if any):
///   P(a preferred) = (1 - e) sigma(z) + e sigma(-z),   e = label_noise,
///   z = r(a) - r(b) + length_bias (words(a) - words(b))
struct WorldPair {
  std::string prompt, chosen, rejected;
  double score_chosen = 0, score_rejected = 0;  ///< true rewards
  double label_probability = 0.5;               ///< P of the label that was drawn
};

/// One row of supervised fine-tuning: a reply of the mixed-quality policy.
struct WorldDemonstration {
  std::string prompt, completion;
};

class World {
 public:
  /// Throws ErrorKind::option for a value out of range.
  explicit World(WorldOptions options = {});
  const WorldOptions& options() const { return options_; }

  /// The index-th prompt, about 8 to 35 words; any index. More than 100,000 of the first 200,000
  /// are distinct.
  std::string prompt(uint64_t index) const;
  WorldSplit split(std::string_view prompt) const;

  /// A reply of the mixed-quality policy, which copies well and listens half of the time: it then
  /// answers the question, else it states any of the prompt's truths, and now and then a wrong
  /// value. A bare word, a sentence, or either with small talk, whatever the prompt wishes for.
  /// Throws ErrorKind::data for a text that is not a prompt of the world, as do all functions below
  /// that take one.
  WorldReply sample_reply(std::string_view prompt, RandomStream& random) const;

  /// The true reward of any text as a reply: reward_scale * quality, in reward_scale *
  /// [kWorstQuality, kBestQuality].
  double true_reward(std::string_view prompt, std::string_view reply) const;
  ReplyQuality judge(std::string_view prompt, std::string_view reply) const;
  /// A reply of the highest reward: right, in the form wished for, nothing beside it.
  std::string best_reply(std::string_view prompt) const;

  /// A labelled pair for one prompt, both replies drawn as by sample_reply. Of eight pairs about
  /// seven are a right answer against one that is not; the eighth is equal in that and differs in
  /// form or brevity. Replies within 0.25 of each other in quality are drawn again, up to 64 times
  /// each, so ties are rare.
  WorldPair pair(std::string_view prompt, RandomStream& random) const;

  /// `count` prompts of the split in index order, all different. Throws ErrorKind::option where the
  /// split is empty or the world too small for so many.
  std::vector<std::string> prompts(WorldSplit split, int64_t count) const;
  /// `count` labelled pairs, each of a different prompt.
  std::vector<WorldPair> pairs(WorldSplit split, int64_t count) const;
  /// `count` rows for supervised fine-tuning, each of a different prompt. `round` gives other
  /// replies to them.
  std::vector<WorldDemonstration> demonstrations(WorldSplit split, int64_t count,
                                                 uint64_t round = 0) const;

 private:
  WorldOptions options_;
};

/// JSONL in TRL's layouts. Throws cannot_create when the file exists.
///   pairs: {"prompt", "chosen", "rejected", "true_reward_chosen", "true_reward_rejected"}   rows:
///     {"prompt", "completion"}
/// (not score_*: labels are drawn, and a reader may rightly refuse a chosen reply with the lower
/// score)
void write_pairs_jsonl(const std::string& path, const std::vector<WorldPair>& pairs);
void write_demonstrations_jsonl(const std::string& path,
                                const std::vector<WorldDemonstration>& rows);

/// The same pairs labelled by the true reward: chosen is the better one. For held-out accuracy
/// without label noise.
std::vector<WorldPair> true_order(std::vector<WorldPair> pairs);

}  // namespace pref
