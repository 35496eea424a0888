// SPDX-License-Identifier: Apache-2.0
// Files of preference or supervised rows to token ids: read, judge, render, tokenize, truncate, on
// all cores, in file order. Strict by default: the first row that cannot be used is an error with
// its place.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/data/data_report.h"
#include "libpref/data/dataset_files.h"
#include "libpref/data/dialect.h"
#include "libpref/data/encode_row.h"
#include "libpref/data/jsonl.h"
#include "libpref/data/rows.h"
#include "libpref/data/tokenizer.h"

namespace pref {

enum class BadRowPolicy { strict, skip };
constexpr std::array<EnumName<BadRowPolicy>, 2> enum_names(BadRowPolicy) {
  return {{{BadRowPolicy::strict, "strict"}, {BadRowPolicy::skip, "skip"}}};
}

class RowWatcher;

struct DataOptions {
  std::vector<std::string> dataset_name, dataset_mixer;
  Dialect dialect = Dialect::automatic;
  ChatFormat chat_format = ChatFormat::automatic;
  EosPolicy eos_policy = EosPolicy::append_if_absent;
  std::optional<int64_t> max_length = 1024, max_prompt_length, max_completion_length;
  TruncationMode truncation_mode = TruncationMode::keep_start;
  BadRowPolicy on_bad_row = BadRowPolicy::strict;
  std::string rejects_folder;
  bool strict_turns = false;
  std::optional<int64_t> max_rows;
  int64_t preprocessing_num_workers = 0;
  SeamPolicy seam = SeamPolicy::separate;
  ListPairing list_pairing = ListPairing::all;
  ScoreKey ultrafeedback_score = ScoreKey::overall;
  int64_t data_seed = 42;
  /// Not keys of configurations, the caller decides. Rows have a last branch, the field
  /// reference_response (SELM, XPO); prompts alone are wanted, for sampling (rows of any layout lose
  /// their branches).
  bool reference_response = false, prompt_only = false;

  /// dataset_name or dataset_mixer, whichever is set. Throws ErrorKind::option where both are.
  const std::vector<std::string>& names() const;
  RowWatcher* watcher = nullptr;  ///< row_watcher.h; not a key of configurations either

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("dataset_name", self.dataset_name, any(),
          "files, folders, globs or names of the local Hugging Face cache, org/name[:split]");
    visit("dataset_mixer", self.dataset_mixer, any(),
          "the same with fractions of their rows, path=0.5; above 1 rows are repeated");
    visit("dialect", self.dialect, any(), "row layout; auto judges every row by its own shape");
    visit("chat_format", self.chat_format, any(),
          "how conversations become text; auto asks the tokenizer's folder");
    visit("eos_policy", self.eos_policy, any(),
          "what ends a response: append_if_absent, keep_tail or never");
    visit("max_length", self.max_length, at_least(2), "tokens of prompt and response together");
    visit("max_prompt_length", self.max_prompt_length, at_least(1),
          "tokens; a longer prompt keeps its last ones");
    visit("max_completion_length", self.max_completion_length, at_least(1),
          "tokens; a longer response keeps its first ones");
    visit("truncation_mode", self.truncation_mode, any(),
          "what gives way where a row exceeds max_length");
    visit("seam", self.seam, any(),
          "where a token would span the end of the prompt: separate, error or move_back");
    visit("list_pairing", self.list_pairing, any(),
          "of lists of responses: all of them, or the best with the lowest or a random worse one");
    visit("ultrafeedback_score", self.ultrafeedback_score, any(),
          "what orders UltraFeedback's completions: overall or fine_grained");
    visit("data_seed", self.data_seed, at_least(0),
          "seed of what is drawn in reading data: dataset_mixer, list_pairing random");
    visit("on_bad_row", self.on_bad_row, any(),
          "strict: a row that cannot be used is an error; skip: it is listed");
    visit("rejects_folder", self.rejects_folder, any(),
          "where on_bad_row=skip writes rejects.jsonl");
    visit("strict_turns", self.strict_turns, any(),
          "two messages of one role in a row are an error");
    visit("max_rows", self.max_rows, at_least(1), "read at most this many rows");
    visit("preprocessing_num_workers", self.preprocessing_num_workers, at_least(0),
          "threads; 0 means all cores");
  }
};

struct PreferenceData {
  std::vector<TokenizedRow> rows;
  DataReport report;
  std::string
      digest;  ///< of the token ids of all rows in order; part of the keys of reference caches
};

/// Reads the rows of `paths` (files, folders, globs, Hub names, each perhaps with "=fraction";
/// options.dataset_name is not looked at). Throws
/// Error: missing_input, option, data ([jsonl] path:line:column (byte n): ...); also when no row is
/// left.
PreferenceData load_preferences(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                const DataOptions& options = {});

/// The digest of PreferenceData.
std::string digest_rows(const std::vector<TokenizedRow>& rows);

}  // namespace pref
