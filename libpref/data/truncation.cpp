// SPDX-License-Identifier: Apache-2.0
// See truncation.h. All arithmetic is signed: a limit below a length never wraps.
#include "libpref/data/truncation.h"

#include <algorithm>
#include <limits>
#include <sstream>

namespace pref {
namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max() / 4;

TruncationPlan refused(std::string reason, const std::string& explanation) {
  TruncationPlan plan;
  plan.reason = std::move(reason);
  plan.explanation = explanation;
  return plan;
}

template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

}  // namespace

TruncationPlan plan_truncation(int64_t prompt_length, std::span<const int64_t> branch_lengths,
                               bool starts_with_bos, const LengthLimits& limits) {
  const int64_t max_length = limits.max_length.value_or(kUnbounded);
  const int64_t max_prompt = limits.max_prompt_length.value_or(kUnbounded);
  const int64_t max_completion = limits.max_completion_length.value_or(kUnbounded);
  if (prompt_length < 1) return refused("empty_prompt", "the prompt has no token");
  if (branch_lengths.empty()) return refused("empty_response", "the row has no response");
  const auto [shortest, longest] =
      std::minmax_element(branch_lengths.begin(), branch_lengths.end());
  if (*shortest < 1) return refused("empty_response", "a response has no token");

  if (limits.mode == TruncationMode::drop || limits.mode == TruncationMode::error) {
    if (prompt_length > max_prompt)
      return refused("too_long", join("the prompt has ", prompt_length,
                                      " tokens, max_prompt_length is ", max_prompt));
    if (*longest > max_completion)
      return refused("too_long", join("the longest response has ", *longest,
                                      " tokens, max_completion_length is ", max_completion));
    if (*longest > max_length - prompt_length)
      return refused("too_long", join("prompt and longest response have ", prompt_length, " + ",
                                      *longest, " tokens, max_length is ", max_length));
  }
  if (max_prompt < 1) return refused("empty_prompt", "max_prompt_length leaves no prompt token");
  if (max_completion < 1)
    return refused("no_response_tokens", "max_completion_length leaves no response token");
  if (max_length < 2)
    return refused("no_response_tokens",
                   join("max_length ", max_length, " has no room for a prompt and a response"));

  int64_t prompt = std::min(prompt_length, max_prompt);
  const int64_t longest_kept = std::min(*longest, max_completion);
  const bool cut_prompt =
      limits.mode == TruncationMode::keep_end || limits.mode == TruncationMode::prompt_left;
  if (cut_prompt) prompt = std::max<int64_t>(1, std::min(prompt, max_length - longest_kept));
  const int64_t room = max_length - prompt;  // of a branch
  if (room < 1)
    return refused("no_response_tokens",
                   join("the prompt has ", prompt, " tokens and max_length is ", max_length,
                        ": no response token is left"));

  TruncationPlan plan;
  plan.prompt_tokens_cut = prompt_length - prompt;
  plan.prompt_head = starts_with_bos && plan.prompt_tokens_cut > 0 ? 1 : 0;
  plan.prompt_tail = prompt - plan.prompt_head;
  for (const int64_t length : branch_lengths) {
    TruncationPlan::Range range{0, std::min(length, max_completion)};
    const int64_t excess = range.last - room;
    if (excess > 0 && limits.mode == TruncationMode::keep_end) range.first += excess;
    if (excess > 0 && limits.mode != TruncationMode::keep_end) range.last -= excess;
    plan.response_tokens_cut_left += range.first;
    plan.response_tokens_cut_right += length - range.last;
    plan.branches.push_back(range);
  }
  return plan;
}

void apply_truncation(const TruncationPlan& plan, TokenizedRow& row) {
  if (plan.prompt_tokens_cut > 0)
    row.prompt.erase(row.prompt.begin() + plan.prompt_head,
                     row.prompt.begin() + plan.prompt_head + plan.prompt_tokens_cut);
  for (size_t b = 0; b < row.branches.size(); ++b) {
    std::vector<int32_t>& branch = row.branches[b];
    const TruncationPlan::Range range = plan.branches[b];
    branch.erase(branch.begin() + range.last, branch.end());
    branch.erase(branch.begin(), branch.begin() + range.first);
  }
}

}  // namespace pref
