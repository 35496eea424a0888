// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/audit/audit_text.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "libpref/base/progress.h"
#include "libpref/base/utf8.h"
#include "libpref/data/audit/findings.h"

namespace pref::audit {
namespace {

constexpr size_t kColumns = 96, kIndent = 10;

std::string decimals(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string of_all(int64_t part, int64_t all) {
  return std::to_string(part) + " (" +
         percent(all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all)) + ")";
}

std::string plural(int64_t count, const char* word) {
  return std::to_string(count) + " " + word + (count == 1 ? "" : "s");
}

/// `text` in lines of at most kColumns columns, each behind kIndent spaces.
std::string wrapped(const std::string& text) {
  std::string out, line;
  const auto flush = [&] {
    if (!line.empty()) out += std::string(kIndent, ' ') + line + "\n";
    line.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const size_t space = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, space - at);
    if (!line.empty() && kIndent + display_width(line) + 1 + display_width(word) > kColumns)
      flush();
    line += (line.empty() ? "" : " ") + word;
    at = space + 1;
  }
  flush();
  return out;
}

std::string painted(Severity severity, bool color) {
  std::string word(severity_name(severity));
  std::string pad(kIndent - word.size(), ' ');
  constexpr const char* kAnsi[] = {"32", "36", "33", "1;31"};
  if (color)
    word = std::string("\x1b[") + kAnsi[static_cast<size_t>(severity)] + "m" + word + "\x1b[0m";
  return word + pad;
}

std::string finding_text(const Finding& finding, bool color) {
  std::string out = painted(finding.severity, color) + finding.title + ": " + count_text(finding) +
                    "\n" + wrapped(finding.detail);
  if (!finding.examples.empty()) out += wrapped("at " + places_text(finding));
  return out + wrapped("-> " + finding.advice);
}

/// Bars of the share of each bin; bins are joined until at most 16 are left.
std::string histogram_text(const AuditReport& report) {
  struct Side {
    const char* name;
    const Histogram* bins;
  };
  std::vector<Side> sides;
  for (const Side side :
       {Side{"prompt", &report.prompt_histogram}, Side{"chosen", &report.chosen_histogram},
        Side{"rejected", &report.rejected_histogram}})
    if (std::any_of(side.bins->counts.begin(), side.bins->counts.end(),
                    [](int64_t count) { return count > 0; }))
      sides.push_back(side);
  if (sides.empty()) return "";
  const size_t bins = sides[0].bins->counts.size(), join = (bins - 1 + 14) / 15;
  const int64_t width = sides[0].bins->width;
  std::string out = "Lengths in tokens, share of rows\n";
  Table table{.header = {"tokens"}};
  for (const Side& side : sides) table.header.emplace_back(side.name);
  for (size_t first = 0; first < bins; first += join) {
    const size_t end = std::min(first + join, bins);
    const bool open = end == bins;
    std::vector<std::string> row{open
                                     ? "from " + std::to_string(static_cast<int64_t>(first) * width)
                                     : std::to_string(static_cast<int64_t>(first) * width) + " - " +
                                           std::to_string(static_cast<int64_t>(end) * width - 1)};
    for (const Side& side : sides) {
      int64_t count = 0, all = 0;
      for (size_t i = 0; i < bins; ++i) {
        all += side.bins->counts[i];
        if (i >= first && i < end) count += side.bins->counts[i];
      }
      const double share = static_cast<double>(count) / static_cast<double>(all);
      const std::string number =
          decimals(100 * share, 1);  // padded, so that bars begin in one column
      row.push_back(format_bar(share, 16) + std::string(6 - number.size(), ' ') + number + " %");
    }
    table.rows.push_back(std::move(row));
  }
  return out + aligned(table, 2);
}

}  // namespace

