// SPDX-License-Identifier: Apache-2.0
// One planner that fits a prompt and its branches into length limits. Every branch sees the same
// prompt, a row that is
// used keeps at least one prompt token and one token per branch, and every cut is counted.
//
// Order: the prompt is cut to its last max_prompt_length tokens and every branch to its first
// max_completion_length
// ones; then, where prompt + longest branch exceeds max_length, by mode:
//   keep_start   branches lose their right end (as TRL 1.x cuts prompt + completion)
//   keep_end     the prompt loses its left end, down to one token; a branch that still does not fit
//                loses its left end
//   prompt_left  the prompt loses its left end, down to one token; a branch that still does not fit
//                loses its right end
//   drop, error  a row over any of the three limits is not used
// A leading BOS survives every cut of a prompt. Limits count BOS and EOS. A reference prompt of its
// own obeys the same limits with the same branches. A row without branches (a prompt alone) keeps
// room for one token of a response.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/data/rows.h"

namespace pref {

enum class TruncationMode { keep_start, keep_end, prompt_left, drop, error };
constexpr std::array<EnumName<TruncationMode>, 5> enum_names(TruncationMode) {
  return {{{TruncationMode::keep_start, "keep_start"},
           {TruncationMode::keep_end, "keep_end"},
           {TruncationMode::prompt_left, "prompt_left"},
           {TruncationMode::drop, "drop"},
           {TruncationMode::error, "error"}}};
}

/// Tokens; an empty limit does not bind.
struct LengthLimits {
  std::optional<int64_t> max_length, max_prompt_length, max_completion_length;
  TruncationMode mode = TruncationMode::keep_start;
};

/// What of the row stays. `reason` is empty for a usable row, else a code: no_response_tokens (no
/// room for a response), empty_prompt, empty_response, too_long (modes drop and error);
/// `explanation` gives the lengths.
struct TruncationPlan {
  std::string reason, explanation;
  int64_t prompt_head =
      0;  ///< leading tokens kept before the cut: 1 for a BOS whose successors are cut, else 0
  int64_t prompt_tail = 0;  ///< trailing tokens kept
  struct Range {
    int64_t first = 0, last = 0;  ///< [first, last) of the branch
  };
  std::vector<Range> branches;
  int64_t prompt_tokens_cut = 0;
  int64_t reference_head = 0, reference_tokens_cut = 0;  ///< the same of the reference's own prompt
  int64_t response_tokens_cut_left = 0, response_tokens_cut_right = 0;
  bool usable() const { return reason.empty(); }
};

/// Lengths in tokens; `starts_with_bos` says that the prompts' first token is BOS;
/// `reference_length` is that of the reference's own prompt, 0 without one.
TruncationPlan plan_truncation(int64_t prompt_length, std::span<const int64_t> branch_lengths,
                               bool starts_with_bos, const LengthLimits& limits,
                               int64_t reference_length = 0);

/// Cuts `row` in place, token rewards with their tokens; the plan must be usable and made for it.
void apply_truncation(const TruncationPlan& plan, TokenizedRow& row);

}  // namespace pref
