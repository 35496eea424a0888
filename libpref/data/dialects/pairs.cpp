// SPDX-License-Identifier: Apache-2.0
// TRL's row types: pairs (with a prompt, or beginning with it), unpaired, supervised, prompts
// alone; and lists: a prompt with its responses, or a chosen one with several rejected.
#include "libpref/data/dialects/pairs.h"

#include <algorithm>

namespace pref::dialects {
namespace {

bool is_list_of_responses(const JsonValue& value) {
  return value.is_array() && !value.items.empty() &&
         (value.items[0].is_string() || value.items[0].is_array());
}

}  // namespace

void parse_pair(RowReader& row) {
  const Field prompt = row.field("prompt", false);
  row.out.dialect = join_pair(row, prompt, "chosen", "rejected");
}

Dialect join_pair(RowReader& row, const Field& prompt, std::string_view chosen_key,
                  std::string_view rejected_key) {
  const Field chosen = row.field(chosen_key);
  std::vector<Field> branches{chosen};
  const JsonValue* rejected = row.root.find(rejected_key);
  const bool several = rejected != nullptr && is_list_of_responses(*rejected);
  if (several)
    for (Field& field : row.response_list(rejected_key)) branches.push_back(std::move(field));
  else
    branches.push_back(row.field(rejected_key));
  if (row.options.reference_response) {
    branches.push_back(row.field("reference_response"));
    row.out.row.has_reference_response = true;
    if (prompt.json == nullptr && !chosen.chat())
      refuse("missing_key", row.root,
             "field \"prompt\" is missing: rows with a reference_response need it");
  }
  const Dialect shape = row.join(prompt, std::move(branches));
  return several ? Dialect::list : shape;
}

void parse_responses(RowReader& row) {
  const Field prompt = row.field("prompt");
  row.ranked_list = true;
  row.join(prompt, row.response_list("responses"));
  row.out.dialect = Dialect::list;
}

void parse_unpaired(RowReader& row) {
  const Field prompt = row.field("prompt");
  row.join(prompt, {row.field("completion")});
  row.out.row.facts.desirable = read_label(row.require_member("label"), "/label");
  row.out.dialect = Dialect::unpaired;
}

void parse_completion(RowReader& row) {
  const Field prompt = row.field("prompt");
  row.join(prompt, {row.field("completion")});
  row.out.dialect = Dialect::completion;
}

void parse_messages(RowReader& row) {
  const Field messages = row.field("messages");
  if (!messages.chat()) refuse_type("/messages", *messages.json, "a list of messages");
  row.join({}, {messages});
  row.out.dialect = Dialect::messages;
}

void parse_prompt(RowReader& row) {
  if (!row.options.prompt_only)
    refuse(
        "missing_key", row.root,
        "the row has a prompt and no response (chosen, rejected; completion; responses). Prompts "
        "alone are for sampling; training needs responses");
  row.out.row.prompt = row.field("prompt").content;
  row.out.dialect = Dialect::prompt_only;
}

void parse_stepwise(RowReader& row) {
  refuse(
      "bad_type", *row.root.find("completions"),
      "the row is stepwise supervision (completions with labels), which trains reward models of "
      "steps. Make pairs of it: the steps up to the first wrong one in the prompt, a right and a "
      "wrong step as chosen and rejected");
}

}  // namespace pref::dialects
