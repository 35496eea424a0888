// SPDX-License-Identifier: Apache-2.0
// What a row says beside its texts, under the names that data sets use for it. Numbers per branch
// come as a list, one per branch in the file's order, or for a pair under two keys.
#include <array>
#include <optional>

#include "libpref/base/json_text.h"
#include "libpref/data/dialects/row_reader.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref::dialects {
namespace {

struct KeyPair {
  std::string_view chosen, rejected;
};
constexpr KeyPair kScores[] = {
    {"score_chosen", "score_rejected"},   {"chosen_score", "rejected_score"},
    {"chosen-rating", "rejected-rating"}, {"chosen_rating", "rejected_rating"},
    {"rating_chosen", "rating_rejected"}, {"chosen_reward", "rejected_reward"}};
constexpr KeyPair kWins[] = {{"win_probability_chosen", "win_probability_rejected"},
                             {"win_probability/chosen", "win_probability/rejected"}};

size_t competing(const RowReader& row) {
  return row.branches.size() - (row.out.row.has_reference_response ? 1 : 0);
}

std::string counts(size_t has, std::string_view what, size_t needs) {
  return " has " + std::to_string(has) + " " + std::string(what) + ", the row has " +
         std::to_string(needs) + " responses";
}

std::vector<double> read_list(RowReader& row, const JsonValue& list, const std::string& pointer) {
  if (!list.is_array()) refuse_type(pointer, list, "a list of numbers, one per response");
  if (list.items.size() != competing(row))
    refuse("bad_type", list, pointer + counts(list.items.size(), "numbers", competing(row)));
  std::vector<double> out;
  for (size_t i = 0; i < list.items.size(); ++i)
    out.push_back(row.number(list.items[i], pointer + "/" + std::to_string(i)));
  return out;
}

/// The numbers under `list_key`, or of a pair under the first pair of keys of which one is there.
std::vector<double> read_numbers(RowReader& row, std::string_view list_key,
                                 std::span<const KeyPair> pairs) {
  if (const JsonValue* list = row.find(list_key); list != nullptr)
    return read_list(row, *list, "/" + std::string(list_key));
  for (const KeyPair& keys : pairs) {
    if (!has(row.root, keys.chosen) && !has(row.root, keys.rejected)) continue;
    if (competing(row) != 2) return {};  // of some other row type: reported as keys not read
    const JsonValue *chosen = row.find(keys.chosen), *rejected = row.find(keys.rejected);
    if (chosen == nullptr || rejected == nullptr) return {};  // half a pair says nothing
    return {row.number(*chosen, "/" + std::string(keys.chosen)),
            row.number(*rejected, "/" + std::string(keys.rejected))};
  }
  return {};
}

void read_token_rewards(RowReader& row) {
  const JsonValue* rewards = row.find("token_rewards");
  if (rewards == nullptr) return;
  if (!rewards->is_array() || rewards->items.size() != row.branches.size())
    refuse("bad_type", *rewards,
           "/token_rewards" + (rewards->is_array()
                                   ? counts(rewards->items.size(), "lists", row.branches.size())
                                   : " is " + std::string(rewards->kind_name()) +
                                         ", expected a list of lists, one per response"));
  for (size_t b = 0; b < rewards->items.size(); ++b) {
    const JsonValue& list = rewards->items[b];
    const std::string pointer = "/token_rewards/" + std::to_string(b);
    if (!list.is_array()) refuse_type(pointer, list, "a list of numbers, one per token");
    std::vector<double>& out = row.out.row.token_rewards.emplace_back();
    for (size_t i = 0; i < list.items.size(); ++i)
      out.push_back(row.number(list.items[i], pointer + "/" + std::to_string(i)));
  }
}

/// A JSON value that may have come as text holding JSON.
JsonValue unquoted(const JsonValue& value, const std::string& pointer) {
  if (!value.is_string()) return value;
  if (blank(value.text)) return {};
  try {
    return parse_json_row(value.text);
  } catch (const RowError& error) {
    refuse("bad_type", value, pointer + " is text that is not JSON: " + error.what());
  }
}

void read_template_inputs(RowReader& row) {
  PreferenceRow& out = row.out.row;
  const auto read = [&](const char* key, JsonValue::Kind kind, const char* expected) {
    const JsonValue* given = row.find(key);
    if (given == nullptr) return std::string();
    const std::string pointer = std::string("/") + key;
    const JsonValue value = unquoted(*given, pointer);
    if (value.is_null() || (value.items.empty() && value.members.empty() && value.kind == kind))
      return std::string();
    if (value.kind != kind) {
      JsonValue at = value;
      at.offset = given->offset;
      refuse_type(pointer, at, expected);
    }
    if (!out.prompt.conversational())
      refuse("bad_type", *given,
             pointer + " is for a chat template, and the row's prompt is plain text");
    if (out.needs_template.empty()) out.needs_template = pointer;
    return json_text(value);
  };
  out.tools = read("tools", JsonValue::Kind::array, "a list of tool descriptions");
  out.chat_template_kwargs =
      read("chat_template_kwargs", JsonValue::Kind::object, "an object of template variables");
}

void read_reference_prompt(RowReader& row) {
  const Field field = row.field("reference_prompt", false);
  if (field.json == nullptr) return;
  if (field.chat() != row.out.row.prompt.conversational())
    refuse("bad_type", *field.json,
           "/reference_prompt is " + std::string(field.json->kind_name()) + " and the prompt is " +
               (field.chat() ? "text" : "a list of messages") + "; both must be of one form");
  if (!field.chat() && blank(field.content.text))
    refuse("empty_prompt", *field.json,
           "/reference_prompt is empty or only white space. Leave the key out where the reference "
           "sees the same prompt");
  row.out.row.reference_prompt = field.content;
}

void check_scores(RowReader& row) {
  const std::vector<double>& scores = row.out.row.facts.scores;
  if (row.ranked_list) return;
  for (size_t b = 1; b < scores.size(); ++b)
    if (scores[0] < scores[b])
      refuse("inverted_scores", *row.branches[0].json,
             "the score of " + row.branches[0].pointer + " is " + json_value(scores[0]) +
                 ", below that of " + row.branches[b].pointer + ", " + json_value(scores[b]));
}

}  // namespace

