// SPDX-License-Identifier: Apache-2.0
#include "libpref/cli/audit_html.h"

#include <algorithm>
#include <utility>

#include "libpref/data/audit/audit_text.h"
#include "libpref/data/audit/findings.h"

namespace pref::cli {
namespace {

using audit::Finding;
using audit::Histogram;
using audit::Severity;

ReportTable table_of(audit::Table table) {
  return {std::move(table.title), std::move(table.header), std::move(table.rows)};
}

ReportTable findings_table(const audit::AuditReport& report) {
  ReportTable out{.title = "Findings",
                  .header = {"severity", "what", "how many", "meaning", "what to do", "places"}};
  for (const Finding& finding : report.findings)
    if (finding.severity != Severity::ok)
      out.rows.push_back({std::string(audit::severity_name(finding.severity)), finding.title,
                          audit::count_text(finding), finding.detail, finding.advice,
                          audit::places_text(finding)});
  return out;
}

/// The outline of the bars: share of the texts in each bin. The last bin is open and left out.
ReportSeries outline(const std::string& name, const Histogram& bins) {
  ReportSeries out{.name = name};
  int64_t all = 0;
  for (const int64_t count : bins.counts) all += count;
  if (all == 0) return out;
  for (size_t i = 0; i + 1 < bins.counts.size(); ++i) {
    const double share = static_cast<double>(bins.counts[i]) / static_cast<double>(all);
    out.points.emplace_back(static_cast<double>(static_cast<int64_t>(i) * bins.width), share);
    out.points.emplace_back(static_cast<double>(static_cast<int64_t>(i + 1) * bins.width), share);
  }
  return out;
}

}  // namespace

ReportData audit_page(const audit::AuditReport& report, const std::string& title) {
  ReportData page{.title = "Audit of " + title, .subtitle = audit::verdict(report)};
  const auto add = [&](const char* name, std::string value) {
    page.summary.emplace_back(name, std::move(value));
  };
  add("rows read", std::to_string(report.rows_read));
  add("rows used", std::to_string(report.rows_used));
  add("rows skipped", std::to_string(report.rows_skipped()));
  for (const auto& [code, count] : report.skipped)
    add(("  " + code).c_str(), std::to_string(count));
  add("tokenizer", report.tokenizer);
  add("chat format", report.chat_format.empty() ? "none" : report.chat_format);
  std::string good;
  for (const Finding& finding : report.findings)
    if (finding.severity == Severity::ok) good += (good.empty() ? "" : ", ") + finding.title;
  add("checks that found nothing", good);
  page.tables = {findings_table(report), table_of(audit::length_table(report)),
                 table_of(audit::truncation_table(report)), table_of(audit::figure_table(report))};

  page.charts_title = "Plots";
  ReportChart lengths{
      .title = "Lengths before truncation", .y_label = "share of texts", .x_label = "tokens"};
  for (const auto& [name, bins] : {std::pair{"prompt", &report.prompt_histogram},
                                   {"chosen", &report.chosen_histogram},
                                   {"rejected", &report.rejected_histogram}})
    if (ReportSeries series = outline(name, *bins); !series.points.empty())
      lengths.series.push_back(std::move(series));
  page.charts.push_back(std::move(lengths));

  ReportChart cut{.title = "What max_length removes",
                  .y_label = "share of tokens",
                  .x_label = "max_length, tokens"};
  ReportSeries prompt{.name = "prompt"}, chosen{.name = "chosen"}, rejected{.name = "rejected"};
  std::vector<audit::TruncationEffect> effects = report.truncation;
  std::sort(effects.begin(), effects.end(),
            [](const auto& a, const auto& b) { return a.max_length < b.max_length; });
  const auto share = [](int64_t part, int64_t all) {
    return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
  };
  for (const audit::TruncationEffect& effect : effects) {
    if (!effect.max_length) continue;
    const auto at = static_cast<double>(*effect.max_length);
    prompt.points.emplace_back(at, share(effect.prompt_tokens_cut, report.prompt.total));
    chosen.points.emplace_back(at, share(effect.chosen_tokens_cut, report.chosen.total));
    rejected.points.emplace_back(at, share(effect.rejected_tokens_cut, report.rejected.total));
  }
  cut.series = {prompt, chosen};
  if (report.rejected.count > 0) cut.series.push_back(rejected);
  page.charts.push_back(std::move(cut));
  return page;
}

}  // namespace pref::cli
