// SPDX-License-Identifier: Apache-2.0
// The reading half of the language. Prompts must be of the world; replies may be anything a model
// samples.
#include <algorithm>
#include <cctype>

#include "examples/world/world_language.h"
#include "examples/world/world_lexicon.h"

namespace pref::world {
namespace {

// The claim that `words` make by `pattern`; slots that the pattern lacks stay -1.
std::optional<Claim> match(const Pattern& pattern, std::span<const int> words) {
  if (words.size() != pattern.words.size()) return std::nullopt;
  Claim claim{.relation = pattern.relation};
  for (size_t i = 0; i < words.size(); ++i) {
    const int expected = pattern.words[i], word = words[i];
    if (expected >= 0) {
      if (word != expected) return std::nullopt;
      continue;
    }
    const Kind kind = expected == kSubjectSlot ? subject_kind(pattern.relation)
                      : expected == kValueSlot ? value_kind(pattern.relation)
                                               : Kind::food;
    if (word == kUnknownWord || kind_of(word) != kind) return std::nullopt;
    (expected == kSubjectSlot ? claim.subject
     : expected == kValueSlot ? claim.value
                              : claim.object) = word;
  }
  return claim;
}

std::optional<Claim> match_any(const std::vector<Pattern>& patterns, std::span<const int> words) {
  for (const Pattern& pattern : patterns)
    if (auto claim = match(pattern, words)) return claim;
  return std::nullopt;
}

// "red", "the lamp", "at 8", "in the kitchen", "4 coins", "3 plums".
std::optional<Claim> match_bare(std::span<const int> words) {
  const Lexicon& l = lexicon();
  const auto skip = [&](int word) {
    const bool there = words.size() > 1 && words[0] == word;
    if (there) words = words.subspan(1);
    return there;
  };
  if (!skip(l.word_at)) {
    skip(l.word_in);
    skip(l.word_the);
  }
  if (words.empty() || words.size() > 2 || words[0] == kUnknownWord ||
      kind_of(words[0]) == Kind::literal)
    return std::nullopt;
  Claim claim{.value = words[0], .bare = true};
  if (words.size() == 2) {
    if (kind_of(words[0]) != Kind::number || words[1] == kUnknownWord) return std::nullopt;
    if (words[1] == l.word_coins)
      claim.relation = Relation::price;
    else if (kind_of(words[1]) == Kind::food)
      claim.object = words[1];
    else
      return std::nullopt;
  }
  return claim;
}

struct Sentence {
  std::vector<Words> clauses;  // split at commas and "and"
  Words words;                 // all of them
  char end = 0;                // . ! ? or 0 where the text breaks off
};

std::vector<Sentence> read_sentences(std::string_view text) {
  std::vector<Sentence> sentences;
  Sentence now;
  Words clause;
  std::string word;
  const auto end_clause = [&] {
    if (!clause.empty()) now.clauses.push_back(std::move(clause));
    clause.clear();
  };
  const auto end_word = [&] {
    if (word.empty()) return;
    const int id = lexicon().find(word);
    word.clear();
    now.words.push_back(id);
    if (id == lexicon().word_and)
      end_clause();
    else
      clause.push_back(id);
  };
  const auto end_sentence = [&](char end) {
    end_word();
    end_clause();
    now.end = end;
    if (!now.words.empty()) sentences.push_back(std::move(now));
    now = {};
  };
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 128 && std::isalnum(byte)) {
      word.push_back(static_cast<char>(std::tolower(byte)));
    } else if (c == '.' || c == '!' || c == '?') {
      end_sentence(c);
    } else if (c == '\n' || c == '\r') {
      end_sentence(0);
    } else if (c == ',') {
      end_word();
      end_clause();
    } else if (c == ' ' || c == '\t') {
      end_word();
    } else {  // no part of the language
      end_word();
      now.words.push_back(kUnknownWord);
      clause.push_back(kUnknownWord);
    }
  }
  end_sentence(0);
  return sentences;
}

// The claims of a sentence, clause by clause. A clause may leave out the subject of the one before.
std::vector<std::optional<Claim>> read_claims(const Sentence& sentence) {
  std::vector<std::optional<Claim>> claims;
  int subject = -1;
  for (const Words& clause : sentence.clauses) {
    auto claim = match_any(lexicon().claims, clause);
    if (!claim && subject != -1) {
      Words full{subject};
      if (kind_of(subject) != Kind::person) full.insert(full.begin(), lexicon().word_the);
      full.insert(full.end(), clause.begin(), clause.end());
      claim = match_any(lexicon().claims, full);
    }
    if (claim) subject = claim->subject;
    claims.push_back(claim);
  }
  return claims;
}