bool read_label(const JsonValue& value, const std::string& pointer) {
  if (value.kind == JsonValue::Kind::boolean) return value.boolean;
  if (value.is_number() && (value.number == 0 || value.number == 1)) return value.number == 1;
  if (value.is_number())
    refuse("bad_type", value, pointer + " is " + value.text + ", expected true or false");
  refuse_type(pointer, value, "true or false");
}

void read_facts(RowReader& row) {
  RowFacts& facts = row.out.row.facts;
  for (const char* key : {"prompt_id", "id"})
    if (const JsonValue* id = row.find(key); id != nullptr && (id->is_string() || id->is_number()))
      row.out.row.id = id->text;
  if (const JsonValue* weight = row.find("weight"); weight != nullptr) {
    facts.weight = row.number(*weight, "/weight");
    if (facts.weight < 0)
      refuse("bad_type", *weight, "/weight is " + weight->text + ", expected at least 0");
  }
  if (const JsonValue* margin = row.find("margin"); margin != nullptr)
    facts.margin = row.number(*margin, "/margin");
  if (row.branches.size() > 1) {
    if (facts.scores.empty()) facts.scores = read_numbers(row, "scores", kScores);
    facts.win_probability = read_numbers(row, "win_probability", kWins);
    for (size_t b = 0; b < facts.win_probability.size(); ++b)
      if (facts.win_probability[b] < 0 || facts.win_probability[b] > 1)
        refuse("bad_type", row.root,
               "the win probability of response " + std::to_string(b) + " is " +
                   json_value(facts.win_probability[b]) + ", expected 0 to 1");
    check_scores(row);
  }
  if (!row.branches.empty()) read_token_rewards(row);
  read_reference_prompt(row);
  read_template_inputs(row);
}

}  // namespace pref::dialects
