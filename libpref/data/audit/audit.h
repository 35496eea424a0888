// SPDX-License-Identifier: Apache-2.0
// What a data set would do to a run, before any training time is spent: every row is read, judged
// and tokenized as load_preferences does it, and what is odd about it is counted. Lengths are in
// tokens, EOS and template included, before truncation unless said otherwise.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libpref/data/audit/length_statistics.h"
#include "libpref/data/load_preferences.h"

namespace pref::audit {

enum class Severity { ok, note, warning, error };
constexpr std::array<EnumName<Severity>, 4> enum_names(Severity) {
  return {{{Severity::ok, "ok"},
           {Severity::note, "note"},
           {Severity::warning, "warning"},
           {Severity::error, "error"}}};
}
std::string_view severity_name(Severity severity);

constexpr size_t kExamples = 5;

/// One thing that was looked for.
struct Finding {
  std::string code;   ///< short name for programs, e.g. contradictory_labels
  std::string title;  ///< the same in words
  Severity severity = Severity::ok;
  int64_t count = 0, total = 0;       ///< of `unit`
  std::string unit;                   ///< rows, answers, tokens, prompts
  std::string detail;                 ///< what was found, in a sentence; "" where nothing was
  std::string advice;                 ///< what to do; "" where nothing was found
  std::vector<std::string> examples;  ///< the first places, path:line, at most kExamples
  double share() const {
    return total == 0 ? 0 : static_cast<double>(count) / static_cast<double>(total);
  }
  bool operator==(const Finding&) const = default;
};

/// How much a limit takes away. The first answer is the chosen one (or the only one).
struct TruncationEffect {
  std::optional<int64_t> max_length;
  int64_t rows_used = 0, rows_cut = 0;     ///< cut rows are used
  std::map<std::string, int64_t> skipped;  ///< rows that the limit makes unusable, by code
  int64_t prompt_tokens_cut = 0, chosen_tokens_cut = 0, rejected_tokens_cut = 0;  ///< of used rows
  int64_t tokens_kept = 0;          ///< of used rows, the prompt once
  int64_t answers_without_eos = 0;  ///< that lost it to the cut
  int64_t longest_row = 0;          ///< packed tokens, after the cut
  int64_t longest_sequence = 0;     ///< prompt and longest answer, after the cut
  bool operator==(const TruncationEffect&) const = default;
};

struct EvaluationOverlap {
  int64_t rows_read = 0, rows_used = 0;
  int64_t prompts = 0;  ///< evaluation rows whose prompt is one of training
  int64_t rows = 0;     ///< evaluation rows that stand in training, answers and all
  bool operator==(const EvaluationOverlap&) const = default;
};

/// What a run over the used rows takes.
struct RunCost {
  int64_t rows_per_update = 0, updates_per_epoch = 0, updates = 0;
  double epochs = 0;
  int64_t tokens_per_epoch = 0;       ///< packed: every prompt once, no padding
  int64_t tokens_per_microbatch = 0;  ///< the budget, or the longest row where that is longer
  std::vector<std::pair<std::string, int64_t>> memory;  ///< bytes by part; empty without a model
  double tokens_per_update() const {
    return updates_per_epoch == 0
               ? 0
               : static_cast<double>(tokens_per_epoch) / static_cast<double>(updates_per_epoch);
  }
};

struct AuditOptions {
  DataOptions data;  ///< as for training; its watcher and rejects_folder are not looked at
  std::string eval;  ///< files of evaluation rows, "" for none
  int64_t rows_per_update = 8;
  double epochs = 1;
  int64_t tokens_per_microbatch = 1024;
  /// Other values of max_length to try beside data.max_length.
  std::vector<int64_t> lengths = {512, 1024, 2048, 4096, 8192};
  std::optional<int64_t> max_positions;  ///< of the model
};

struct AuditReport {
  std::vector<std::string> files;
  std::string tokenizer, chat_format, truncation_mode;
  int64_t rows_read = 0, rows_used = 0;
  std::map<std::string, int64_t> skipped;  ///< by code
  std::map<std::string, int64_t> dialects, extra_keys;
  std::vector<Finding> findings;           ///< the gravest first
  LengthSummary prompt, chosen, rejected;  ///< of rows that have tokens, skipped by limits or not
  Histogram prompt_histogram, chosen_histogram, rejected_histogram;  ///< of one width
  LengthBias bias;
  std::vector<TruncationEffect> truncation;  ///< first data.max_length, then the others by length
  std::optional<EvaluationOverlap> eval;
  RunCost run;

  int64_t rows_skipped() const;
  int64_t count(Severity severity) const;
  /// The finding of that code; throws ErrorKind::internal when there is none.
  const Finding& finding(std::string_view code) const;
  /// Throws ErrorKind::internal unless rows_read = rows_used + rows_skipped().
  void check() const;
};

/// Reads `paths` as load_preferences does and never stops at a bad row. Throws as load_preferences
/// for files that cannot be read.
AuditReport audit_preferences(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                              const AuditOptions& options = {});

/// One JSON object: every number of the report.
std::string audit_json(const AuditReport& report);

/// Lines of text; with `color`, severities in ANSI colours.
std::string audit_text(const AuditReport& report, bool color = false);

}  // namespace pref::audit
