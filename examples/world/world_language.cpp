// SPDX-License-Identifier: Apache-2.0
// The tables of the language, and its writing half.
#include "examples/world/world_language.h"

#include <algorithm>
#include <cctype>

#include "examples/world/world_lexicon.h"

namespace pref::world {
namespace {

// Alphabetical within each kind: ids of items then compare like their words, which the alphabet
// questions rely on.
constexpr std::string_view kItems = "bag ball book box chair clock cup hat kite lamp sofa table";
constexpr std::string_view kColours = "black blue brown green grey pink red white";
constexpr std::string_view kRooms = "attic cellar garage garden hall kitchen office studio";
constexpr std::string_view kFoods = "beans cakes eggs figs nuts pears pies plums";
constexpr std::string_view kPersons = "Ann Ben Eva Jon Lea Max Sam Zoe";
constexpr std::string_view kShops = "bakery bank cafe hotel library market museum school";

struct PatternText {
  Relation relation;
  std::string_view text;
};
// {s} subject, {v} value, {o} object. A question leaves out what it asks for.
constexpr PatternText kClaims[] = {
    {Relation::colour, "the {s} is {v}"},         {Relation::place, "the {s} is in the {v}"},
    {Relation::price, "the {s} costs {v} coins"}, {Relation::opens, "the {s} opens at {v}"},
    {Relation::closes, "the {s} closes at {v}"},  {Relation::likes, "{s} likes {v}"},
    {Relation::age, "{s} is {v} years old"},      {Relation::has, "{s} has {v} {o}"},
    {Relation::total, "they have {v} {o}"},       {Relation::compare, "the {s} costs {v}"},
    {Relation::order, "the word {s} comes {v}"},  {Relation::count, "the count of {s} is {v}"},
};
constexpr PatternText kQuestions[] = {
    {Relation::colour, "what colour is the {s}"},
    {Relation::colour, "which one is {v}"},
    {Relation::place, "where is the {s}"},
    {Relation::place, "which one is in the {v}"},
    {Relation::price, "how much is the {s}"},
    {Relation::compare, "which one costs {v}"},
    {Relation::opens, "when does the {s} open"},
    {Relation::closes, "when does the {s} close"},
    {Relation::likes, "what does {s} like"},
    {Relation::likes, "who likes {v}"},
    {Relation::age, "how old is {s}"},
    {Relation::has, "how many {o} does {s} have"},
    {Relation::total, "how many {o} do they have together"},
    {Relation::order, "which word comes {v} in the alphabet"},
    {Relation::count, "how often is {s} in the list"},
};
constexpr std::string_view kListOpening = "the list is";
constexpr std::pair<Form, std::string_view> kForms[] = {
    {Form::brief, "Keep it short."},
    {Form::sentence, "Answer in a full sentence."},
    {Form::friendly, "Please be friendly."}};
constexpr std::string_view kFriendlyOpenings[] = {"Happy to help!", "Good question!",
                                                  "Thanks for asking!"};
constexpr std::string_view kFriendlyClosings[] = {"Have a nice day!", "I hope that helps!",
                                                  "Take care!"};
constexpr std::string_view kFillers[] = {"Let me think about that.", "There is a lot to say here.",
                                         "I could go on for hours."};

// Calls each(word) for the runs of letters, digits and braces.
template <class Each>
void split(std::string_view text, Each&& each) {
  const auto in_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '{' || c == '}';
  };
  for (auto at = text.begin(); at != text.end();) {
    const auto begin = std::find_if(at, text.end(), in_word),
               end = std::find_if_not(begin, text.end(), in_word);
    if (begin != end) each(std::string_view(begin, end));
    at = end;
  }
}

std::string write(const Pattern& pattern, const Claim& claim, size_t from = 0) {
  std::string out;
  for (size_t i = from; i < pattern.words.size(); ++i) {
    const int word = pattern.words[i];
    if (!out.empty()) out += ' ';
    out += text_of(word == kSubjectSlot  ? claim.subject
                   : word == kValueSlot  ? claim.value
                   : word == kObjectSlot ? claim.object
                                         : word);
  }
  return out;
}

}  // namespace

Lexicon::Lexicon() {
  add_all(kItems, Kind::item);
  add_all(kColours, Kind::colour);
  add_all(kRooms, Kind::room);
  add_all(kFoods, Kind::food);
  add_all(kPersons, Kind::person);
  add_all(kShops, Kind::shop);
  for (int n = 1; n <= kLargestNumber; ++n) add(std::to_string(n), Kind::number);
  add_all("less more", Kind::degree);
  add_all("first last", Kind::position);
  for (const PatternText& p : kClaims) claims.push_back(compile(p.relation, p.text));
  for (const PatternText& p : kQuestions) questions.push_back(compile(p.relation, p.text));
  for (const auto& [form, text] : kForms) forms.emplace_back(form, literals(text));
  for (const auto text : kFriendlyOpenings) small_talk.push_back(literals(text));
  for (const auto text : kFriendlyClosings) small_talk.push_back(literals(text));
  for (const auto text : kFillers) literals(text);
  list_opening = literals(kListOpening);
  const Words separators = literals("and or the at in coins");
  word_and = separators[0], word_or = separators[1], word_the = separators[2];
  word_at = separators[3], word_in = separators[4], word_coins = separators[5];
}

