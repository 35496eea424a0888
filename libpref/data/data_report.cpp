// SPDX-License-Identifier: Apache-2.0
// See data_report.h.
#include "libpref/data/data_report.h"

#include <sstream>

#include "libpref/base/error.h"
#include "libpref/base/progress.h"

namespace pref {
namespace {

std::string counts(const std::map<std::string, int64_t>& map) {
  std::string out;
  for (const auto& [name, count] : map)
    out += (out.empty() ? "" : ", ") + name + " " + std::to_string(count);
  return out;
}

}  // namespace

int64_t DataReport::rows_skipped() const {
  int64_t sum = 0;
  for (const auto& [code, count] : skipped) sum += count;
  return sum;
}

void DataReport::check() const {
  require(rows_read + rows_repeated == rows_used + rows_skipped(), ErrorKind::internal, "data",
          "rows read ", rows_read, " + repeated ", rows_repeated, " != used ", rows_used,
          " + skipped ", rows_skipped());
}

std::string DataReport::summary() const {
  std::ostringstream out;
  out << rows_read << " rows read, " << rows_used << " used";
  if (!skipped.empty()) out << "; skipped: " << counts(skipped);
  if (!rejects_path.empty()) out << " (listed in " << rejects_path << ")";
  if (rows_repeated > 0) out << "; " << rows_repeated << " of the uses are repeats";
  for (const MixtureCount& entry : mixture)
    out << "\nmixture: " << entry.name << " at " << entry.fraction << ": " << entry.rows_used
        << " of " << entry.rows_read << " rows";
  out << "\nlayout: " << counts(dialects)
      << "; chat format: " << (chat_format.empty() ? "none" : chat_format)
      << "; tokenizer: " << tokenizer;
  out << "\ntokens: " << format_count(static_cast<double>(prompt_tokens)) << " in prompts, "
      << format_count(static_cast<double>(response_tokens)) << " in responses; longest sequence "
      << longest_sequence;
  if (truncation.prompts + truncation.responses > 0)
    out << "\ntruncated: " << truncation.prompts << " prompts (" << truncation.prompt_tokens
        << " tokens, left), " << truncation.responses << " rows' responses ("
        << truncation.response_tokens_left << " tokens left, " << truncation.response_tokens_right
        << " right)";
  if (truncation.reference_prompt_tokens > 0)
    out << "\ntruncated: " << truncation.reference_prompt_tokens
        << " tokens of reference prompts, left";
  if (seam_tokens_moved > 0)
    out << "\nseam: " << seam_tokens_moved << " tokens moved from prompts to responses";
  if (!notes.empty()) out << "\nnotes: " << counts(notes);
  if (!extra_keys.empty()) out << "\nkeys that are not read: " << counts(extra_keys);
  return out.str();
}

}  // namespace pref
