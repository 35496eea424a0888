// SPDX-License-Identifier: Apache-2.0
// See dialect.h. The table of layouts, and what is checked of a row whatever its layout.
#include "libpref/data/dialect.h"

#include <algorithm>

#include "libpref/data/dialects/pairs.h"
#include "libpref/data/dialects/ranked.h"

namespace pref {
namespace dialects {
namespace {

bool never(const JsonValue&) { return false; }
bool is_pair(const JsonValue& root) { return root.find("chosen") || root.find("rejected"); }
bool is_responses(const JsonValue& root) { return has_array(root, "responses"); }
bool is_unpaired(const JsonValue& root) { return root.find("completion") && root.find("label"); }
bool is_completion(const JsonValue& root) { return root.find("completion") != nullptr; }
bool is_messages(const JsonValue& root) { return root.find("messages") != nullptr; }
bool is_prompt(const JsonValue& root) { return root.find("prompt") != nullptr; }
bool is_stepwise(const JsonValue& root) {
  return has_array(root, "completions") && has_array(root, "labels");
}

using enum Dialect;
constexpr Dialect kPairs[] = {
    preference, conversational, implicit, implicit_chat, ultrafeedback, hh, list};
constexpr Dialect kList[] = {list}, kUnpaired[] = {unpaired}, kCompletion[] = {completion},
                  kMessages[] = {messages}, kPrompt[] = {prompt_only};
constexpr Dialect kUltraFeedbackRaw[] = {ultrafeedback_raw}, kNemo[] = {nemo}, kNectar[] = {nectar},
                  kArgilla[] = {argilla}, kSharegpt[] = {sharegpt}, kAlpaca[] = {alpaca},
                  kAxolotl[] = {axolotl}, kOpenrlhf[] = {openrlhf};
/// In the order in which a row is tried.
constexpr Family kFamilies[] = {
    {kUltraFeedbackRaw, is_ultrafeedback_raw, parse_ultrafeedback_raw},
    {kNemo, is_nemo, parse_nemo},
    {kNectar, is_nectar, parse_nectar},
    {kArgilla, is_argilla, parse_argilla},
    {{}, is_stepwise, parse_stepwise},
    {kSharegpt, is_sharegpt, parse_sharegpt},
    {kAlpaca, is_alpaca, parse_alpaca},
    {kAxolotl, is_axolotl, parse_axolotl},
    {kOpenrlhf, is_openrlhf, parse_openrlhf},
    {kPairs, is_pair, parse_pair},
    {kList, is_responses, parse_responses},
    {kUnpaired, is_unpaired, parse_unpaired},
    {kMessages, is_messages, parse_messages},
    {kCompletion, is_completion, parse_completion},
    {kPrompt, is_prompt, parse_prompt},
};

const Family& family_of(const JsonValue& root, Dialect wanted) {
  static constexpr Family kNone{{}, never, [](RowReader& row) { row.missing("chosen"); }};
  const Family* named = nullptr;
  for (const Family& family : kFamilies) {
    if (wanted == automatic) {
      if (family.matches(root)) return family;
      continue;
    }
    if (std::find(family.dialects.begin(), family.dialects.end(), wanted) == family.dialects.end())
      continue;
    if (family.matches(root)) return family;
    named = &family;
  }
  return named == nullptr ? kNone : *named;
}

void check_turns(RowReader& row, size_t b) {
  std::vector<Message> whole = row.out.row.prompt.messages;
  const std::vector<Message>& response = row.out.row.branches[b].messages;
  whole.insert(whole.end(), response.begin(), response.end());
  for (size_t i = 0; i + 1 < whole.size(); ++i) {
    if (whole[i].role != whole[i + 1].role || whole[i].role == "tool") continue;
    if (row.options.strict_turns)
      refuse("bad_turns", *row.branches[b].json,
             row.branches[b].pointer + ": two messages of the role " + whole[i].role +
                 " follow each other");
    row.note("bad_turns");
  }
}

void check_branches(RowReader& row) {
  const std::vector<Content>& branches = row.out.row.branches;
  for (size_t b = 0; b < branches.size(); ++b) {
    const Content& branch = branches[b];
    const JsonValue& at = *row.branches[b].json;
    bool empty = blank(branch.text);
    if (branch.conversational()) {
      const Message& last = branch.messages.back();
      if (last.role != "assistant")
        refuse("bad_turns", at,
               row.branches[b].pointer + " ends with a message of the role " + last.role +
                   ", the assistant's is required");
      check_turns(row, b);
      empty = blank(last.content) && last.json.empty();
    }
    if (empty)
      refuse("empty_response", at, row.branches[b].pointer + " is empty or only white space");
  }
  const size_t ranked = branches.size() - (row.out.row.has_reference_response ? 1 : 0);
  const auto equal = [&](size_t a, size_t b) {
    return branches[a].text == branches[b].text && branches[a].messages == branches[b].messages;
  };
  for (size_t b = 1; b < ranked; ++b) {
    if (equal(0, b))
      refuse("identical_pair", *row.branches[b].json,
             row.branches[0].pointer + " and " + row.branches[b].pointer +
                 " are equal, so the row teaches nothing");
    for (size_t a = 1; a < b; ++a)
      if (equal(a, b)) row.note("duplicate_response");
  }
}

void drop_branches(RowReader& row) {
  PreferenceRow& out = row.out.row;
  out.branches.clear();
  out.token_rewards.clear();
  out.facts.scores.clear();
  out.facts.win_probability.clear();
  out.facts.desirable.reset();
  out.has_reference_response = false;
  row.branches.clear();
}

void check_prompt(const RowReader& row) {
  const Content& prompt = row.out.row.prompt;
  if (row.out.row.branches.empty() && !prompt.conversational() && blank(prompt.text))
    refuse("empty_prompt", row.root, "the prompt is empty or only white space");
}

}  // namespace

}  // namespace dialects

std::string_view dialect_name(Dialect dialect) {
  for (const auto& entry : enum_names(Dialect{}))
    if (entry.value == dialect) return entry.name;
  return "?";
}

ParsedRow parse_row(std::string_view line, const DialectOptions& options) {
  using namespace dialects;
  const JsonValue root = parse_json_row(line);
  if (root.is_array())
    refuse("not_object", root,
           "the line is an array, expected an object. A JSON array of rows is converted by: "
           "jq -c '.[]' FILE > rows.jsonl");
  if (!root.is_object())
    refuse("not_object", root,
           "the line is " + std::string(root.kind_name()) + ", expected an object");
  for (const char* key : {"images", "image", "videos", "audios"})
    if (const JsonValue* value = root.find(key);
        value != nullptr && !value->is_null() && !(value->is_array() && value->items.empty()))
      refuse("bad_type", *value,
             "/" + std::string(key) + " cannot be trained on; remove the column");
  RowReader row(root, options);
  row.note_nul(root);
  family_of(root, options.dialect).parse(row);
  if (options.dialect != Dialect::automatic && options.dialect != row.out.dialect)
    refuse("bad_type", root,
           "the row has the layout " + std::string(dialect_name(row.out.dialect)) +
               ", the option dialect requires " + std::string(dialect_name(options.dialect)));
  read_facts(row);
  arrange_list(row, line);
  check_branches(row);
  if (options.prompt_only) drop_branches(row);
  check_prompt(row);
  row.out.extra_keys = row.unread();
  return std::move(row.out);
}

}  // namespace pref
