// SPDX-License-Identifier: Apache-2.0
// Layouts with several responses and what orders them: UltraFeedback's annotated completions, NeMo's
// ranked completions, Argilla's generations with ratings, Nectar's ranked answers.
#include "libpref/data/dialects/ranked.h"

#include "libpref/data/dialects/pairs.h"
#include "libpref/data/whitespace.h"

namespace pref::dialects {
namespace {

bool is_list_with(const JsonValue& root, std::string_view list, std::string_view key) {
  const JsonValue* value = root.find(list);
  return value != nullptr && value->is_array() && !value->items.empty() &&
         value->items[0].find(key) != nullptr;
}

/// The items of a list of objects, each with its pointer.
std::vector<std::pair<const JsonValue*, std::string>> objects(RowReader& row,
                                                              std::string_view key) {
  const JsonValue& list = row.require_member(key);
  const std::string pointer = "/" + std::string(key);
  if (!list.is_array() || list.items.empty()) refuse_type(pointer, list, "a list of objects");
  std::vector<std::pair<const JsonValue*, std::string>> out;
  for (size_t i = 0; i < list.items.size(); ++i) {
    const std::string at = pointer + "/" + std::to_string(i);
    if (!list.items[i].is_object()) refuse_type(at, list.items[i], "an object");
    out.emplace_back(&list.items[i], at);
  }
  return out;
}

const JsonValue& member(const JsonValue& object, const std::string& pointer, const char* key) {
  const JsonValue* value = object.find(key);
  if (value == nullptr) refuse("missing_key", object, pointer + " has no " + key);
  return *value;
}

double number_at(RowReader& row, const JsonValue& object, const std::string& pointer,
                 const char* key) {
  return row.number(member(object, pointer, key), pointer + "/" + key);
}

/// The mean of the aspects' ratings, where the file does not give it.
double fine_grained(RowReader& row, const JsonValue& completion, const std::string& pointer) {
  if (has(completion, "fine-grained_score"))
    return number_at(row, completion, pointer, "fine-grained_score");
  const JsonValue& annotations = member(completion, pointer, "annotations");
  double sum = 0;
  int64_t count = 0;
  for (const auto& [aspect, value] : annotations.members) {
    const JsonValue* rating = value.find("Rating");
    if (rating == nullptr || !rating->is_string() || rating->text.size() != 1 ||
        rating->text[0] < '0' || rating->text[0] > '9')
      continue;  // "N/A"
    sum += rating->text[0] - '0';
    ++count;
  }
  if (count == 0)
    refuse("bad_type", annotations,
           pointer + "/annotations has no Rating and there is no fine-grained_score");
  return sum / static_cast<double>(count);
}

}  // namespace

bool is_ultrafeedback_raw(const JsonValue& root) {
  return has(root, "instruction") && is_list_with(root, "completions", "response");
}

void parse_ultrafeedback_raw(RowReader& row) {
  const std::string instruction = row.optional_text("instruction");
  if (instruction.empty()) row.missing("instruction");
  const bool overall = row.options.ultrafeedback_score == ScoreKey::overall;
  std::vector<Field> responses;
  for (const auto& [item, at] : objects(row, "completions")) {
    responses.push_back(row.value_field(member(*item, at, "response"), at + "/response"));
    row.out.row.facts.scores.push_back(overall ? number_at(row, *item, at, "overall_score")
                                               : fine_grained(row, *item, at));
  }
  row.ranked_list = true;
  row.join_chat(RowReader::opening("", instruction), std::move(responses));
  row.out.dialect = Dialect::ultrafeedback_raw;
}

bool is_nemo(const JsonValue& root) {
  return is_list_with(root, "completions", "completion") ||
         (has(root, "prompt") && has(root, "chosen_response"));
}

void parse_nemo(RowReader& row) {
  if (has(row.root, "chosen_response")) {
    const Field prompt = row.field("prompt");
    join_pair(row, prompt, "chosen_response", "rejected_response");
    row.out.dialect = Dialect::nemo;
    return;
  }
  const Field context = row.field("context");
  std::vector<Field> responses;
  for (const auto& [item, at] : objects(row, "completions")) {
    responses.push_back(row.value_field(member(*item, at, "completion"), at + "/completion"));
    row.order.push_back(-number_at(row, *item, at, "rank"));
  }
  row.ranked_list = true;
  if (context.chat())
    row.join_chat(context.content.messages, std::move(responses));
  else
    row.join(context, std::move(responses));
  row.out.dialect = Dialect::nemo;
}

bool is_argilla(const JsonValue& root) {
  return has_array(root, "generations") && !has(root, "chosen");
}

void parse_argilla(RowReader& row) {
  std::string instruction;
  for (const char* key : {"instruction", "prompt", "input"})
    if (instruction.empty()) instruction = row.optional_text(key);
  if (instruction.empty()) row.missing("instruction");
  const std::string system = row.optional_text("system"),
                    prompt = row.optional_text("system_prompt");
  const char* key = has(row.root, "ratings") ? "ratings" : "rating";
  const JsonValue& ratings = row.require_member(key);
  const std::string pointer = std::string("/") + key;
  std::vector<Field> responses = row.response_list("generations");
  if (!ratings.is_array() || ratings.items.size() != responses.size())
    refuse("bad_type", ratings,
           pointer + (ratings.is_array() ? " has " + std::to_string(ratings.items.size()) +
                                               " numbers, the row has " +
                                               std::to_string(responses.size()) + " generations"
                                         : " is " + std::string(ratings.kind_name()) +
                                               ", expected a list of numbers, one per generation"));
  for (size_t i = 0; i < ratings.items.size(); ++i)
    row.out.row.facts.scores.push_back(
        row.number(ratings.items[i], pointer + "/" + std::to_string(i)));
  row.ranked_list = true;
  row.join_chat(RowReader::opening(system.empty() ? prompt : system, instruction),
                std::move(responses));
  row.out.dialect = Dialect::argilla;
}

bool is_nectar(const JsonValue& root) {
  return has_string(root, "prompt") && is_list_with(root, "answers", "answer");
}

void parse_nectar(RowReader& row) {
  const Field prompt = row.field("prompt");
  std::vector<Field> responses;
  for (const auto& [item, at] : objects(row, "answers")) {
    responses.push_back(row.value_field(member(*item, at, "answer"), at + "/answer"));
    if (responses.back().chat())
      refuse_type(responses.back().pointer, *responses.back().json, "a string");
    row.order.push_back(-number_at(row, *item, at, "rank"));
  }
  row.ranked_list = true;
  row.out.dialect = Dialect::nectar;
  const std::string& text = prompt.content.text;
  if (!text.starts_with(kHuman)) {
    row.join_chat(RowReader::opening("", text), std::move(responses));
    return;
  }
  std::vector<Message> turns = read_transcript(text);
  if (turns.back().role != "assistant" || !blank(turns.back().content))
    refuse("bad_turns", *prompt.json, "/prompt does not end with an open \"Assistant:\" turn");
  turns.pop_back();
  if (row.options.hh_as_messages) {
    for (Message& turn : turns) turn.content = std::string(strip(turn.content));
    row.join_chat(std::move(turns), std::move(responses));
    return;
  }
  // As in HH's pairs, the space after the colon belongs to the answer.
  row.branches = std::move(responses);
  row.out.row.prompt.text = text.substr(0, text.rfind(kAssistant) + kAssistant.size());
  for (const Field& branch : row.branches)
    row.out.row.branches.push_back({.text = " " + std::string(strip(branch.content.text))});
}

}  // namespace pref::dialects
