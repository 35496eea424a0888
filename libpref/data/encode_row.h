// SPDX-License-Identifier: Apache-2.0
// A row's text to token ids: one BOS at 0 where the model has one, prompt and responses tokenized
// apart and joined as ids, EOS by an explicit policy, lengths by the truncation planner.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/data/chat_template.h"
#include "libpref/data/jinja/chat.h"
#include "libpref/data/rows.h"
#include "libpref/data/tokenizer.h"
#include "libpref/data/truncation.h"

namespace pref {

/// What ends a response, before truncation. A chat template may have written EOS, and white space
/// after it.
enum class EosPolicy {
  append_if_absent,  ///< exactly one EOS is the last token; a template's tail behind it is not
                     ///< trained on
  keep_tail,  ///< EOS is appended unless there; a template's tail behind it is trained on, as TRL
              ///< does
  never       ///< the ids of the text as they are
};
constexpr std::array<EnumName<EosPolicy>, 3> enum_names(EosPolicy) {
  return {{{EosPolicy::append_if_absent, "append_if_absent"},
           {EosPolicy::keep_tail, "keep_tail"},
           {EosPolicy::never, "never"}}};
}

/// What happens where a token would span the end of the prompt if prompt and response were tokenized
/// together.
enum class SeamPolicy {
  separate,  ///< they are tokenized apart, as in generation; noted as boundary_merge
  error,     ///< the row cannot be used; the message shows both tokenizations
  move_back  ///< tokenized together; the prompt ends at the last token boundary that all branches
             ///< share with it, and what follows belongs to the responses
};
constexpr std::array<EnumName<SeamPolicy>, 3> enum_names(SeamPolicy) {
  return {{{SeamPolicy::separate, "separate"},
           {SeamPolicy::error, "error"},
           {SeamPolicy::move_back, "move_back"}}};
}

struct EncodeOptions {
  /// automatic: `folder_template` renders conversations; without one they are refused. A named
  /// format that the folder's template was recognised as gives way to it for rows with tools.
  ChatFormat chat_format = ChatFormat::automatic;
  std::shared_ptr<const ChatTemplate> folder_template;
  EosPolicy eos_policy = EosPolicy::append_if_absent;
  SeamPolicy seam = SeamPolicy::separate;
  LengthLimits limits;
};

struct EncodedRow {
  TokenizedRow row;
  TruncationPlan truncation;
  int64_t seam_tokens_moved = 0;  ///< by move_back, from the prompt to the responses
  /// boundary_merge: tokenized together, a token would span the end of the prompt. special_in_text:
  /// BOS or EOS stands written in the data. double_bos: the text brought a BOS of its own beside
  /// the template's. boundary_moved: the seam policy move_back gave prompt tokens to the responses.
  /// not_invertible: decoding does not give the text back (a normalizing
  /// tokenizer). truncated_prompt, truncated_response.
  std::vector<std::string> notes;
};

/// Throws RowError: bad_turns (the format cannot express the roles), empty_prompt, empty_response,
/// no_response_tokens, too_long, identical_pair (equal ids), boundary_merge (seam error),
/// needs_template (tools or tool calls under a named format), bad_type (token rewards of another
/// count); Error option for conversations without
/// a chat format, or a policy that needs an EOS the tokenizer lacks.
EncodedRow encode_row(const PreferenceRow& row, const Tokenizer& tokenizer,
                      const EncodeOptions& options);

/// Would a token span the place where `completion` follows `prompt` if they were tokenized
/// together? Looks at the words around that place (at most 256 bytes on either side).
bool merges_across(const Tokenizer& tokenizer, std::string_view prompt,
                   std::string_view completion);

}  // namespace pref
