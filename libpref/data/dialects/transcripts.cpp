// SPDX-License-Identifier: Apache-2.0
// Transcripts "\n\nHuman: ...\n\nAssistant: ...": the HH-RLHF pairs, and Nectar's ranked answers
// under such a prompt. As text, what stands before the last answer is the prompt; with
// hh_as_messages the turns become messages.
#include <algorithm>

#include "libpref/data/dialects/row_reader.h"
#include "libpref/data/whitespace.h"

namespace pref::dialects {

std::vector<Message> read_transcript(std::string_view text) {
  std::vector<Message> turns;
  // Each name is looked for once from every place where it was found: a search per turn would be
  // quadratic in a text with many turns of one name.
  size_t next_human = 0, next_assistant = 0;
  for (size_t at = 0; at < text.size();) {
    const bool human = text.substr(at).starts_with(kHuman);
    const size_t begin = at + (human ? kHuman : kAssistant).size();
    if (next_human < begin) next_human = text.find(kHuman, begin);
    if (next_assistant < begin) next_assistant = text.find(kAssistant, begin);
    at = std::min({next_human, next_assistant, text.size()});
    turns.push_back({human ? "user" : "assistant", std::string(text.substr(begin, at - begin))});
  }
  return turns;
}

void split_transcripts(RowReader& row) {
  std::vector<std::vector<Message>> turns;
  for (const Field& branch : row.branches) {
    turns.push_back(read_transcript(branch.content.text));
    if (turns.back().back().role != "assistant")
      refuse("bad_turns", *branch.json,
             branch.pointer + " does not end with an \"Assistant:\" turn");
  }
  for (size_t b = 0; b < turns.size(); ++b)
    for (size_t i = 0; i + 1 < std::max(turns[0].size(), turns[b].size()); ++i)
      if (i + 1 >= std::min(turns[0].size(), turns[b].size()) || !(turns[0][i] == turns[b][i]))
        refuse("prompt_mismatch", *row.branches[b].json,
               row.branches[0].pointer + " and " + row.branches[b].pointer +
                   " have different prompts: turn " + std::to_string(i) +
                   " is the first to differ");
  for (size_t b = 0; b < turns.size(); ++b) {
    const std::string& text = row.branches[b].content.text;
    const size_t split = text.rfind(kAssistant) + kAssistant.size();
    if (row.options.hh_as_messages) {
      for (Message& message : turns[b]) message.content = std::string(strip(message.content));
      row.out.row.prompt.messages.assign(turns[b].begin(), turns[b].end() - 1);
      row.out.row.branches.push_back({.messages = {turns[b].back()}});
    } else {
      row.out.row.prompt.text = text.substr(0, split);
      row.out.row.branches.push_back({.text = text.substr(split)});
    }
  }
}

}  // namespace pref::dialects
