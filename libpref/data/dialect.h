// SPDX-License-Identifier: Apache-2.0
// The layouts in which preference and supervised rows are published, and one parser for them. Every
// row is judged by its
// own shape:
//   preference      prompt, chosen, rejected: strings (TRL's standard form)
//   conversational  prompt, chosen, rejected: lists of {role, content}
//   implicit        chosen, rejected: strings without a prompt; the prompt is their common
//                   beginning, up to a word
//   implicit_chat   chosen, rejected: whole conversations; all but the last message is the prompt
//   ultrafeedback   prompt: a string beside chosen, rejected: whole conversations (or answers) as
//                   message lists
//   hh              chosen, rejected: transcripts "\n\nHuman: ...\n\nAssistant: ..."
//   completion      prompt, completion: supervised, strings or message lists
//   messages        messages: a supervised conversation; the last message is the completion
// Optional keys: id or prompt_id, score_chosen and score_rejected, weight, margin.
#pragma once
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/data/json_row.h"
#include "libpref/data/rows.h"

namespace pref {

enum class Dialect {
  automatic,
  preference,
  conversational,
  implicit,
  implicit_chat,
  ultrafeedback,
  hh,
  completion,
  messages
};
constexpr std::array<EnumName<Dialect>, 9> enum_names(Dialect) {
  return {{{Dialect::automatic, "auto"},
           {Dialect::preference, "preference"},
           {Dialect::conversational, "conversational"},
           {Dialect::implicit, "implicit"},
           {Dialect::implicit_chat, "implicit_chat"},
           {Dialect::ultrafeedback, "ultrafeedback"},
           {Dialect::hh, "hh"},
           {Dialect::completion, "completion"},
           {Dialect::messages, "messages"}}};
}
std::string_view dialect_name(Dialect dialect);

struct DialectOptions {
  Dialect dialect = Dialect::automatic;  ///< a forced one refuses rows of another shape
  bool reference_response = false;  ///< branch 2 is the field of that name, which must be there
  bool hh_as_messages = false;  ///< turns of a transcript become messages, for a chat format
  bool strict_turns = false;    ///< two messages of one role in a row are an error, not a note
};

struct ParsedRow {
  PreferenceRow row;
  Dialect dialect = Dialect::automatic;
  std::vector<std::string> notes;       ///< nul_byte, bad_turns
  std::vector<std::string> extra_keys;  ///< keys of the row that nothing reads
};

/// Parses a line into a row whose prompt is separate and whose branches are responses alone. The
/// caller sets place, and id where it is left empty. Throws RowError: bad_json, dup_key,
/// not_object, missing_key, bad_type, empty_response, identical_pair, prompt_mismatch, bad_turns,
/// inverted_scores.
ParsedRow parse_row(std::string_view line, const DialectOptions& options);

}  // namespace pref
