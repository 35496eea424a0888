// SPDX-License-Identifier: Apache-2.0
// The layouts in which preference, unpaired and supervised rows are published, read into one form.
// Every row is judged by its own shape, or by the layout that the option names;
// docs/data_formats.md shows a row of each. The layouts are read in dialects/, a file per family.
#pragma once
#include <array>
#include <cstdint>
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
  preference,         ///< prompt, chosen, rejected: strings
  conversational,     ///< the same as lists of messages
  implicit,           ///< chosen, rejected: strings that begin with the prompt
  implicit_chat,      ///< chosen, rejected: whole conversations
  ultrafeedback,      ///< prompt: a string beside conversations (the binarized set)
  hh,                 ///< transcripts "\n\nHuman: ...\n\nAssistant: ..."
  completion,         ///< prompt, completion: supervised
  messages,           ///< messages: a supervised conversation
  unpaired,           ///< prompt, completion, label
  prompt_only,        ///< prompt
  list,               ///< prompt, responses; or chosen and a list of rejected ones
  ultrafeedback_raw,  ///< instruction, completions with their annotations
  openrlhf,           ///< input, chosen, rejected; or input, output, label
  alpaca,             ///< LLaMA-Factory: instruction, input, chosen, rejected, system, history
  sharegpt,           ///< LLaMA-Factory: conversations of {from, value}, chosen, rejected
  nemo,               ///< context, completions with ranks; or chosen_response, rejected_response
  axolotl,            ///< system, question or instruction, answers; or messages beside answers
  argilla,            ///< generations with ratings
  nectar              ///< a transcript, answers with ranks
};
constexpr std::array<EnumName<Dialect>, 20> enum_names(Dialect) {
  return {{{Dialect::automatic, "auto"},
           {Dialect::preference, "preference"},
           {Dialect::conversational, "conversational"},
           {Dialect::implicit, "implicit"},
           {Dialect::implicit_chat, "implicit_chat"},
           {Dialect::ultrafeedback, "ultrafeedback"},
           {Dialect::hh, "hh"},
           {Dialect::completion, "completion"},
           {Dialect::messages, "messages"},
           {Dialect::unpaired, "unpaired"},
           {Dialect::prompt_only, "prompt_only"},
           {Dialect::list, "list"},
           {Dialect::ultrafeedback_raw, "ultrafeedback_raw"},
           {Dialect::openrlhf, "openrlhf"},
           {Dialect::alpaca, "alpaca"},
           {Dialect::sharegpt, "sharegpt"},
           {Dialect::nemo, "nemo"},
           {Dialect::axolotl, "axolotl"},
           {Dialect::argilla, "argilla"},
           {Dialect::nectar, "nectar"}}};
}
std::string_view dialect_name(Dialect dialect);

/// What becomes of a list of more than two responses.
enum class ListPairing {
  all,     ///< every response is a branch, best first
  lowest,  ///< the best and the worst
  random   ///< the best and a random one that is worse (any other where all are equal), by seed
};
constexpr std::array<EnumName<ListPairing>, 3> enum_names(ListPairing) {
  return {{{ListPairing::all, "all"},
           {ListPairing::lowest, "lowest"},
           {ListPairing::random, "random"}}};
}

/// Which of UltraFeedback's scores orders its completions.
enum class ScoreKey { overall, fine_grained };
constexpr std::array<EnumName<ScoreKey>, 2> enum_names(ScoreKey) {
  return {{{ScoreKey::overall, "overall"}, {ScoreKey::fine_grained, "fine_grained"}}};
}

struct DialectOptions {
  Dialect dialect = Dialect::automatic;  ///< a forced one refuses rows of another shape
  bool reference_response =
      false;                    ///< the last branch is the field of that name, which must be there
  bool hh_as_messages = false;  ///< turns of a transcript become messages, for a chat format
  bool strict_turns = false;    ///< two messages of one role in a row are an error, not a note
  bool prompt_only = false;  ///< prompts alone are wanted: rows of any layout lose their branches
  ListPairing list_pairing = ListPairing::all;
  ScoreKey ultrafeedback_score = ScoreKey::overall;
  int64_t seed = 42;  ///< of list_pairing random; a row's draw depends on its text alone
};

struct ParsedRow {
  PreferenceRow row;
  Dialect dialect = Dialect::automatic;
  /// nul_byte, bad_turns; tied_scores: the chosen response has an equal; unused_responses: of a
  /// list, left out by list_pairing; duplicate_response.
  std::vector<std::string> notes;
  std::vector<std::string> extra_keys;  ///< keys of the row that nothing reads
};

/// Parses a line into a row whose prompt is separate and whose branches are responses alone. The
/// caller sets place, and id where it is left empty. Throws RowError: bad_json, dup_key,
/// not_object, missing_key, bad_type, empty_response, empty_prompt, identical_pair,
/// prompt_mismatch, bad_turns, inverted_scores.
ParsedRow parse_row(std::string_view line, const DialectOptions& options);

}  // namespace pref
