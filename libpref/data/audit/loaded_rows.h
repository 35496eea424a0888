// SPDX-License-Identifier: Apache-2.0
// A data set as the audit holds it: loaded without limits of length, so that every row is seen
// whole; limits are then planned on the lengths alone. Texts are compared by hashes of their words.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libpref/data/audit/audit.h"
#include "libpref/data/audit/findings.h"
#include "libpref/data/audit/row_audit.h"

namespace pref::audit {

struct LoadedRows {
  LoadedRows(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
             DataOptions options);
  RowAuditor auditor;
  PreferenceData data;
  std::vector<const AuditedRow*> rows;  ///< [data.rows]
  std::vector<UnusableRow> unusable;    ///< in file order
};

/// Throws ErrorKind::option where rows were left out or repeated by a mixture's fractions.
void refuse_mixtures(const DataReport& report, const char* where);

/// What training under `limits` gets of the rows, row by row as encode_row plans it.
struct Truncated {
  TruncationEffect effect;
  Tally cut, identical, no_eos, beyond_model;
  int64_t answers = 0;
  std::map<std::string, Tally> skipped;  ///< by code; `identical` aside
};
Truncated truncate(const LoadedRows& loaded, const LengthLimits& limits,
                   std::optional<int64_t> max_positions);

/// Repeats and contradictions among the rows of one data set.
struct Repeats {
  Tally contradictory, rows, prompts;
};
Repeats find_repeats(const std::vector<const AuditedRow*>& rows);

/// Prompt and answers as one number; `sorted`: in any order of the answers.
uint64_t row_key(const AuditedRow& row, bool sorted);

}  // namespace pref::audit
