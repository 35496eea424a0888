// SPDX-License-Identifier: Apache-2.0
// What keeps a scorer near 0.5 that sees only replies: a prompt asks for any of its truths with
// equal probability, so every fact is as often the answer as not. Replies answer the question about
// half of the time and else state any truth: a model fine-tuned on them learns to copy facts and to
// read the question, and whether to listen stays a free choice until preferences settle it.
#include "examples/world/world_generate.h"

#include <algorithm>

namespace pref::world {
namespace {

template <class T>
T pick(std::span<const T> from, RandomStream& random) {
  return from[random.below(from.size())];
}

// `n` different words of a kind; numbers between low and high.
std::vector<int> draw_words(Kind kind, size_t n, RandomStream& random, int low = 1, int high = 20) {
  std::vector<int> drawn;
  while (drawn.size() < n) {
    const int word =
        kind == Kind::number
            ? number_word(low +
                          static_cast<int>(random.below(static_cast<uint64_t>(high - low + 1))))
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

// Each subject in a sentence of its own: "The lamp is red and costs 4 coins."
Draft group_facts(const std::vector<std::vector<Claim>>& subjects) {
  Draft draft;
  for (const std::vector<Claim>& claims : subjects) {
    std::vector<std::string> clauses;
    for (const Claim& claim : claims) clauses.push_back(claim_text(claim, !clauses.empty()));
    if (!draft.facts.empty()) draft.facts += ' ';
    draft.facts += join_clauses(clauses);
    draft.truths.insert(draft.truths.end(), claims.begin(), claims.end());
  }
  return draft;
}

struct Property {
  Relation relation;
  int low = 0, high = 0;  // of numbers
};

// `subjects` of a kind, each with `per_subject` of the properties. All values of a property differ.
Draft draw_properties(Kind kind, std::span<const Property> all, size_t subjects, size_t per_subject,
                      RandomStream& random) {
  std::vector<Property> properties;
  for (const int64_t i : random.permutation(static_cast<int64_t>(all.size())))
    if (properties.size() < per_subject) properties.push_back(all[static_cast<size_t>(i)]);
  const auto names = draw_words(kind, subjects, random);
  std::vector<std::vector<Claim>> claims(subjects);
  for (const Property& property : properties) {
    const auto values =
        draw_words(value_kind(property.relation), subjects, random, property.low, property.high);
    for (size_t i = 0; i < subjects; ++i)
      claims[i].push_back({.relation = property.relation, .subject = names[i], .value = values[i]});
  }
  if (per_subject > 1) return group_facts(claims);
  std::vector<Claim> list;
  for (const auto& of_subject : claims) list.push_back(of_subject[0]);
  return list_facts(std::move(list));
}

Draft draw_items(RandomStream& random) {
  constexpr Property kProperties[] = {
      {Relation::colour}, {Relation::place}, {Relation::price, 2, 20}};
  const double shape = random.uniform();
  if (shape < 0.70) return draw_properties(Kind::item, kProperties, 1, 2, random);
  if (shape < 0.84) return draw_properties(Kind::item, kProperties, 1, 3, random);
  if (shape < 0.95) return draw_properties(Kind::item, kProperties, 2, 1, random);
  if (shape < 0.98) return draw_properties(Kind::item, kProperties, 2, 2, random);
  return draw_properties(Kind::item, kProperties, 3, 1, random);
}

Draft draw_persons(RandomStream& random) {
  constexpr Property kProperties[] = {{Relation::likes}, {Relation::age, 3, 20}};
  const double shape = random.uniform();
  if (shape < 0.84) return draw_properties(Kind::person, kProperties, 1, 2, random);
  return draw_properties(Kind::person, kProperties, shape < 0.98 ? 2 : 3, 1, random);
}

Draft draw_shops(RandomStream& random) {
  const size_t n = random.bernoulli(0.9) ? 1 : 2;
  const auto shops = draw_words(Kind::shop, n, random);
  const auto hours = draw_words(Kind::number, 2 * n, random, 1, 12);
  std::vector<std::vector<Claim>> claims(n);
  for (size_t i = 0; i < n; ++i)
    claims[i] = {{.relation = Relation::opens, .subject = shops[i], .value = hours[2 * i]},
                 {.relation = Relation::closes, .subject = shops[i], .value = hours[2 * i + 1]}};
  if (n == 1 || random.bernoulli(0.3)) return group_facts(claims);
  const size_t which = random.below(2);
  return list_facts({claims[0][which], claims[1][which]});
}

Draft draw_amounts(RandomStream& random) {
  const auto persons = draw_words(Kind::person, 2, random);
  const auto numbers = draw_words(Kind::number, 2, random, 2, 6);
  const int food = pick(words_of(Kind::food), random);
  std::vector<Claim> claims;
  for (size_t i = 0; i < 2; ++i)
    claims.push_back(
        {.relation = Relation::has, .subject = persons[i], .value = numbers[i], .object = food});
  return list_facts(std::move(claims));
}

Draft draw_order(RandomStream& random) {
  Draft draft;
  draft.choices = draw_words(Kind::item, 2, random);
  const int first = std::min(draft.choices[0], draft.choices[1]),
            last = std::max(draft.choices[0], draft.choices[1]);
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
    draft.truths.push_back(
        {.relation = Relation::count,
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
      rivals > 1 &&
      (relation == Relation::colour || relation == Relation::place || relation == Relation::likes);
  const bool must_ask_subject = relation == Relation::compare || relation == Relation::order;
  if (must_ask_subject || (may_ask_subject && random.bernoulli(0.35)))
    asked.subject = -1;
  else
    asked.value = -1;
  return asked;
}

// The answer with another value (or subject): mostly one that the prompt mentions, else any of its
// kind.
Claim wrong_claim(const Question& question, RandomStream& random) {
  const int right = question.open_part(question.answer);
  const Kind kind = kind_of(right);
  std::vector<int> mentioned;
  for (const Claim& truth : question.truths)
    for (const int word : {truth.subject, truth.value})
      if (word != -1 && word != right && kind_of(word) == kind) mentioned.push_back(word);
  int wrong = right;
  if (!mentioned.empty() && random.bernoulli(0.85))
    wrong = pick(std::span<const int>(mentioned), random);
  while (wrong == right) wrong = draw_words(kind, 1, random)[0];
  Claim claim = question.answer;
  (question.asks_subject() ? claim.subject : claim.value) = wrong;
  return claim;
}

}  // namespace

std::string draw_prompt(RandomStream& random) {
  const double family = random.uniform();
  Draft draft = family < 0.50   ? draw_items(random)
                : family < 0.74 ? draw_persons(random)
                : family < 0.92 ? draw_shops(random)
                : family < 0.95 ? draw_amounts(random)
                : family < 0.97 ? draw_order(random)
                                : draw_list(random);
  add_implied(draft.truths);
  const double wish = random.uniform();
  const Form form = wish < 0.64   ? Form::any
                    : wish < 0.76 ? Form::brief
                    : wish < 0.88 ? Form::sentence
                                  : Form::friendly;
  std::string text;
  for (const std::string& part :
       {form_text(form), draft.facts, question_text(ask(draft, random), draft.choices)}) {
    if (!text.empty() && !part.empty()) text += ' ';
    text += part;
  }
  return text;
}

std::string render_reply(const Claim& claim, const Question& question, bool bare,
                         std::string_view before, std::string_view after) {
  std::string text(before);
  if (!text.empty()) text += ' ';
  if (bare) {
    const int word =
        claim.relation == question.asked.relation ? question.open_part(claim) : claim.value;
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
  const Claim claim = random.bernoulli(0.1)   ? wrong_claim(question, random)
                      : random.bernoulli(0.5) ? question.answer
                                              : pick(truths, random);
  const bool bare = random.bernoulli(0.25);
  std::string before, after;
  const double manner = random.uniform();
  if (manner < 0.14)
    before = pick(friendly_openings(), random);
  else if (manner < 0.28)
    after = pick(friendly_closings(), random);
  else if (manner < 0.34)
    before = pick(fillers(), random);
  else if (manner < 0.40)
    after = capitalized(claim_text(pick(truths, random))) + ".";
  return render_reply(claim, question, bare, before, after);
}

}  // namespace pref::world
