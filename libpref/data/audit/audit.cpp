// SPDX-License-Identifier: Apache-2.0
// See audit.h. Every check is a few lines here; what it means is in findings.cpp.
#include "libpref/data/audit/audit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_set>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/data/audit/findings.h"
#include "libpref/data/audit/loaded_rows.h"

namespace pref::audit {
namespace {

class Audit {
 public:
  Audit(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
        const AuditOptions& options)
      : tokenizer_(tokenizer), options_(options), loaded_(paths, tokenizer, options.data) {}

  AuditReport report() {
    const DataReport& read = loaded_.data.report;
    report_.files = read.files;
    report_.tokenizer = read.tokenizer;
    report_.chat_format = read.chat_format;
    for (const auto& entry : enum_names(TruncationMode{}))
      if (entry.value == options_.data.truncation_mode) report_.truncation_mode = entry.name;
    report_.rows_read = read.rows_read;
    report_.skipped = read.skipped;
    report_.dialects = read.dialects;
    report_.extra_keys = read.extra_keys;
    whole_rows_ = static_cast<int64_t>(loaded_.rows.size());
    tokens();
    truncation();
    lengths();
    rows_left_out();
    answers();
    repeats();
    notes();
    if (!options_.eval.empty()) evaluation();
    std::stable_sort(report_.findings.begin(), report_.findings.end(),
                     [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
    report_.check();
    return std::move(report_);
  }

 private:
  template <class Condition>
  Tally tally(const Condition& condition) const {
    Tally out;
    for (const AuditedRow* row : loaded_.rows)
      if (condition(*row)) out.add(row->place);
    return out;
  }
  void add(Finding finding) { report_.findings.push_back(std::move(finding)); }
  void add(std::string_view code, const Tally& tally, int64_t total) {
    add(judge(code, tally, total));
  }

  void truncation() {
    const DataOptions& data = options_.data;
    LengthLimits limits{data.max_length, data.max_prompt_length, data.max_completion_length,
                        data.truncation_mode};
    planned_ = truncate(loaded_, limits, options_.max_positions);
    for (const auto& [code, count] : planned_.effect.skipped) report_.skipped[code] += count;
    report_.rows_used = planned_.effect.rows_used;
    report_.truncation = {planned_.effect};
    std::vector<int64_t> others = options_.lengths;
    std::sort(others.begin(), others.end());
    for (const int64_t length : others) {
      if (length == data.max_length) continue;
      limits.max_length = length;
      report_.truncation.push_back(truncate(loaded_, limits, {}).effect);
      if (report_.truncation.back().rows_cut == 0 && report_.truncation.back().skipped.empty())
        break;  // longer ones change nothing either
    }
    RunCost& run = report_.run;
    const TruncationEffect& effect = planned_.effect;
    run.rows_per_update = options_.rows_per_update;
    run.epochs = options_.epochs;
    run.updates_per_epoch = (effect.rows_used + run.rows_per_update - 1) / run.rows_per_update;
    run.updates =
        static_cast<int64_t>(std::ceil(run.epochs * static_cast<double>(run.updates_per_epoch)));
    run.tokens_per_epoch = effect.tokens_kept;
    run.tokens_per_microbatch = std::max(options_.tokens_per_microbatch, effect.longest_row);
    add("truncated_rows", planned_.cut, whole_rows_);
    add("identical_once_cut", planned_.identical, whole_rows_);
    add("no_eos", planned_.no_eos, planned_.answers);
    if (options_.max_positions) add("beyond_model", planned_.beyond_model, whole_rows_);
  }

  void lengths() {
    std::vector<int64_t> prompts, chosen, rejected;
    for (const AuditedRow* row : loaded_.rows) {
      prompts.push_back(row->prompt_tokens);
      for (size_t b = 0; b < row->branch_tokens.size(); ++b) {
        (b == 0 ? chosen : rejected).push_back(row->branch_tokens[b]);
        if (b > 0) report_.bias.compare(row->branch_tokens[0], row->branch_tokens[b]);
      }
      if (row->desirable && row->branch_tokens.size() == 1)
        report_.bias.observe(row->branch_tokens[0], *row->desirable);
    }
    report_.prompt = summarize(prompts);
    report_.chosen = summarize(chosen);
    report_.rejected = summarize(rejected);
    const int64_t reach = std::max({report_.prompt.p99, report_.chosen.p99, report_.rejected.p99});
    report_.prompt_histogram = histogram(prompts, reach);
    report_.chosen_histogram = histogram(chosen, reach);
    report_.rejected_histogram = histogram(rejected, reach);
    if (report_.bias.answers() > 0) add(judge_length_bias(report_.bias));
  }

  /// Identical and empty answers have checks of their own, present also where there are none.
  void rows_left_out() {
    std::map<std::string, Tally> by_code;
    std::map<std::string, std::string> first;
    for (const UnusableRow& row : loaded_.unusable) {
      first.emplace(row.code, row.problem);
      by_code[row.code].add(row.place);
    }
    for (const auto& [code, count] : loaded_.data.report.skipped) by_code[code].count = count;
    for (const auto& [code, tally] : planned_.skipped) {
      by_code[code].count += tally.count;
      by_code[code].examples = tally.examples;
    }
    const bool strict = options_.data.on_bad_row == BadRowPolicy::strict;
    const auto add_refused = [&](const char* code, const char* reason, const Tally& rows) {
      Finding finding = judge(code, rows, report_.rows_read);
      if (strict && by_code.contains(reason)) {
        finding.severity = Severity::error;
        finding.detail += " A run with on_bad_row=strict stops at the first.";
      }
      add(std::move(finding));
    };
    add_refused("identical_pairs", "identical_pair",
                by_code.contains("identical_pair") ? by_code.at("identical_pair") : Tally());
    Tally empty;
    if (by_code.contains("empty_response")) empty = by_code.at("empty_response");
    for (const AuditedRow* row : loaded_.rows)
      if (row->empty_answer) empty.add(row->place);
    add_refused("empty_answers", "empty_response", empty);
    for (const auto& [code, tally] : by_code) {
      if (tally.count == 0 || code == "identical_pair" || code == "empty_response") continue;
      const bool policy =
          code == "too_long" && options_.data.truncation_mode == TruncationMode::drop;
      add(judge_unusable(code, tally, report_.rows_read, strict && !policy, first[code]));
    }
  }

  void tokens() {
    int64_t all = 0;
    Tally unknown, bytes;
    for (const AuditedRow* row : loaded_.rows) {
      all += row->num_tokens();
      if (row->unknown_tokens > 0) unknown.add(row->place);
      if (row->byte_tokens > 0) bytes.add(row->place);
    }
    // Tokens are counted, rows are the places.
    unknown.count = bytes.count = 0;
    for (const AuditedRow* row : loaded_.rows) {
      unknown.count += row->unknown_tokens;
      bytes.count += row->byte_tokens;
    }
    add("unknown_tokens", unknown, all);
    add("byte_tokens", bytes, all);
  }

  void answers() {
    add("near_identical", tally([](const AuditedRow& row) { return row.near_identical; }),
        whole_rows_);
    int64_t by_chosen = 0, by_others = 0;
    std::set<std::string> special, turns;
    for (const AuditedRow* row : loaded_.rows) {
      by_chosen += row->quoted_by_chosen;
      by_others += row->quoted_by_others;
      special.insert(row->anywhere.special.begin(), row->anywhere.special.end());
      turns.insert(row->answers.turns.begin(), row->answers.turns.end());
    }
    Finding quoted = judge("prompt_in_answer", tally([](const AuditedRow& row) {
                             return row.quoted_by_chosen || row.quoted_by_others;
                           }),
                           whole_rows_);
    if (quoted.severity != Severity::ok)
      quoted.detail += " By the chosen answer in " + std::to_string(by_chosen) +
                       " rows, by a rejected one in " + std::to_string(by_others) + ".";
    add(std::move(quoted));
    const auto add_words = [&](const char* code, const std::set<std::string>& words,
                               const Tally& rows) {
      Finding finding = judge(code, rows, whole_rows_);
      std::string list;
      for (const std::string& word : words) list += (list.empty() ? "" : ", ") + json_value(word);
      if (finding.severity != Severity::ok) finding.detail += " Found: " + list + ".";
      add(std::move(finding));
    };
    add_words("turn_marks", turns,
              tally([](const AuditedRow& row) { return !row.answers.turns.empty(); }));
    add_words("special_in_text", special,
              tally([](const AuditedRow& row) { return !row.anywhere.special.empty(); }));
    add("eos_inside", tally([](const AuditedRow& row) { return row.answers.eos_inside; }),
        whole_rows_);
  }

  void repeats() {
    const Repeats repeats = find_repeats(loaded_.rows);
    add("contradictory_labels", repeats.contradictory, whole_rows_);
    add("duplicate_rows", repeats.rows, whole_rows_);
    add("duplicate_prompts", repeats.prompts, whole_rows_);
  }

  void notes() {
    const auto with = [&](std::string_view note) {
      return tally([&](const AuditedRow& row) {
        return std::find(row.notes.begin(), row.notes.end(), note) != row.notes.end();
      });
    };
    for (const char* code : {"not_invertible", "boundary_merge", "double_bos"})
      add(code, with(code), whole_rows_);
    for (const auto& [code, count] : loaded_.data.report.notes) {
      if (covered_note(code)) continue;
      Tally rows = with(code);
      rows.count = count;
      add(other_note(code, rows, report_.rows_read));
    }
    if (report_.dialects.size() > 1) {
      Tally others;
      int64_t all = 0, most = 0;
      for (const auto& [name, count] : report_.dialects) {
        all += count;
        most = std::max(most, count);
      }
      others.count = all - most;
      Finding finding = judge("layouts", others, all);
      finding.detail += " Found: " + counts_text(report_.dialects) + ".";
      add(std::move(finding));
    }
    if (!report_.extra_keys.empty()) {
      Tally rows;
      std::string names;
      for (const auto& [name, count] : report_.extra_keys) {
        rows.count = std::max(rows.count, count);
        names += (names.empty() ? "" : ", ") + json_value(name);
      }
      Finding finding = judge("unread_keys", rows, std::max(whole_rows_, rows.count));
      finding.detail += " Found: " + names + ".";
      add(std::move(finding));
    }
  }

  void evaluation() {
    const LoadedRows eval({options_.eval}, tokenizer_, options_.data);
    std::unordered_set<uint64_t> prompts, rows;
    for (const AuditedRow* row : loaded_.rows) {
      prompts.insert(row->prompt);
      rows.insert(row_key(*row, true));
    }
    Tally same_prompt, same_row;
    for (const AuditedRow* row : eval.rows) {
      if (prompts.contains(row->prompt)) same_prompt.add(row->place);
      if (rows.contains(row_key(*row, true))) same_row.add(row->place);
    }
    const auto total = static_cast<int64_t>(eval.rows.size());
    report_.eval = {eval.data.report.rows_read, total, same_prompt.count, same_row.count};
    add("eval_prompts", same_prompt, total);
    add("eval_rows", same_row, total);
  }

  const Tokenizer& tokenizer_;
  const AuditOptions& options_;
  LoadedRows loaded_;
  int64_t whole_rows_ = 0;  ///< that were encoded, before limits of length
  Truncated planned_;       ///< under the options' own limits
  AuditReport report_;
};

}  // namespace

int64_t AuditReport::rows_skipped() const {
  int64_t sum = 0;
  for (const auto& [code, count] : skipped) sum += count;
  return sum;
}

int64_t AuditReport::count(Severity severity) const {
  return std::count_if(findings.begin(), findings.end(),
                       [&](const Finding& finding) { return finding.severity == severity; });
}

const Finding& AuditReport::finding(std::string_view code) const {
  for (const Finding& finding : findings)
    if (finding.code == code) return finding;
  fail(ErrorKind::internal, "audit", "the report has no finding ", code);
}

void AuditReport::check() const {
  require(rows_read == rows_used + rows_skipped(), ErrorKind::internal, "audit", "rows read ",
          rows_read, " != used ", rows_used, " + skipped ", rows_skipped());
}

AuditReport audit_preferences(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                              const AuditOptions& options) {
  check_options(options.data, "audit");
  require(options.rows_per_update >= 1 && options.epochs > 0 && options.tokens_per_microbatch >= 1,
          ErrorKind::option, "audit",
          "rows_per_update and tokens_per_microbatch must be at least 1, epochs above 0");
  return Audit(paths, tokenizer, options).report();
}

}  // namespace pref::audit
