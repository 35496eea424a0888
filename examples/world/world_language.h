// SPDX-License-Identifier: Apache-2.0
// The world's language. One table of sentence patterns serves both ways: it writes claims and
// questions, and it reads them back from any text. A claim is (relation, subject, value); a
// question is a claim with one part left open.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pref::world {

/// What a word may stand for. `literal` words only occur inside patterns and set phrases.
enum class Kind : int8_t {
  literal,
  item,
  colour,
  room,
  food,
  person,
  shop,
  number,
  degree,
  position
};

enum class Relation : int8_t {
  none,
  colour,
  place,
  price,
  opens,
  closes,
  likes,
  age,
  has,
  total,
  compare,
  order,
  count
};

/// What the prompt wishes of the reply's form.
enum class Form : int8_t { any, brief, sentence, friendly };

/// Ids of words; -1 is "absent" or, in a question, "asked for".
struct Claim {
  Relation relation = Relation::none;
  int subject = -1, value = -1;
  int object = -1;    ///< the food that has and total count
  bool bare = false;  ///< only `value` was said: "red", "4 coins", "the lamp"
  bool operator==(const Claim&) const = default;
};

/// A prompt as read: everything it states or implies, and the question.
struct Question {
  std::vector<Claim> truths;
  Claim asked;   ///< subject or value is -1
  Claim answer;  ///< the one truth that fits
  Form form = Form::any;
  bool asks_subject() const { return asked.subject == -1 && asked.value != -1; }
  /// The part of a claim that this question leaves open.
  int open_part(const Claim& claim) const { return asks_subject() ? claim.subject : claim.value; }
  /// Whether a full claim is about the thing asked, right or wrong.
  bool is_about(const Claim& claim) const {
    return claim.relation == asked.relation &&
           (asks_subject() ? claim.value == asked.value : claim.subject == asked.subject);
  }
};

/// One statement of a text: a claim, or a friendly phrase, or neither.
struct Statement {
  std::optional<Claim> claim;
  bool small_talk = false;
};

Kind kind_of(int word);
const std::string& text_of(int word);
/// All words of a kind, in alphabetical order (numbers in numerical order, from 1).
std::span<const int> words_of(Kind kind);
int number_word(int n);  ///< n in [1, 20]
int number_value(int word);
Kind subject_kind(Relation relation);
Kind value_kind(Relation relation);

/// "the lamp is red", without capital and full stop; `subject_said` leaves the subject out: "costs
/// 4 coins".
std::string claim_text(const Claim& claim, bool subject_said = false);
/// A word alone, as it answers a question of this relation: "red", "4 coins", "the lamp", "at 8".
std::string bare_text(int word, Relation relation);
/// "How much is the lamp?"; `choices` are appended: ", lamp or sofa?".
std::string question_text(const Claim& asked, std::span<const int> choices);
std::string list_text(std::span<const int> words);  ///< "The list is red blue red."
std::string form_text(Form form);                   ///< "" for any
std::span<const std::string_view> friendly_openings();
std::span<const std::string_view> friendly_closings();
std::span<const std::string_view> fillers();
std::string capitalized(std::string text);

/// What the stated claims imply: of two prices which is more, of two amounts of one food their sum.
void add_implied(std::vector<Claim>& truths);

/// Reads a prompt: wishes, facts, question. Empty when the text is not one of the world.
std::optional<Question> parse_prompt(std::string_view text);
/// Reads any text; never fails. Statements are separated by . ! ? line breaks, commas and "and".
std::vector<Statement> parse_statements(std::string_view text);

}  // namespace pref::world
