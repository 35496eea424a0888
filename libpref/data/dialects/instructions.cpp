// SPDX-License-Identifier: Apache-2.0
// Layouts that name the prompt otherwise and may have a system text and earlier turns: LLaMA-Factory
// (alpaca and sharegpt), axolotl, OpenRLHF. Each comes as pairs, unpaired or supervised.
#include "libpref/data/dialects/pairs.h"
#include "libpref/data/dialects/ranked.h"

namespace pref::dialects {
namespace {

bool is_answered(const JsonValue& root) { return has(root, "chosen") && has(root, "rejected"); }

/// LLaMA-Factory's history: [[user, assistant], ...].
void read_history(RowReader& row, std::vector<Message>& turns) {
  const JsonValue* history = row.find("history");
  if (history == nullptr) return;
  if (!history->is_array()) refuse_type("/history", *history, "a list of [user, assistant] pairs");
  for (size_t i = 0; i < history->items.size(); ++i) {
    const JsonValue& pair = history->items[i];
    const std::string at = "/history/" + std::to_string(i);
    if (!pair.is_array() || pair.items.size() != 2 || !pair.items[0].is_string() ||
        !pair.items[1].is_string())
      refuse("bad_type", pair, at + " is not a pair of strings, [user, assistant]");
    turns.push_back({"user", pair.items[0].text});
    turns.push_back({"assistant", pair.items[1].text});
  }
}

/// The pair of two keys under a prompt of messages.
void join_chat_pair(RowReader& row, std::vector<Message> prompt, std::string_view chosen,
                    std::string_view rejected) {
  row.join_chat(std::move(prompt), {row.field(chosen), row.field(rejected)});
}

/// The last message of a conversation as the one response; `label`, where there is one, judges it.
void split_last(RowReader& row, const Field& conversation, const std::string& system,
                std::string_view label) {
  Field whole = conversation;
  if (!system.empty())
    whole.content.messages.insert(whole.content.messages.begin(), {"system", system});
  row.join({}, {whole});
  if (const JsonValue* value = row.find(label); value != nullptr)
    row.out.row.facts.desirable = read_label(*value, "/" + std::string(label));
}

}  // namespace

bool is_alpaca(const JsonValue& root) {
  return has_string(root, "instruction") &&
         (is_answered(root) || has(root, "output") || has(root, "kto_tag"));
}

void parse_alpaca(RowReader& row) {
  row.out.dialect = Dialect::alpaca;
  const std::string instruction = row.optional_text("instruction"),
                    input = row.optional_text("input");
  if (instruction.empty() && input.empty()) row.missing("instruction");
  const std::string system = row.optional_text("system");
  std::vector<Message> turns;
  if (!system.empty()) turns.push_back({"system", system});
  read_history(row, turns);
  turns.push_back(
      {"user", instruction + (instruction.empty() || input.empty() ? "" : "\n") + input});
  if (is_answered(row.root)) return join_chat_pair(row, std::move(turns), "chosen", "rejected");
  row.join_chat(std::move(turns), {row.field("output")});
  if (const JsonValue* tag = row.find("kto_tag"); tag != nullptr)
    row.out.row.facts.desirable = read_label(*tag, "/kto_tag");
}

bool is_sharegpt(const JsonValue& root) {
  return has_array(root, "conversations") || (has_array(root, "messages") && has(root, "kto_tag"));
}

void parse_sharegpt(RowReader& row) {
  row.out.dialect = Dialect::sharegpt;
  const char* key = has(row.root, "conversations") ? "conversations" : "messages";
  const Field conversation = row.field(key);
  const std::string system = row.optional_text("system");
  if (!is_answered(row.root)) return split_last(row, conversation, system, "kto_tag");
  std::vector<Message> turns = conversation.content.messages;
  if (!system.empty()) turns.insert(turns.begin(), {"system", system});
  join_chat_pair(row, std::move(turns), "chosen", "rejected");
}

bool is_axolotl(const JsonValue& root) {
  if (has_array(root, "messages")) return is_answered(root) && !has(root, "prompt");
  if (has(root, "chosen_response")) return has(root, "instruction");
  if (!is_answered(root) && !(has(root, "completion") && has(root, "label"))) return false;
  return has_string(root, "question") || has_string(root, "instruction") ||
         (has_string(root, "system") && (has_string(root, "input") || has_string(root, "prompt")));
}

void parse_axolotl(RowReader& row) {
  row.out.dialect = Dialect::axolotl;
  const std::string system = row.optional_text("system");
  std::vector<Message> turns;
  if (has(row.root, "messages")) {
    turns = row.field("messages").content.messages;
    if (!system.empty()) turns.insert(turns.begin(), {"system", system});
  } else {
    std::string user;
    for (const char* key : {"question", "instruction", "input", "prompt"})
      if (user.empty()) user = row.optional_text(key);
    if (user.empty()) row.missing("question");
    turns = RowReader::opening(system, user);
  }
  if (has(row.root, "chosen_response"))
    return join_chat_pair(row, std::move(turns), "chosen_response", "rejected_response");
  if (is_answered(row.root)) return join_chat_pair(row, std::move(turns), "chosen", "rejected");
  row.join_chat(std::move(turns), {row.field("completion")});
  row.out.row.facts.desirable = read_label(row.require_member("label"), "/label");
}

bool is_openrlhf(const JsonValue& root) {
  return has(root, "input") && (is_answered(root) || has(root, "output"));
}

void parse_openrlhf(RowReader& row) {
  const Field prompt = row.field("input");
  if (is_answered(row.root)) {
    join_pair(row, prompt, "chosen", "rejected");
  } else {
    row.join(prompt, {row.field("output")});
    if (const JsonValue* label = row.find("label"); label != nullptr)
      row.out.row.facts.desirable = read_label(*label, "/label");
  }
  row.out.dialect = Dialect::openrlhf;
}

}  // namespace pref::dialects
