// SPDX-License-Identifier: Apache-2.0
// The two forms of a training row: as read (text or messages) and as trained on (token ids).
// A row is a prompt with k branches: 2 for a pair (chosen, rejected), 1 for supervised fine-tuning
// and for unpaired feedback, more for lists, none for prompts alone.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pref {

struct Message {
  std::string role;  ///< system, developer, user, assistant, tool or function
  std::string content;
  /// The whole message as the file has it (JSON), where it is more than role and text: tool calls,
  /// reasoning, parts. A folder's template sees this; "" otherwise.
  std::string json = {};
  bool operator==(const Message&) const = default;
};

/// Either plain text or a list of messages, as the file had it.
struct Content {
  std::string text;  ///< used when messages is empty
  std::vector<Message> messages;
  bool conversational() const { return !messages.empty(); }
};

/// What a file says of a row beside its texts. Per-branch lists are empty where the file has none.
struct RowFacts {
  std::vector<double> scores;           ///< [branches] reward of each response, any scale
  std::vector<double> win_probability;  ///< [branches] in [0, 1], itself counted as 1/2
  std::optional<bool> desirable;        ///< unpaired feedback on the only branch
  double weight = 1;
  double margin = 0;
};

/// One row as read. Branch 0 is chosen, branch 1 rejected, further ones as the dialect names them.
struct PreferenceRow {
  std::string id;     ///< the file's own id, else "file:line"
  std::string place;  ///< "path:line", for errors about this row
  Content prompt;     ///< may be empty for implicit prompts before they are extracted
  std::vector<Content> branches;
  RowFacts facts;
  Content reference_prompt;                        ///< the prompt that the reference sees, or empty
  std::vector<std::vector<double>> token_rewards;  ///< as in TokenizedRow, EOS counted
  bool has_reference_response = false;      ///< the last branch is a reference's sample, not ranked
  std::string tools, chat_template_kwargs;  ///< JSON for the folder's template; "" for none
  /// JSON pointer of the first thing that only a folder's template can express; "" for none.
  std::string needs_template;
};

/// One row as trained on. Ids are in [0, vocab_size).
struct TokenizedRow {
  std::string id, place;
  std::vector<int32_t> prompt;  ///< at least one token (BOS where the model has one)
  std::vector<std::vector<int32_t>>
      branches;  ///< each at least one token, EOS included by the EOS policy
  /// The prompt that the reference policy sees, where it is another one (LongPO); empty: `prompt`.
  std::vector<int32_t> reference_prompt;
  /// [branches][tokens] per-token rewards (T-REG) or judgments (CUT); empty where the file has none.
  std::vector<std::vector<double>> token_rewards;
  RowFacts facts;
  int64_t num_tokens() const {  ///< prompt once, plus every branch
    int64_t n = static_cast<int64_t>(prompt.size());
    for (const auto& branch : branches) n += static_cast<int64_t>(branch.size());
    return n;
  }
};

}  // namespace pref
