// SPDX-License-Identifier: Apache-2.0
// Prompt and responses, in whatever of the published forms they came, to a prompt that stands alone
// and branches that are responses alone.
#include <algorithm>

#include "libpref/data/dialects/row_reader.h"
#include "libpref/data/whitespace.h"

namespace pref::dialects {

Dialect RowReader::join(const Field& prompt, std::vector<Field> responses) {
  branches = std::move(responses);
  const Field& first = branches[0];
  for (const Field& branch : branches)
    if (branch.chat() != first.chat())
      refuse("bad_type", *branch.json,
             first.pointer + " is " + std::string(first.json->kind_name()) + " and " +
                 branch.pointer + " is " + std::string(branch.json->kind_name()) +
                 "; both must be of one form");
  if (prompt.json == nullptr) {
    if (first.chat()) {
      split_conversations();
      return Dialect::implicit_chat;
    }
    const bool transcripts = std::all_of(branches.begin(), branches.end(), [](const Field& b) {
      return b.content.text.starts_with(kHuman);
    });
    if (transcripts && (options.dialect == Dialect::automatic || options.dialect == Dialect::hh)) {
      split_transcripts(*this);
      return Dialect::hh;
    }
    split_texts();
    return Dialect::implicit;
  }
  if (!prompt.chat() && first.chat()) {
    split_ultrafeedback(prompt);
    return Dialect::ultrafeedback;
  }
  if (prompt.chat() && !first.chat())
    refuse("bad_type", *first.json,
           prompt.pointer + " is a list of messages, " + first.pointer +
               " is a string; both must be of one form");
  out.row.prompt = prompt.content;
  for (const Field& branch : branches)
    out.row.branches.push_back(prompt.chat() ? answer(branch, prompt.content.messages)
                                             : branch.content);
  return prompt.chat() ? Dialect::conversational : Dialect::preference;
}

void RowReader::join_chat(std::vector<Message> prompt, std::vector<Field> responses) {
  branches = std::move(responses);
  out.row.prompt.messages = std::move(prompt);
  for (const Field& branch : branches)
    out.row.branches.push_back(branch.chat()
                                   ? answer(branch, out.row.prompt.messages)
                                   : Content{.messages = {{"assistant", branch.content.text}}});
}

/// The branch's messages after the prompt. A list that does not open with an assistant message is
/// taken to be the whole conversation, which must then begin with the prompt, with or without its
/// system message.
Content RowReader::answer(const Field& branch, const std::vector<Message>& whole_prompt) const {
  const std::vector<Message>& messages = branch.content.messages;
  if (messages[0].role == "assistant" || messages[0].role == "tool") return branch.content;
  const bool without_system =
      whole_prompt.size() > 1 && whole_prompt[0].role == "system" && messages[0].role != "system";
  const std::span<const Message> prompt = std::span(whole_prompt).subspan(without_system ? 1 : 0);
  for (size_t i = 0; i < prompt.size(); ++i)
    if (i >= messages.size() || !(messages[i] == prompt[i]))
      refuse("prompt_mismatch",
             i < messages.size() && branch.json->is_array() ? branch.json->items[i] : *branch.json,
             branch.pointer + " does not begin with /prompt: message " + std::to_string(i) +
                 " is the first to differ");
  if (messages.size() == prompt.size())
    refuse("empty_response", *branch.json, branch.pointer + " holds the prompt and no response");
  return {.messages = {messages.begin() + static_cast<ptrdiff_t>(prompt.size()), messages.end()}};
}

/// Whole conversations: the last message is the response, all before it the prompt, equal for every
/// branch.
void RowReader::split_conversations() {
  for (const Field& branch : branches) {
    const std::vector<Message>& messages = branch.content.messages;
    std::vector<Message> prompt(messages.begin(), messages.end() - 1);
    const std::vector<Message>& first = out.row.prompt.messages;
    if (&branch == &branches[0]) {
      out.row.prompt.messages = std::move(prompt);
    } else {
      size_t i = 0;
      while (i < first.size() && i < prompt.size() && first[i] == prompt[i]) ++i;
      if (i < first.size() || i < prompt.size())
        refuse("prompt_mismatch",
               branch.json->is_array() ? branch.json->items[std::min(i, messages.size() - 1)]
                                       : *branch.json,
               branches[0].pointer + " and " + branch.pointer +
                   " have different prompts: message " + std::to_string(i) +
                   " is the first to differ");
    }
    out.row.branches.push_back({.messages = {messages.back()}});
  }
  if (out.row.prompt.messages.empty())
    refuse("bad_type", *branches[0].json,
           branches[0].pointer + " holds one message, a prompt and a response are required");
}

void RowReader::split_ultrafeedback(const Field& prompt) {
  if (branches[0].content.messages[0].role == "assistant") {  // answers only
    out.row.prompt.messages = {{"user", prompt.content.text}};
    for (const Field& branch : branches)
      out.row.branches.push_back(answer(branch, out.row.prompt.messages));
    return;
  }
  for (const Field& branch : branches) {
    const std::vector<Message>& messages = branch.content.messages;
    const size_t first = messages[0].role == "system" ? 1 : 0;
    if (first >= messages.size() || messages[first].role != "user" ||
        messages[first].content != prompt.content.text)
      refuse("prompt_mismatch",
             branch.json->is_array() ? branch.json->items[std::min(first, messages.size() - 1)]
                                     : *branch.json,
             branch.pointer + " does not begin with " + prompt.pointer + ": message " +
                 std::to_string(first) + " is the first to differ");
    if (first + 1 == messages.size())
      refuse("empty_response", *branch.json, branch.pointer + " holds the prompt and no response");
  }
  split_conversations();
}

/// Texts without a prompt: the longest common beginning that ends with a word, leaving every branch
/// something. One space before the branches goes with them, because tokenizers keep a space with
/// the word that follows it.
void RowReader::split_texts() {
  const std::string& a = branches[0].content.text;
  size_t common = a.size();
  for (const Field& branch : branches) {
    const std::string& b = branch.content.text;
    const size_t shorter = std::min(common, b.size());
    const auto here = static_cast<size_t>(
        std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(shorter), b.begin()).first -
        a.begin());
    common = here == b.size() && here > 0 && &branch != &branches[0] ? here - 1 : here;
  }
  if (common == a.size() && common > 0) --common;  // it is the others' beginning
  size_t split = word_start(a, common);
  if (split > 0 && a[split - 1] == ' ') --split;
  out.row.prompt.text = a.substr(0, split);
  for (const Field& branch : branches)
    out.row.branches.push_back({.text = branch.content.text.substr(split)});
}

}  // namespace pref::dialects
