// SPDX-License-Identifier: Apache-2.0
#include "examples/world/world.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <unordered_set>
#include <utility>

#include "examples/world/world_generate.h"
#include "examples/world/world_language.h"
#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/base/json_text.h"

namespace pref {
namespace {

using world::Claim;
using world::Form;
using world::Question;

Question read_question(std::string_view prompt) {
  auto question = world::parse_prompt(prompt);
  require(question.has_value(), ErrorKind::data, "world", "a prompt of the world is required, \"",
          prompt, "\" came. Make prompts with World::prompt.");
  return *std::move(question);
}

int64_t count_words(std::string_view text) {
  int64_t n = 0;
  for (size_t i = 0; i < text.size(); ++i) n += text[i] != ' ' && (i == 0 || text[i - 1] == ' ');
  return n;
}

double sigma(double x) { return 1 / (1 + std::exp(-x)); }

struct Verdict {
  bool about = false;    // the thing asked
  bool founded = false;  // stated or implied by the prompt
};

Verdict weigh(const Question& question, const Claim& claim) {
  if (!claim.bare)
    return {question.is_about(claim), std::find(question.truths.begin(), question.truths.end(),
                                                claim) != question.truths.end()};
  // A bare word is meant as the answer if it is of the kind, and has the unit, that was asked for.
  const int right = question.open_part(question.answer);
  const bool about =
      world::kind_of(claim.value) == world::kind_of(right) &&
      (claim.relation == world::Relation::none || claim.relation == question.asked.relation) &&
      (claim.object == -1 || claim.object == question.answer.object);
  return {about, !about || claim.value == right};
}

ReplyQuality judge_reply(const Question& question, std::string_view reply) {
  int claims = 0, about = 0, friendly = 0, statements = 0;
  bool all_founded = true, bare = false;  // bare: of the answer, or of what was said in its place
  for (const world::Statement& statement : world::parse_statements(reply)) {
    ++statements;
    friendly += statement.small_talk;
    if (!statement.claim) continue;
    const Verdict verdict = weigh(question, *statement.claim);
    all_founded &= verdict.founded;
    if (claims == 0 || (verdict.about && about == 0)) bare = statement.claim->bare;
    ++claims;
    about += verdict.about;
  }
  ReplyQuality quality;
  quality.answer = about > 0 ? (all_founded ? 1 : -1) : claims > 0 ? -1.5 : -2;
  const bool fits = question.form == Form::any ||
                    (question.form == Form::friendly && friendly > 0) ||
                    (question.form == Form::brief && claims > 0 && bare) ||
                    (question.form == Form::sentence && claims > 0 && !bare);
  if (!fits) quality.form = -0.8;
  const int free = (claims > 0) + (question.form == Form::friendly && friendly > 0);
  quality.brevity = -0.3 * std::clamp(statements - free, 0, 3);
  return quality;
}

WorldReply draw_judged(const Question& question, RandomStream& random) {
  WorldReply reply{.text = world::draw_reply(question, random)};
  reply.quality = judge_reply(question, reply.text);
  return reply;
}

}  // namespace

World::World(WorldOptions options) : options_(options) { check_options(options_, "world"); }

std::string World::prompt(uint64_t index) const {
  RandomStream random(static_cast<uint64_t>(options_.seed), "world prompt", index);
  return world::draw_prompt(random);
}

WorldSplit World::split(std::string_view prompt) const {
  const std::string digest = fast_digest(prompt.data(), prompt.size());
  uint64_t value = 0;
  std::from_chars(digest.data(), digest.data() + 12, value, 16);  // 48 bits
  return static_cast<double>(value) < options_.held_out * 0x1p48 ? WorldSplit::held_out
                                                                 : WorldSplit::train;
}

WorldReply World::sample_reply(std::string_view prompt, RandomStream& random) const {
  return draw_judged(read_question(prompt), random);
}

ReplyQuality World::judge(std::string_view prompt, std::string_view reply) const {
  return judge_reply(read_question(prompt), reply);
}

double World::true_reward(std::string_view prompt, std::string_view reply) const {
  return options_.reward_scale * judge(prompt, reply).quality();
}

std::string World::best_reply(std::string_view prompt) const {
  const Question question = read_question(prompt);
  const std::string_view opening =
      question.form == Form::friendly ? world::friendly_openings()[0] : "";
  return world::render_reply(question.answer, question, question.form == Form::brief, opening, "");
}

WorldPair World::pair(std::string_view prompt, RandomStream& random) const {
  const Question question = read_question(prompt);
  const WorldReply a = draw_judged(question, random);
  WorldReply b = draw_judged(question, random);
  const bool equally_right = random.bernoulli(0.125);
  for (int attempt = 1; attempt < 64; ++attempt, b = draw_judged(question, random)) {
    const bool fits = equally_right ? a.quality.answer == b.quality.answer
                                    : (a.quality.answer == 1) != (b.quality.answer == 1);
    if (fits && std::abs(a.quality.quality() - b.quality.quality()) > 0.25) break;
  }
  const double reward_a = options_.reward_scale * a.quality.quality();
  const double reward_b = options_.reward_scale * b.quality.quality();
  const auto longer = static_cast<double>(count_words(a.text) - count_words(b.text));
  const double clean = sigma(reward_a - reward_b + options_.length_bias * longer);
  const double p = (1 - options_.label_noise) * clean + options_.label_noise * (1 - clean);
  if (random.bernoulli(p)) return {std::string(prompt), a.text, b.text, reward_a, reward_b, p};
  return {std::string(prompt), b.text, a.text, reward_b, reward_a, 1 - p};
}

std::vector<std::string> World::prompts(WorldSplit split, int64_t count) const {
  require(count >= 0, ErrorKind::option, "world", "count >= 0 is required, ", count, " came.");
  require(split == WorldSplit::train || options_.held_out > 0 || count == 0, ErrorKind::option,
          "world", "held_out > 0 is required for prompts of the held-out split, 0 came.");
  std::vector<std::string> out;
  out.reserve(static_cast<size_t>(count));
  std::unordered_set<std::string> seen;
  constexpr int kMostRepeats = 100'000;  // in a row: the split has nothing new
  int repeats = 0;
  for (uint64_t index = 0; static_cast<int64_t>(out.size()) < count; ++index) {
    std::string text = prompt(index);
    if (this->split(text) == split && seen.insert(text).second) {
      out.push_back(std::move(text));
      repeats = 0;
    } else {
      require(++repeats < kMostRepeats, ErrorKind::option, "world", count,
              " different prompts of this split are too many; ", out.size(),
              " were found. Ask for fewer.");
    }
  }
  return out;
}

std::vector<WorldPair> World::pairs(WorldSplit split, int64_t count) const {
  std::vector<WorldPair> out;
  for (const std::string& prompt : prompts(split, count)) {
    RandomStream random(static_cast<uint64_t>(options_.seed),
                        split == WorldSplit::train ? "world pair" : "world held-out pair",
                        out.size());
    out.push_back(pair(prompt, random));
  }
  return out;
}

std::vector<WorldDemonstration> World::demonstrations(WorldSplit split, int64_t count,
                                                      uint64_t round) const {
  const std::string purpose =
      (split == WorldSplit::train ? "world demonstration " : "world held-out demonstration ") +
      std::to_string(round);
  std::vector<WorldDemonstration> out;
  for (const std::string& prompt : prompts(split, count)) {
    RandomStream random(static_cast<uint64_t>(options_.seed), purpose, out.size());
    out.push_back({prompt, sample_reply(prompt, random).text});
  }
  return out;
}

std::vector<WorldPair> true_order(std::vector<WorldPair> pairs) {
  for (WorldPair& pair : pairs) {
    if (pair.score_chosen >= pair.score_rejected) continue;
    std::swap(pair.chosen, pair.rejected);
    std::swap(pair.score_chosen, pair.score_rejected);
    pair.label_probability = 1 - pair.label_probability;
  }
  return pairs;
}

namespace {
void write_new(const std::string& path, std::string_view text) {
  const auto file = posix_file_system().create(path);
  file->write(text);
  file->close();
}
}  // namespace

void write_pairs_jsonl(const std::string& path, const std::vector<WorldPair>& pairs) {
  std::string text;
  for (const WorldPair& pair : pairs)
    text += JsonObject()
                .add("prompt", pair.prompt)
                .add("chosen", pair.chosen)
                .add("rejected", pair.rejected)
                .add("true_reward_chosen", pair.score_chosen)
                .add("true_reward_rejected", pair.score_rejected)
                .str() +
            '\n';
  write_new(path, text);
}

void write_demonstrations_jsonl(const std::string& path,
                                const std::vector<WorldDemonstration>& rows) {
  std::string text;
  for (const WorldDemonstration& row : rows)
    text += JsonObject().add("prompt", row.prompt).add("completion", row.completion).str() + '\n';
  write_new(path, text);
}

}  // namespace pref