// The facts of one sentence of a prompt; false when it states anything else.
bool read_facts(const Sentence& sentence, std::vector<Claim>& truths) {
  const Words& opening = lexicon().list_opening;
  if (sentence.words.size() > opening.size() &&
      std::equal(opening.begin(), opening.end(), sentence.words.begin())) {
    const auto begin = sentence.words.begin() + static_cast<ptrdiff_t>(opening.size()),
               end = sentence.words.end();
    if (end - begin > kLargestNumber) return false;
    for (auto word = begin; word != end; ++word) {
      if (*word == kUnknownWord || kind_of(*word) != Kind::colour) return false;
      if (std::find(begin, word, *word) != word) continue;
      truths.push_back({.relation = Relation::count,
                        .subject = *word,
                        .value = number_word(static_cast<int>(std::count(begin, end, *word)))});
    }
    return true;
  }
  for (const auto& claim : read_claims(sentence)) {
    if (!claim) return false;
    truths.push_back(*claim);
  }
  return true;
}

// The question, and for an alphabet question the two words' order as truths.
bool read_question(const Sentence& sentence, Question& question) {
  const auto asked =
      sentence.clauses.empty() ? std::nullopt : match_any(lexicon().questions, sentence.clauses[0]);
  if (!asked) return false;
  question.asked = *asked;
  if (asked->relation != Relation::order) return sentence.clauses.size() == 1;
  if (sentence.clauses.size() != 2 || sentence.clauses[1].size() != 3) return false;
  const int a = sentence.clauses[1][0], b = sentence.clauses[1][2];
  if (sentence.clauses[1][1] != lexicon().word_or || a == b) return false;
  for (const int word : {a, b})
    if (word == kUnknownWord || kind_of(word) != Kind::item) return false;
  const auto position = words_of(Kind::position);  // first, last
  question.truths.push_back({.relation = Relation::order, .subject = a, .value = position[a > b]});
  question.truths.push_back({.relation = Relation::order, .subject = b, .value = position[b > a]});
  return true;
}

}  // namespace

void add_implied(std::vector<Claim>& truths) {
  std::vector<Claim> priced, counted;
  for (const Claim& c : truths) {
    if (c.relation == Relation::price) priced.push_back(c);
    if (c.relation == Relation::has) counted.push_back(c);
  }
  if (priced.size() == 2 && priced[0].value != priced[1].value) {
    const auto degree = words_of(Kind::degree);  // less, more
    for (size_t i = 0; i < 2; ++i)
      truths.push_back(
          {.relation = Relation::compare,
           .subject = priced[i].subject,
           .value = degree[number_value(priced[i].value) > number_value(priced[1 - i].value)]});
  }
  if (counted.size() == 2 && counted[0].object == counted[1].object) {
    const int sum = number_value(counted[0].value) + number_value(counted[1].value);
    if (sum <= kLargestNumber)
      truths.push_back(
          {.relation = Relation::total, .value = number_word(sum), .object = counted[0].object});
  }
}

std::optional<Question> parse_prompt(std::string_view text) {
  Question question;
  const auto sentences = read_sentences(text);
  for (size_t i = 0; i < sentences.size(); ++i) {
    const Sentence& sentence = sentences[i];
    const bool is_last = i + 1 == sentences.size();
    if (is_last != (sentence.end == '?') || (!is_last && sentence.end != '.')) return std::nullopt;
    if (is_last) {
      if (!read_question(sentence, question)) return std::nullopt;
      continue;
    }
    const auto& forms = lexicon().forms;
    const auto form = std::find_if(forms.begin(), forms.end(),
                                   [&](const auto& each) { return each.second == sentence.words; });
    if (i == 0 && form != forms.end())
      question.form = form->first;
    else if (!read_facts(sentence, question.truths))
      return std::nullopt;
  }
  if (question.asked.relation == Relation::none) return std::nullopt;
  add_implied(question.truths);
  int answers = 0;
  for (const Claim& truth : question.truths) {
    if (!question.is_about(truth) || truth.object != question.asked.object) continue;
    question.answer = truth;
    ++answers;
  }
  if (answers != 1) return std::nullopt;  // nothing to answer with, or too much
  return question;
}

std::vector<Statement> parse_statements(std::string_view text) {
  const auto& small_talk = lexicon().small_talk;
  std::vector<Statement> statements;
  for (const Sentence& sentence : read_sentences(text)) {
    if (std::find(small_talk.begin(), small_talk.end(), sentence.words) != small_talk.end()) {
      statements.push_back({.small_talk = true});
    } else if (auto bare = match_bare(sentence.words)) {
      statements.push_back({.claim = bare});
    } else {
      for (auto& claim : read_claims(sentence)) statements.push_back({.claim = claim});
    }
  }
  return statements;
}

}  // namespace pref::world
