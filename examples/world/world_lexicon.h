// SPDX-License-Identifier: Apache-2.0
// Words and compiled sentence patterns of the world's language; private to world_language.cpp and
// world_parse.cpp.
#pragma once
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "examples/world/world_language.h"

namespace pref::world {

constexpr int kUnknownWord = -1;
constexpr int kLargestNumber = 20;

using Words = std::vector<int>;

/// In a pattern, the place of a subject, value or object.
enum Slot : int { kSubjectSlot = -2, kValueSlot = -3, kObjectSlot = -4 };

struct Pattern {
  Relation relation;
  Words words;  ///< ids and slots
};

struct Lexicon {
  Lexicon();
  /// The id of a lower-case word, or kUnknownWord.
  int find(std::string_view lower) const;

  std::vector<std::string> texts;
  std::vector<Kind> kinds;
  std::array<Words, 10> by_kind;
  std::vector<Pattern> claims, questions;
  std::vector<std::pair<Form, Words>> forms;
  std::vector<Words> small_talk;
  Words list_opening;
  int word_and, word_or, word_the, word_at, word_in, word_coins;

 private:
  int add(std::string_view text, Kind kind);
  void add_all(std::string_view text, Kind kind);
  Words literals(std::string_view text);
  Pattern compile(Relation relation, std::string_view text);
  std::unordered_map<std::string, int> ids_;
};

const Lexicon& lexicon();

}  // namespace pref::world
