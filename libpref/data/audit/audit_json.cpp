// SPDX-License-Identifier: Apache-2.0
#include "libpref/base/json_text.h"
#include "libpref/data/audit/audit.h"

namespace pref::audit {
namespace {

template <class Values>
std::string array_of(const Values& values) {
  JsonArray out;
  for (const auto& value : values) out.add(value);
  return out.str();
}

std::string counts_of(const std::map<std::string, int64_t>& counts) {
  JsonObject out;
  for (const auto& [name, count] : counts) out.add(name, count);
  return out.str();
}

std::string finding_json(const Finding& finding) {
  return JsonObject()
      .add("code", finding.code)
      .add("severity", severity_name(finding.severity))
      .add("title", finding.title)
      .add("count", finding.count)
      .add("total", finding.total)
      .add("share", finding.share())
      .add("unit", finding.unit)
      .add("detail", finding.detail)
      .add("advice", finding.advice)
      .add_raw("examples", array_of(finding.examples))
      .str();
}

std::string lengths_json(const LengthSummary& lengths, const Histogram& histogram) {
  return JsonObject()
      .add("count", lengths.count)
      .add("total", lengths.total)
      .add("mean", lengths.mean())
      .add("min", lengths.smallest)
      .add("p5", lengths.p5)
      .add("p50", lengths.p50)
      .add("p95", lengths.p95)
      .add("p99", lengths.p99)
      .add("max", lengths.largest)
      .add_raw("histogram", JsonObject()
                                .add("width", histogram.width)
                                .add_raw("counts", array_of(histogram.counts))
                                .str())
      .str();
}

std::string truncation_json(const TruncationEffect& effect) {
  JsonObject out;
  if (effect.max_length)
    out.add("max_length", *effect.max_length);
  else
    out.add_null("max_length");
  return out.add("rows_used", effect.rows_used)
      .add("rows_cut", effect.rows_cut)
      .add_raw("skipped", counts_of(effect.skipped))
      .add("prompt_tokens_cut", effect.prompt_tokens_cut)
      .add("chosen_tokens_cut", effect.chosen_tokens_cut)
      .add("rejected_tokens_cut", effect.rejected_tokens_cut)
      .add("tokens_kept", effect.tokens_kept)
      .add("answers_without_eos", effect.answers_without_eos)
      .add("longest_row", effect.longest_row)
      .add("longest_sequence", effect.longest_sequence)
      .str();
}

std::string run_json(const RunCost& run) {
  JsonObject memory;
  for (const auto& [part, bytes] : run.memory) memory.add(part, bytes);
  return JsonObject()
      .add("rows_per_update", run.rows_per_update)
      .add("epochs", run.epochs)
      .add("updates_per_epoch", run.updates_per_epoch)
      .add("updates", run.updates)
      .add("tokens_per_epoch", run.tokens_per_epoch)
      .add("tokens_per_update", run.tokens_per_update())
      .add("tokens_per_microbatch", run.tokens_per_microbatch)
      .add_raw("memory_bytes", memory.str())
      .str();
}

}  // namespace

std::string audit_json(const AuditReport& report) {
  JsonArray findings, truncation;
  for (const Finding& finding : report.findings) findings.add_raw(finding_json(finding));
  for (const TruncationEffect& effect : report.truncation)
    truncation.add_raw(truncation_json(effect));
  const LengthBias& bias = report.bias;
  JsonObject out;
  out.add_raw("files", array_of(report.files))
      .add("tokenizer", report.tokenizer)
      .add("chat_format", report.chat_format)
      .add("truncation_mode", report.truncation_mode)
      .add("rows_read", report.rows_read)
      .add("rows_used", report.rows_used)
      .add_raw("skipped", counts_of(report.skipped))
      .add_raw("dialects", counts_of(report.dialects))
      .add_raw("extra_keys", counts_of(report.extra_keys))
      .add_raw("findings", findings.str())
      .add_raw("prompt", lengths_json(report.prompt, report.prompt_histogram))
      .add_raw("chosen", lengths_json(report.chosen, report.chosen_histogram))
      .add_raw("rejected", lengths_json(report.rejected, report.rejected_histogram))
      .add_raw("length_bias", JsonObject()
                                  .add("pairs", bias.pairs())
                                  .add("mean_gap", bias.mean_gap())
                                  .add("mean_gap_error", bias.mean_gap_error())
                                  .add("unequal", bias.unequal())
                                  .add("longer_wins", bias.longer_wins())
                                  .add("longer_wins_share", bias.longer_wins_share())
                                  .add("longer_wins_error", bias.longer_wins_error())
                                  .add("answers", bias.answers())
                                  .add("point_biserial", bias.point_biserial())
                                  .add("point_biserial_error", bias.point_biserial_error())
                                  .str())
      .add_raw("truncation", truncation.str());
  if (report.eval)
    out.add_raw("eval", JsonObject()
                            .add("rows_read", report.eval->rows_read)
                            .add("rows_used", report.eval->rows_used)
                            .add("prompts", report.eval->prompts)
                            .add("rows", report.eval->rows)
                            .str());
  else
    out.add_null("eval");
  return out.add_raw("run", run_json(report.run)).str();
}

}  // namespace pref::audit
