// SPDX-License-Identifier: Apache-2.0
// What the audit keeps of one row, computed on the loader's own threads; texts and tokens are not
// kept.
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libpref/data/audit/markers.h"
#include "libpref/data/row_watcher.h"

namespace pref::audit {

/// At least this overlap() makes two answers near-identical.
constexpr double kNearOverlap = 0.9;
/// An answer quotes its prompt when it repeats this many words of it in a row, or all of a prompt
/// of kQuoteWords words and more.
constexpr int64_t kLongQuote = 30;

struct AuditedRow {
  std::string place;
  uint64_t prompt = 0;             ///< hash of its words
  std::vector<uint64_t> branches;  ///< the same of each answer
  bool near_identical = false;     ///< chosen and any other answer
  bool quoted_by_chosen = false, quoted_by_others = false;
  int64_t prompt_tokens = 0, reference_prompt_tokens = 0;
  bool starts_with_bos = false;
  std::vector<int64_t> branch_tokens;
  std::vector<bool> ends_with_eos;  ///< [branches]
  bool empty_answer = false;        ///< an answer has no token but EOS
  int64_t unknown_tokens = 0, byte_tokens = 0;
  Markers::Found anywhere, answers;  ///< in prompt or answers; in answers alone
  std::vector<std::string> notes;    ///< the row's own and those of its encoding
  std::optional<bool> desirable;
  int64_t num_tokens() const;
};

struct UnusableRow {
  std::string place, code, problem;
};

class RowAuditor final : public RowWatcher {
 public:
  explicit RowAuditor(const Tokenizer& tokenizer);
  void usable(const ParsedRow& parsed, const EncodedRow& encoded) override;
  void unusable(const std::string& place, const RowError& error) override;

  /// To be called when all rows were seen.
  const std::vector<AuditedRow>& rows() const { return rows_; }          ///< in any order
  const std::vector<UnusableRow>& refused() const { return unusable_; }  ///< in any order

 private:
  AuditedRow look(const ParsedRow& parsed, const EncodedRow& encoded) const;
  Markers markers_;
  std::optional<int32_t> bos_, eos_, unknown_;
  std::vector<bool> is_byte_;  ///< [vocab_size] byte pieces <0xNN> from 0x80 on
  std::mutex mutex_;
  std::vector<AuditedRow> rows_;
  std::vector<UnusableRow> unusable_;
};

}  // namespace pref::audit