int Lexicon::find(std::string_view lower) const {
  const auto it = ids_.find(std::string(lower));
  return it == ids_.end() ? kUnknownWord : it->second;
}

int Lexicon::add(std::string_view text, Kind kind) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto [it, is_new] = ids_.emplace(std::move(lower), static_cast<int>(texts.size()));
  if (is_new) {
    texts.emplace_back(text);
    kinds.push_back(kind);
    by_kind[static_cast<size_t>(kind)].push_back(it->second);
  }
  return it->second;
}

void Lexicon::add_all(std::string_view text, Kind kind) {
  split(text, [&](std::string_view word) { add(word, kind); });
}

Words Lexicon::literals(std::string_view text) {
  Words words;
  split(text, [&](std::string_view word) { words.push_back(add(word, Kind::literal)); });
  return words;
}

Pattern Lexicon::compile(Relation relation, std::string_view text) {
  Pattern out{relation, {}};
  split(text, [&](std::string_view word) {
    out.words.push_back(word == "{s}"   ? kSubjectSlot
                        : word == "{v}" ? kValueSlot
                        : word == "{o}" ? kObjectSlot
                                        : add(word, Kind::literal));
  });
  return out;
}

const Lexicon& lexicon() {
  static const Lexicon instance;
  return instance;
}

Kind kind_of(int word) { return lexicon().kinds[static_cast<size_t>(word)]; }
const std::string& text_of(int word) { return lexicon().texts[static_cast<size_t>(word)]; }
std::span<const int> words_of(Kind kind) { return lexicon().by_kind[static_cast<size_t>(kind)]; }
int number_word(int n) { return words_of(Kind::number)[static_cast<size_t>(n - 1)]; }
int number_value(int word) { return word - words_of(Kind::number)[0] + 1; }

Kind subject_kind(Relation relation) {
  switch (relation) {
    case Relation::opens:
    case Relation::closes:
      return Kind::shop;
    case Relation::likes:
    case Relation::age:
    case Relation::has:
      return Kind::person;
    case Relation::count:
      return Kind::colour;
    case Relation::none:
    case Relation::total:
      return Kind::literal;
    default:
      return Kind::item;
  }
}

Kind value_kind(Relation relation) {
  switch (relation) {
    case Relation::colour:
      return Kind::colour;
    case Relation::place:
      return Kind::room;
    case Relation::likes:
      return Kind::food;
    case Relation::compare:
      return Kind::degree;
    case Relation::order:
      return Kind::position;
    case Relation::none:
      return Kind::literal;
    default:
      return Kind::number;
  }
}

std::string capitalized(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

std::string claim_text(const Claim& claim, bool subject_said) {
  for (const Pattern& pattern : lexicon().claims) {
    if (pattern.relation != claim.relation) continue;
    const auto subject = std::find(pattern.words.begin(), pattern.words.end(), kSubjectSlot);
    return write(pattern, claim,
                 subject_said ? static_cast<size_t>(subject - pattern.words.begin()) + 1 : 0);
  }
  return "";
}

std::string bare_text(int word, Relation relation) {
  switch (kind_of(word)) {
    case Kind::item:
      return relation == Relation::order ? text_of(word) : "the " + text_of(word);
    case Kind::room:
      return "in the " + text_of(word);
    case Kind::number:
      if (relation == Relation::price) return text_of(word) + " coins";
      if (relation == Relation::opens || relation == Relation::closes) return "at " + text_of(word);
      return text_of(word);
    default:
      return text_of(word);
  }
}

std::string question_text(const Claim& asked, std::span<const int> choices) {
  for (const Pattern& pattern : lexicon().questions) {
    const auto has = [&](int slot) {
      return std::count(pattern.words.begin(), pattern.words.end(), slot) > 0;
    };
    if (pattern.relation != asked.relation || has(kSubjectSlot) != (asked.subject != -1) ||
        has(kValueSlot) != (asked.value != -1))
      continue;
    std::string out = capitalized(write(pattern, asked));
    for (size_t i = 0; i < choices.size(); ++i)
      out += (i == 0 ? ", " : " or ") + text_of(choices[i]);
    return out + "?";
  }
  return "";
}

std::string list_text(std::span<const int> words) {
  std::string out = capitalized(std::string(kListOpening));
  for (const int word : words) out += " " + text_of(word);
  return out + ".";
}

std::string form_text(Form form) {
  for (const auto& [each, text] : kForms)
    if (each == form) return std::string(text);
  return "";
}

std::span<const std::string_view> friendly_openings() { return kFriendlyOpenings; }
std::span<const std::string_view> friendly_closings() { return kFriendlyClosings; }
std::span<const std::string_view> fillers() { return kFillers; }

}  // namespace pref::world
