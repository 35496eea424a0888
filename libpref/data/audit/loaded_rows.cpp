// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/audit/loaded_rows.h"

#include <algorithm>
#include <span>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"

namespace pref::audit {
namespace {

uint64_t combine(std::initializer_list<uint64_t> parts) {
  return fast_hash(parts.begin(), parts.size() * sizeof(uint64_t));
}

/// File, line and column (rows of an array may share a line) of a place, for sorting.
std::tuple<ptrdiff_t, int64_t, int64_t> order_of(const std::string& place,
                                                 const std::vector<std::string>& files) {
  const auto file = std::find_if(files.begin(), files.end(), [&](const std::string& name) {
    return place.starts_with(name + ":");
  });
  if (file == files.end()) return {file - files.begin(), 0, 0};
  char* end = nullptr;
  const int64_t line = std::strtoll(place.c_str() + file->size() + 1, &end, 10);
  return {file - files.begin(), line, *end == ':' ? std::strtoll(end + 1, nullptr, 10) : 0};
}

}  // namespace

void refuse_mixtures(const DataReport& report, const char* where) {
  require(report.rows_repeated == 0 && !report.skipped.contains("not_sampled"), ErrorKind::option,
          where, "whole data sets are looked at; leave out the fractions (\"=0.5\") of a mixture.");
}

LoadedRows::LoadedRows(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                       DataOptions options)
    : auditor(tokenizer) {
  options.max_length = options.max_prompt_length = options.max_completion_length = std::nullopt;
  options.truncation_mode = TruncationMode::keep_start;
  options.on_bad_row = BadRowPolicy::skip;
  options.rejects_folder.clear();
  options.watcher = &auditor;
  data = load_preferences(paths, tokenizer, options);
  refuse_mixtures(data.report, "audit");

  std::unordered_map<std::string_view, const AuditedRow*> by_place;
  for (const AuditedRow& row : auditor.rows()) by_place[row.place] = &row;
  for (const TokenizedRow& row : data.rows) {
    const auto found = by_place.find(row.place);
    require(found != by_place.end(), ErrorKind::internal, "audit", row.place,
            ": the row was not seen on its way");
    rows.push_back(found->second);
  }
  unusable = auditor.refused();
  if (data.report.skipped.contains("mixed_rows")) {  // judged after the watcher saw them
    const std::unordered_set<const AuditedRow*> used(rows.begin(), rows.end());
    for (const AuditedRow& row : auditor.rows())
      if (!used.contains(&row)) unusable.push_back({row.place, "mixed_rows", ""});
  }
  std::sort(unusable.begin(), unusable.end(), [&](const UnusableRow& a, const UnusableRow& b) {
    return order_of(a.place, data.report.files) < order_of(b.place, data.report.files);
  });
}

Truncated truncate(const LoadedRows& loaded, const LengthLimits& limits,
                   std::optional<int64_t> max_positions) {
  Truncated out{.effect = {.max_length = limits.max_length}};
  TruncationEffect& effect = out.effect;
  for (size_t i = 0; i < loaded.rows.size(); ++i) {
    const AuditedRow& row = *loaded.rows[i];
    const TruncationPlan plan =
        plan_truncation(row.prompt_tokens, row.branch_tokens, row.starts_with_bos, limits,
                        row.reference_prompt_tokens);
    if (!plan.usable()) {
      out.skipped[plan.reason].add(row.place);
      continue;
    }
    const bool cut =
        plan.prompt_tokens_cut + plan.response_tokens_cut_left + plan.response_tokens_cut_right > 0;
    const auto kept = [&](size_t b) {
      const TruncationPlan::Range& range = plan.branches[b];
      return std::span(loaded.data.rows[i].branches[b])
          .subspan(static_cast<size_t>(range.first), static_cast<size_t>(range.last - range.first));
    };
    if (cut && plan.branches.size() >= 2 && std::ranges::equal(kept(0), kept(1))) {
      out.identical.add(row.place);
      continue;
    }
    ++effect.rows_used;
    if (cut) out.cut.add(row.place);
    const int64_t prompt = row.prompt_tokens - plan.prompt_tokens_cut;
    int64_t tokens = prompt, longest = 0;
    effect.prompt_tokens_cut += plan.prompt_tokens_cut;
    for (size_t b = 0; b < plan.branches.size(); ++b) {
      const auto length = static_cast<int64_t>(kept(b).size());
      tokens += length;
      longest = std::max(longest, length);
      (b == 0 ? effect.chosen_tokens_cut : effect.rejected_tokens_cut) +=
          row.branch_tokens[b] - length;
      const bool eos_lost = row.ends_with_eos[b] && plan.branches[b].last < row.branch_tokens[b];
      effect.answers_without_eos += eos_lost;
      ++out.answers;
      if (eos_lost || !row.ends_with_eos[b]) out.no_eos.add(row.place);
    }
    effect.tokens_kept += tokens;
    effect.longest_row = std::max(effect.longest_row, tokens);
    effect.longest_sequence = std::max(effect.longest_sequence, prompt + longest);
    if (max_positions && prompt + longest > *max_positions) out.beyond_model.add(row.place);
  }
  effect.rows_cut = out.cut.count;
  for (const auto& [code, tally] : out.skipped) effect.skipped[code] = tally.count;
  if (out.identical.count > 0) effect.skipped["identical_pair"] += out.identical.count;
  return out;
}

Repeats find_repeats(const std::vector<const AuditedRow*>& rows) {
  Repeats out;
  std::unordered_set<uint64_t> prompts, whole;
  std::unordered_map<uint64_t, int> directions;  // 1: first answer below the second, 2: above
  const auto each_pair = [&](const AuditedRow& row, const auto& visit) {
    for (size_t b = 1; b < row.branches.size(); ++b) {
      const uint64_t chosen = row.branches[0], other = row.branches[b];
      if (chosen != other)
        visit(combine({row.prompt, std::min(chosen, other), std::max(chosen, other)}),
              chosen < other ? 1 : 2);
    }
  };
  for (const AuditedRow* row : rows) {
    if (!prompts.insert(row->prompt).second) out.prompts.add(row->place);
    if (!whole.insert(row_key(*row, false)).second) out.rows.add(row->place);
    each_pair(*row, [&](uint64_t key, int direction) { directions[key] |= direction; });
  }
  for (const AuditedRow* row : rows) {
    bool both = false;
    each_pair(*row, [&](uint64_t key, int) { both = both || directions.at(key) == 3; });
    if (both) out.contradictory.add(row->place);
  }
  return out;
}

uint64_t row_key(const AuditedRow& row, bool sorted) {
  std::vector<uint64_t> parts = row.branches;
  if (sorted) std::sort(parts.begin(), parts.end());
  parts.push_back(row.prompt);
  return fast_hash(parts.data(), parts.size() * sizeof parts[0]);
}

}  // namespace pref::audit
