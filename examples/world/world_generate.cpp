// SPDX-License-Identifier: Apache-2.0
// What keeps a scorer near 0.5 that sees only replies: a prompt asks for any of its truths with equal probability, and a
// reply states any of them with equal probability. What keeps a model near 0.5 that was only fine-tuned on such replies:
// it learns to copy facts faithfully, but which fact to state is a free choice until preferences settle it.
#include "examples/world/world_generate.h"

#include <algorithm>

namespace pref::world {
namespace {

template <class T>
T pick(std::span<const T> from, RandomStream& random) {
  return from[random.below(from.size())];
}

// `n` different words of a kind; numbers between low and high.
std::vector<int> draw_words(Kind kind, size_t n, RandomStream& random, int low = 2, int high = 12) {
  std::vector<int> drawn;
  while (drawn.size() < n) {
    const int word = kind == Kind::number
                         ? number_word(low + static_cast<int>(random.below(static_cast<uint64_t>(high - low + 1))))
                         : pick(words_of(kind), random);
    if (std::find(drawn.begin(), drawn.end(), word) == drawn.end()) drawn.push_back(word);
  }
  return drawn;
}

// "A, b and c."
std::string join_clauses(const std::vector<std::string>& clauses) {
  std::string out;
  for (size_t i = 0; i < clauses.size(); ++i)
    out += (i == 0 ? "" : i + 1 == clauses.size() ? " and " : ", ") + clauses[i];
  return capitalized(out) + ".";
}

struct Draft {
  std::string facts;
  std::vector<Claim> truths;
  std::vector<int> choices;  // of an alphabet question
};

// One clause a subject, all in one sentence: "The lamp is red and the sofa is green."
Draft list_facts(std::vector<Claim> claims) {
  std::vector<std::string> clauses;
  for (const Claim& claim : claims) clauses.push_back(claim_text(claim));
  return {join_clauses(clauses), std::move(claims), {}};
}

// Each subject in a sentence of its own with two claims: "The lamp is red and costs 4 coins."
Draft group_facts(std::vector<Claim> claims) {
  std::string facts;
  for (size_t i = 0; i + 1 < claims.size(); i += 2)
    facts += (i > 0 ? " " : "") + join_clauses({claim_text(claims[i]), claim_text(claims[i + 1], true)});
  return {facts, std::move(claims), {}};
}

Draft draw_items(RandomStream& random) {
  constexpr Relation kProperties[] = {Relation::colour, Relation::place, Relation::price};
  const double shape = random.uniform();
  const size_t items = shape < 0.4 ? 1 : shape < 0.92 ? 2 : 3;
  const bool two_properties = shape < 0.4 || (shape >= 0.8 && shape < 0.92);
  const auto subjects = draw_words(Kind::item, items, random);
  const size_t first = random.below(3), second = (first + 1 + random.below(2)) % 3;
  const auto first_values = draw_words(value_kind(kProperties[first]), items, random);
  const auto second_values = draw_words(value_kind(kProperties[second]), items, random);
  std::vector<Claim> claims;
  for (size_t i = 0; i < items; ++i) {
    claims.push_back({.relation = kProperties[first], .subject = subjects[i], .value = first_values[i]});
    if (two_properties)
      claims.push_back({.relation = kProperties[second], .subject = subjects[i], .value = second_values[i]});
  }
  return two_properties ? group_facts(std::move(claims)) : list_facts(std::move(claims));
}

Draft draw_likes(RandomStream& random) {
  const size_t n = random.bernoulli(0.8) ? 2 : 3;
  const auto persons = draw_words(Kind::person, n, random), foods = draw_words(Kind::food, n, random);
  std::vector<Claim> claims;
  for (size_t i = 0; i < n; ++i)
    claims.push_back({.relation = Relation::likes, .subject = persons[i], .value = foods[i]});
  return list_facts(std::move(claims));
}

Draft draw_hours(RandomStream& random) {
  const double shape = random.uniform();
  const size_t n = shape < 0.4 ? 1 : 2;
  const auto shops = draw_words(Kind::shop, n, random);
  const auto hours = draw_words(Kind::number, 2 * n, random, 1, 12);
  std::vector<Claim> claims;
  if (shape >= 0.8 || n == 1) {
    for (size_t i = 0; i < n; ++i) {
      claims.push_back({.relation = Relation::opens, .subject = shops[i], .value = hours[2 * i]});
      claims.push_back({.relation = Relation::closes, .subject = shops[i], .value = hours[2 * i + 1]});
    }
    return group_facts(std::move(claims));
  }
  const Relation relation = random.bernoulli(0.5) ? Relation::opens : Relation::closes;
  for (size_t i = 0; i < n; ++i) claims.push_back({.relation = relation, .subject = shops[i], .value = hours[i]});
  return list_facts(std::move(claims));
}

Draft draw_amounts(RandomStream& random) {
  const auto persons = draw_words(Kind::person, 2, random);
  const auto numbers = draw_words(Kind::number, 2, random, 2, 6);
  const int food = pick(words_of(Kind::food), random);
  std::vector<Claim> claims;
  for (size_t i = 0; i < 2; ++i)
    claims.push_back({.relation = Relation::has, .subject = persons[i], .value = numbers[i], .object = food});
  return list_facts(std::move(claims));
}

Draft draw_order(RandomStream& random) {
  Draft draft;
  draft.choices = draw_words(Kind::item, 2, random);
  const int first = std::min(draft.choices[0], draft.choices[1]), last = std::max(draft.choices[0], draft.choices[1]);
  const auto position = words_of(Kind::position);
  draft.truths = {{.relation = Relation::order, .subject = first, .value = position[0]},
                  {.relation = Relation::order, .subject = last, .value = position[1]}};
  return draft;
}

Draft draw_list(RandomStream& random) {
  const auto colours = draw_words(Kind::colour, 2, random);
  std::vector<int> list = colours;
  const size_t length = 3 + random.below(3);
  while (list.size() < length) list.push_back(colours[random.below(2)]);
  std::vector<int> shuffled;
  for (const int64_t i : random.permutation(static_cast<int64_t>(list.size())))
    shuffled.push_back(list[static_cast<size_t>(i)]);
  Draft draft{list_text(shuffled), {}, {}};
  for (const int colour : colours)
    draft.truths.push_back({.relation = Relation::count,
                            .subject = colour,
                            .value = number_word(static_cast<int>(std::count(list.begin(), list.end(), colour)))});
  return draft;
}

// Leaves one part of the target open: its value, or its subject where others compete for that.
Claim ask(const Draft& draft, RandomStream& random) {
  Claim asked = pick(std::span<const Claim>(draft.truths), random);
  const Relation relation = asked.relation;
  const auto rivals = std::count_if(draft.truths.begin(), draft.truths.end(),
                                    [&](const Claim& truth) { return truth.relation == relation; });
  const bool may_ask_subject =
      rivals > 1 && (relation == Relation::colour || relation == Relation::place || relation == Relation::likes);
  const bool must_ask_subject = relation == Relation::compare || relation == Relation::order;
  if (must_ask_subject || (may_ask_subject && random.bernoulli(0.35))) asked.subject = -1;
  else asked.value = -1;
  return asked;
}

// The answer with another value (or subject): mostly one that the prompt mentions, else any of its kind.
Claim wrong_claim(const Question& question, RandomStream& random) {
  const int right = question.open_part(question.answer);
  const Kind kind = kind_of(right);
  std::vector<int> mentioned;
  for (const Claim& truth : question.truths)
    for (const int word : {truth.subject, truth.value})
      if (word != -1 && word != right && kind_of(word) == kind) mentioned.push_back(word);
  int wrong = right;
  if (!mentioned.empty() && random.bernoulli(0.85)) wrong = pick(std::span<const int>(mentioned), random);
  while (wrong == right) wrong = draw_words(kind, 1, random)[0];
  Claim claim = question.answer;
  (question.asks_subject() ? claim.subject : claim.value) = wrong;
  return claim;
}

}  // namespace

std::string draw_prompt(RandomStream& random) {
  const double family = random.uniform();
  Draft draft = family < 0.50   ? draw_items(random)
                : family < 0.72 ? draw_likes(random)
                : family < 0.90 ? draw_hours(random)
                : family < 0.95 ? draw_amounts(random)
                : family < 0.97 ? draw_order(random)
                                : draw_list(random);
  add_implied(draft.truths);
  const double wish = random.uniform();
  const Form form = wish < 0.4 ? Form::any : wish < 0.6 ? Form::brief : wish < 0.8 ? Form::sentence : Form::friendly;
  std::string text;
  for (const std::string& part : {form_text(form), draft.facts, question_text(ask(draft, random), draft.choices)}) {
    if (!text.empty() && !part.empty()) text += ' ';
    text += part;
  }
  return text;
}

std::string render_reply(const Claim& claim, const Question& question, bool bare, std::string_view before,
                         std::string_view after) {
  std::string text(before);
  if (!text.empty()) text += ' ';
  if (bare) {
    const int word = claim.relation == question.asked.relation ? question.open_part(claim) : claim.value;
    text += bare_text(word, claim.relation);
    if (!before.empty() || !after.empty()) text += '.';
  } else {
    text += capitalized(claim_text(claim)) + ".";
  }
  if (!after.empty()) text.append(" ").append(after);
  return text;
}

std::string draw_reply(const Question& question, RandomStream& random) {
  const std::span<const Claim> truths(question.truths);
  const Claim claim = random.bernoulli(0.12) ? wrong_claim(question, random) : pick(truths, random);
  const bool bare = random.bernoulli(0.25);
  std::string before, after;
  const double manner = random.uniform();
  if (manner < 0.14) before = pick(friendly_openings(), random);
  else if (manner < 0.28) after = pick(friendly_closings(), random);
  else if (manner < 0.34) before = pick(fillers(), random);
  else if (manner < 0.40) after = capitalized(claim_text(pick(truths, random))) + ".";
  return render_reply(claim, question, bare, before, after);
}

}  // namespace pref::world
