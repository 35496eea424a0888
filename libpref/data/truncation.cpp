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
                               bool starts_with_bos, const LengthLimits& limits,
                               int64_t reference_length) {
  const int64_t max_length = limits.max_length.value_or(kUnbounded);
  const int64_t max_prompt = limits.max_prompt_length.value_or(kUnbounded);
  const int64_t max_completion = limits.max_completion_length.value_or(kUnbounded);
  if (prompt_length < 1) return refused("empty_prompt", "the prompt has no token");
  const bool alone = branch_lengths.empty();
  const auto [shortest, longest] =
      alone ? std::pair<int64_t, int64_t>(1, 1)
            : std::pair(*std::min_element(branch_lengths.begin(), branch_lengths.end()),
                        *std::max_element(branch_lengths.begin(), branch_lengths.end()));
  if (shortest < 1) return refused("empty_response", "a response has no token");

  const int64_t longer_prompt = std::max(prompt_length, reference_length);
  const char* whose = reference_length > prompt_length ? "the reference prompt" : "the prompt";
  if (limits.mode == TruncationMode::drop || limits.mode == TruncationMode::error) {
    if (longer_prompt > max_prompt)
      return refused("too_long", join(whose, " has ", longer_prompt,
                                      " tokens, max_prompt_length is ", max_prompt));
    if (longest > max_completion)
      return refused("too_long", join("the longest response has ", longest,
                                      " tokens, max_completion_length is ", max_completion));
    if (longest > max_length - longer_prompt)
      return refused("too_long", join("prompt and longest response have ", longer_prompt, " + ",
                                      longest, " tokens, max_length is ", max_length));
  }
  if (max_prompt < 1) return refused("empty_prompt", "max_prompt_length leaves no prompt token");
  if (max_completion < 1)
    return refused("no_response_tokens", "max_completion_length leaves no response token");
  if (max_length < 2)
    return refused("no_response_tokens",
                   join("max_length ", max_length, " has no room for a prompt and a response"));

  const bool cut_prompt =
      limits.mode == TruncationMode::keep_end || limits.mode == TruncationMode::prompt_left;
  const int64_t longest_kept = std::min(longest, max_completion);
  const auto kept_prompt = [&](int64_t length) {
    const int64_t kept = std::min(length, max_prompt);
    return cut_prompt ? std::max<int64_t>(1, std::min(kept, max_length - longest_kept)) : kept;
  };
  const int64_t prompt = kept_prompt(prompt_length);
  const int64_t reference = reference_length > 0 ? kept_prompt(reference_length) : 0;
  const int64_t room = max_length - std::max(prompt, reference);  // of a branch
  if (room < 1)
    return refused("no_response_tokens",
                   join(whose, " has ", std::max(prompt, reference), " tokens and max_length is ",
                        max_length, ": no response token is left"));

  TruncationPlan plan;
  plan.prompt_tokens_cut = prompt_length - prompt;
  plan.prompt_head = starts_with_bos && plan.prompt_tokens_cut > 0 ? 1 : 0;
  plan.prompt_tail = prompt - plan.prompt_head;
  plan.reference_tokens_cut = reference_length - reference;
  plan.reference_head = starts_with_bos && plan.reference_tokens_cut > 0 ? 1 : 0;
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
  const auto cut_prompt = [](std::vector<int32_t>& ids, int64_t head, int64_t cut) {
    if (cut > 0) ids.erase(ids.begin() + head, ids.begin() + head + cut);
  };
  cut_prompt(row.prompt, plan.prompt_head, plan.prompt_tokens_cut);
  cut_prompt(row.reference_prompt, plan.reference_head, plan.reference_tokens_cut);
  for (size_t b = 0; b < row.branches.size(); ++b) {
    const TruncationPlan::Range range = plan.branches[b];
    const auto cut = [&](auto& values) {
      values.erase(values.begin() + range.last, values.end());
      values.erase(values.begin(), values.begin() + range.first);
    };
    cut(row.branches[b]);
    if (!row.token_rewards.empty()) cut(row.token_rewards[b]);
  }
}

}  // namespace pref
