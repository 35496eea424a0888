// SPDX-License-Identifier: Apache-2.0
// The truncation planner: worked rows, and its promises over every combination of small lengths.
#include "libpref/data/truncation.h"

#include <gmock/gmock.h>

#include <numeric>
#include <optional>

namespace pref {
namespace {

using ::testing::ElementsAre;

/// Prompt tokens 0 (BOS), 1, 2, ...; branch tokens 100..., 200....
TokenizedRow numbered_row(int prompt, int chosen, int rejected) {
  TokenizedRow row{.prompt = std::vector<int32_t>(static_cast<size_t>(prompt)),
                   .branches = {std::vector<int32_t>(static_cast<size_t>(chosen)),
                                std::vector<int32_t>(static_cast<size_t>(rejected))}};
  std::iota(row.prompt.begin(), row.prompt.end(), 0);
  std::iota(row.branches[0].begin(), row.branches[0].end(), 100);
  std::iota(row.branches[1].begin(), row.branches[1].end(), 200);
  return row;
}

TruncationPlan cut(TokenizedRow& row, const LengthLimits& limits, bool bos = true) {
  const std::vector<int64_t> lengths{static_cast<int64_t>(row.branches[0].size()),
                                     static_cast<int64_t>(row.branches[1].size())};
  const TruncationPlan plan =
      plan_truncation(static_cast<int64_t>(row.prompt.size()), lengths, bos, limits);
  if (plan.usable()) apply_truncation(plan, row);
  return plan;
}

TEST(Truncation, ValueKeepStart) {
  TokenizedRow row = numbered_row(4, 5, 1);
  const auto plan = cut(row, {.max_length = 6, .mode = TruncationMode::keep_start});
  EXPECT_THAT(row.prompt, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(row.branches[0], ElementsAre(100, 101));
  EXPECT_THAT(row.branches[1], ElementsAre(200));
  EXPECT_EQ(plan.response_tokens_cut_right, 3);
  EXPECT_EQ(plan.response_tokens_cut_left + plan.prompt_tokens_cut, 0);
}

TEST(Truncation, ValueKeepEnd) {
  TokenizedRow row = numbered_row(4, 3, 1);
  auto plan = cut(row, {.max_length = 5, .mode = TruncationMode::keep_end});
  EXPECT_THAT(row.prompt,
              ElementsAre(0, 3));  // BOS stays, and the same prompt serves both branches
  EXPECT_THAT(row.branches[0], ElementsAre(100, 101, 102));
  EXPECT_EQ(plan.prompt_tokens_cut, 2);
  row = numbered_row(4, 7, 1);
  plan = cut(row, {.max_length = 5, .mode = TruncationMode::keep_end}, false);
  EXPECT_THAT(row.prompt, ElementsAre(3));  // without BOS the prompt's last token
  EXPECT_THAT(row.branches[0], ElementsAre(103, 104, 105, 106));
  EXPECT_EQ(plan.response_tokens_cut_left, 3);
}

TEST(Truncation, ValuePromptLeft) {
  TokenizedRow row = numbered_row(6, 8, 2);
  const auto plan = cut(row, {.max_length = 5, .mode = TruncationMode::prompt_left});
  EXPECT_THAT(row.prompt, ElementsAre(0));
  EXPECT_THAT(row.branches[0], ElementsAre(100, 101, 102, 103));
  EXPECT_THAT(row.branches[1], ElementsAre(200, 201));
  EXPECT_EQ(plan.prompt_tokens_cut, 5);
  EXPECT_EQ(plan.response_tokens_cut_right, 4);
}

TEST(Truncation, ValuePartLimits) {
  TokenizedRow row = numbered_row(6, 8, 2);
  cut(row, {.max_prompt_length = 3, .max_completion_length = 4});
  EXPECT_THAT(row.prompt, ElementsAre(0, 4, 5));
  EXPECT_THAT(row.branches[0], ElementsAre(100, 101, 102, 103));
  EXPECT_THAT(row.branches[1], ElementsAre(200, 201));
}

TEST(Truncation, ReasonsOfRefusal) {
  TokenizedRow row = numbered_row(5, 2, 2);
  auto plan = cut(row, {.max_length = 5});
  EXPECT_EQ(plan.reason, "no_response_tokens");
  EXPECT_THAT(plan.explanation, ::testing::AllOf(::testing::HasSubstr("5 tokens"),
                                                 ::testing::HasSubstr("max_length is 5")));
  for (const TruncationMode mode : {TruncationMode::drop, TruncationMode::error}) {
    EXPECT_EQ(cut(row, {.max_length = 6, .mode = mode}).reason, "too_long");
    EXPECT_EQ(cut(row, {.max_prompt_length = 4, .mode = mode}).reason, "too_long");
    EXPECT_EQ(cut(row, {.max_completion_length = 1, .mode = mode}).reason, "too_long");
    EXPECT_EQ(cut(row, {.max_length = 7, .mode = mode}).reason, "");
  }
}

/// Every combination of lengths and limits in 0..12 (absent limits too), every mode, with and
/// without BOS.
TEST(Truncation, InvariantOverAllSmallLengths) {
  constexpr int kMax = 12;
  const auto limit = [](int n) { return n > kMax ? std::nullopt : std::optional<int64_t>(n); };
  int64_t used = 0, refused = 0;
  std::string broken;  // one assertion at the end: millions of them would take seconds
  for (const auto mode : {TruncationMode::keep_start, TruncationMode::keep_end,
                          TruncationMode::prompt_left, TruncationMode::drop, TruncationMode::error})
    for (int p = 0; p <= kMax; ++p)
      for (int c = 0; c <= kMax; ++c)
        for (int r = 0; r <= kMax; ++r)
          for (int ml = 0; ml <= kMax + 1; ++ml)
            for (int mp = 0; mp <= kMax + 1; ++mp)
              for (const int mc : {0, 1, 5, kMax, kMax + 1}) {
                const LengthLimits limits{limit(ml), limit(mp), limit(mc), mode};
                const bool bos = (p + c) % 2 == 0;
                const std::array<int64_t, 2> lengths{c, r};
                const auto plan = plan_truncation(p, lengths, bos, limits);
                if (!plan.usable()) {
                  ++refused;
                  if (plan.explanation.empty()) broken = "a refusal without explanation";
                  continue;
                }
                ++used;
                const int64_t prompt = plan.prompt_head + plan.prompt_tail;
                bool good = prompt >= 1 && prompt + plan.prompt_tokens_cut == p &&
                            plan.prompt_tail >= 0 &&
                            plan.prompt_head == (bos && plan.prompt_tokens_cut > 0) &&
                            prompt <= limits.max_prompt_length.value_or(99);
                int64_t right = 0, left = 0;
                bool any_full = false;
                for (int b = 0; b < 2; ++b) {
                  const auto range = plan.branches[static_cast<size_t>(b)];
                  const int64_t kept = range.last - range.first;
                  good = good && kept >= 1 && range.first >= 0 &&
                         range.last <= lengths[static_cast<size_t>(b)] &&
                         kept + prompt <= limits.max_length.value_or(99) &&
                         kept <= limits.max_completion_length.value_or(99);
                  left += range.first;
                  right += lengths[static_cast<size_t>(b)] - range.last;
                  any_full = any_full || kept + prompt == limits.max_length.value_or(99);
                }
                good = good && left == plan.response_tokens_cut_left &&
                       right == plan.response_tokens_cut_right;
                const bool cut_anything = left + right + plan.prompt_tokens_cut > 0;
                const bool fits = std::max(c, r) + p <= limits.max_length.value_or(99) &&
                                  p <= limits.max_prompt_length.value_or(99) &&
                                  std::max(c, r) <= limits.max_completion_length.value_or(99);
                good = good && cut_anything != fits;
                // Nothing is cut beyond need: a cut that no part limit asked for leaves the longest
                // branch at max_length.
                if (cut_anything && !limits.max_prompt_length && !limits.max_completion_length)
                  good = good && any_full;
                if (mode != TruncationMode::keep_end) good = good && left == 0;
                if (!good)
                  broken = "p " + std::to_string(p) + " c " + std::to_string(c) + " r " +
                           std::to_string(r) + " ml " + std::to_string(ml) + " mp " +
                           std::to_string(mp) + " mc " + std::to_string(mc) + " mode " +
                           std::to_string(static_cast<int>(mode));
              }
  EXPECT_EQ(broken, "");
  EXPECT_GT(used, 200'000);
  EXPECT_GT(refused, 200'000);
}

/// A row that has room for one prompt and one response token is never refused by a mode that may
/// cut the prompt.
TEST(Truncation, InvariantUsableWhenThereIsRoom) {
  for (const auto mode : {TruncationMode::keep_end, TruncationMode::prompt_left})
    for (int p = 1; p <= 12; ++p)
      for (int c = 1; c <= 12; ++c)
        for (int ml = 2; ml <= 12; ++ml)
          EXPECT_TRUE(
              plan_truncation(p, std::array<int64_t, 1>{c}, true, {.max_length = ml, .mode = mode})
                  .usable());
}

}  // namespace
}  // namespace pref