std::string aligned(const Table& table, size_t indent) {
  std::vector<size_t> widths(table.header.size(), 0);
  const auto measure = [&](const std::vector<std::string>& cells) {
    for (size_t i = 0; i < cells.size(); ++i)
      widths[i] = std::max(widths[i], display_width(cells[i]));
  };
  measure(table.header);
  for (const auto& row : table.rows) measure(row);
  std::string out;
  const auto put = [&](const std::vector<std::string>& cells) {
    std::string line(indent, ' ');
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string pad(widths[i] - display_width(cells[i]), ' ');
      line += i == 0 ? cells[i] + pad : "  " + pad + cells[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    if (!line.empty()) out += line + "\n";
  };
  put(table.header);
  for (const auto& row : table.rows) put(row);
  return out;
}

Table length_table(const AuditReport& report) {
  Table out{.title = "Lengths in tokens, before truncation",
            .header = {"", "texts", "mean", "min", "5 %", "50 %", "95 %", "99 %", "max"}};
  const auto add = [&](const char* name, const LengthSummary& lengths) {
    if (lengths.count == 0) return;
    out.rows.push_back({name, std::to_string(lengths.count), decimals(lengths.mean(), 1),
                        std::to_string(lengths.smallest), std::to_string(lengths.p5),
                        std::to_string(lengths.p50), std::to_string(lengths.p95),
                        std::to_string(lengths.p99), std::to_string(lengths.largest)});
  };
  add("prompt", report.prompt);
  add(report.rejected.count > 0 ? "chosen" : "answer", report.chosen);
  add("rejected", report.rejected);
  return out;
}

Table truncation_table(const AuditReport& report) {
  Table out{.title = "What max_length removes (truncation_mode " + report.truncation_mode + ")",
            .header = {"max_length", "rows used", "left out", "cut", "prompt tokens",
                       "chosen tokens", "rejected tokens", "answers without EOS"}};
  std::vector<const TruncationEffect*> effects;
  for (const TruncationEffect& effect : report.truncation) effects.push_back(&effect);
  const auto length = [](const TruncationEffect* effect) {
    return effect->max_length.value_or(std::numeric_limits<int64_t>::max());
  };
  std::sort(effects.begin(), effects.end(),
            [&](const auto* a, const auto* b) { return length(a) < length(b); });
  for (const TruncationEffect* each : effects) {
    const TruncationEffect& effect = *each;
    int64_t skipped = 0;
    for (const auto& [code, count] : effect.skipped) skipped += count;
    const bool own = each == &report.truncation.front();
    out.rows.push_back(
        {(effect.max_length ? std::to_string(*effect.max_length) : "none") + (own ? " *" : ""),
         std::to_string(effect.rows_used), std::to_string(skipped),
         of_all(effect.rows_cut, effect.rows_used + skipped),
         of_all(effect.prompt_tokens_cut, report.prompt.total),
         of_all(effect.chosen_tokens_cut, report.chosen.total),
         of_all(effect.rejected_tokens_cut, report.rejected.total),
         std::to_string(effect.answers_without_eos)});
  }
  return out;
}

Table figure_table(const AuditReport& report) {
  Table out{.title = "Labels, steps and memory", .header = {"", ""}};
  const auto add = [&](std::string name, std::string value) {
    out.rows.push_back({std::move(name), std::move(value)});
  };
  const LengthBias& bias = report.bias;
  const auto with_error = [](double value, double error, int digits) {
    return decimals(value, digits) + " +- " + decimals(error, digits);
  };
  if (bias.pairs() > 0) {
    add("chosen - rejected, tokens", with_error(bias.mean_gap(), bias.mean_gap_error(), 1));
    add("the longer answer is chosen, % of " + std::to_string(bias.unequal()) + " unequal pairs",
        with_error(100 * bias.longer_wins_share(), 100 * bias.longer_wins_error(), 1));
  }
  if (bias.answers() > 0)
    add("correlation of length and label",
        with_error(bias.point_biserial(), bias.point_biserial_error(), 3));
  if (report.eval) {
    add("evaluation rows with a prompt of training",
        of_all(report.eval->prompts, report.eval->rows_used));
    add("evaluation rows that stand in training",
        of_all(report.eval->rows, report.eval->rows_used));
  }
  const RunCost& run = report.run;
  add("updates of " + std::to_string(run.rows_per_update) + " rows, " +
          decimals(run.epochs,
                   run.epochs == static_cast<double>(static_cast<int64_t>(run.epochs)) ? 0 : 2) +
          (run.epochs == 1 ? " epoch" : " epochs"),
      std::to_string(run.updates));
  add("packed tokens an epoch", format_count(static_cast<double>(run.tokens_per_epoch)));
  add("packed tokens an update, mean", decimals(run.tokens_per_update(), 0));
  add("largest microbatch, tokens", std::to_string(run.tokens_per_microbatch));
  for (const auto& [part, bytes] : run.memory)
    add("memory: " + part, decimals(static_cast<double>(bytes) / (1 << 30), 2) + " GiB");
  return out;
}

std::string verdict(const AuditReport& report) {
  std::string out;
  for (const auto& [severity, word] : {std::pair{Severity::error, "error"},
                                       {Severity::warning, "warning"},
                                       {Severity::note, "note"}})
    if (const int64_t count = report.count(severity); count > 0)
      out += (out.empty() ? "" : ", ") + plural(count, word);
  const int64_t good = report.count(Severity::ok);
  return (out.empty() ? "nothing found" : out) + "; " + plural(good, "check") + " found nothing";
}

std::string audit_text(const AuditReport& report, bool color) {
  std::string out;
  for (const std::string& file : report.files) out += (out.empty() ? "" : ", ") + file;
  out += "\n" + std::to_string(report.rows_read) +
         " rows read = " + std::to_string(report.rows_used) + " used + " +
         std::to_string(report.rows_skipped()) + " skipped";
  if (!report.skipped.empty()) out += " (" + counts_text(report.skipped) + ")";
  out += "\ntokenizer: " + report.tokenizer +
         "; chat format: " + (report.chat_format.empty() ? "none" : report.chat_format) +
         "; layout: " + (report.dialects.empty() ? "none" : counts_text(report.dialects)) + "\n" +
         verdict(report) + "\n\n";
  std::string good;
  for (const Finding& finding : report.findings)
    if (finding.severity == Severity::ok)
      good += (good.empty() ? "" : ", ") + finding.title;
    else
      out += finding_text(finding, color) + "\n";
  if (!good.empty()) {
    const std::string list = wrapped(good);
    out += painted(Severity::ok, color) + list.substr(kIndent) + "\n";
  }
  for (const Table& table :
       {length_table(report), truncation_table(report), figure_table(report)}) {
    if (!table.rows.empty()) out += table.title + "\n" + aligned(table, 2) + "\n";
  }
  return out + histogram_text(report);
}

}  // namespace pref::audit
