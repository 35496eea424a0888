// SPDX-License-Identifier: Apache-2.0
// Packing and row order.
#include "libpref/data/packing.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "libpref/data/row_order.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::ElementsAre;
using testing::error_of;

std::vector<TokenizedRow> two_rows() {
  TokenizedRow pair{.id = "p",
                    .place = "f:1",
                    .prompt = {1, 10, 11},
                    .branches = {{20, 21}, {30}},
                    .facts = {.weight = 0.5, .margin = 2}};
  TokenizedRow single{.id = "s", .place = "f:2", .prompt = {1}, .branches = {{40, 41, 42}}};
  return {pair, single};
}

TEST(Packing, ValueOfTwoRows) {
  const auto rows = two_rows();
  const PackingPlan plan = pack_rows(rows, std::vector<int64_t>{0, 1});
  EXPECT_THAT(plan.tokens, ElementsAre(1, 10, 11, 20, 21, 30, 1, 40, 41, 42));
  EXPECT_THAT(plan.positions, ElementsAre(0, 1, 2, 3, 4, 3, 0, 1, 2, 3));
  ASSERT_EQ(plan.num_sequences(), 3);
  const auto segment = [&](int i) {
    const Segment& s = plan.segments[static_cast<size_t>(i)];
    return std::vector<int64_t>{s.start,         s.length, s.prefix_start,
                                s.prefix_length, s.row,    s.branch};
  };
  EXPECT_THAT(segment(0), ElementsAre(0, 5, 0, 0, 0, 0));
  EXPECT_THAT(segment(1), ElementsAre(5, 1, 0, 3, 0, 1));
  EXPECT_THAT(segment(2), ElementsAre(6, 4, 6, 0, 1, 0));
  // The prompt's last row (2) serves both first tokens; no label predicts a prompt token.
  EXPECT_THAT(plan.label_row, ElementsAre(2, 3, 2, 6, 7, 8));
  EXPECT_THAT(plan.label_token, ElementsAre(20, 21, 30, 40, 41, 42));
  EXPECT_THAT(plan.sequence_first_label, ElementsAre(0, 2, 3, 6));
  EXPECT_THAT(plan.row_first_sequence, ElementsAre(0, 2, 3));
  EXPECT_THAT(plan.row_weight, ElementsAre(0.5, 1));
  EXPECT_THAT(plan.row_margin, ElementsAre(2, 0));
  EXPECT_THAT(plan.row_label, ElementsAre(0, 0));
  EXPECT_THAT(plan.sequence_score, ElementsAre(0, 0, 0));
  EXPECT_THAT(plan.sequence_win_probability, ElementsAre(-1, -1, -1));
  EXPECT_TRUE(plan.label_mark.empty());
}

TEST(Packing, ValueOfFactsAndMarks) {
  auto rows = two_rows();
  rows[0].facts.scores = {3, 1};
  rows[0].facts.win_probability = {0.75, 0.25};
  rows[1].facts.desirable = false;
  const std::vector<int64_t> both = {0, 1};
  const PackingPlan tails = pack_rows(rows, both, Marks::tail);
  EXPECT_THAT(tails.row_label, ElementsAre(0, -1));
  EXPECT_THAT(tails.sequence_score, ElementsAre(3, 1, 0));
  EXPECT_THAT(tails.sequence_win_probability, ElementsAre(0.75, 0.25, -1));
  EXPECT_THAT(tails.label_mark, ElementsAre(0, 1, 0, 0, 0, 0)) << "beyond the shorter response";
  rows[0].token_rewards = {{1, -1}, {0.5}};
  rows[1].token_rewards = {{0, 2, 0}};
  EXPECT_THAT(pack_rows(rows, both, Marks::token_rewards).label_mark,
              ElementsAre(1, -1, 0.5, 0, 2, 0));
  rows[1].token_rewards = {{0, 2}};
  EXPECT_EQ(error_of([&] { pack_rows(rows, both, Marks::token_rewards); }),
            "[packing] f:2: branch 0 has 3 tokens, which need one token reward each "
            "(\"token_rewards\"), got 2.");
}

TEST(Packing, InvariantOfRowOrder) {
  const auto rows = two_rows();
  const PackingPlan plan = pack_rows(rows, std::vector<int64_t>{1, 0});
  EXPECT_THAT(plan.row_ids, ElementsAre(1, 0));
  EXPECT_THAT(plan.label_token, ElementsAre(40, 41, 42, 20, 21, 30));
  EXPECT_THAT(plan.label_row, ElementsAre(0, 1, 2, 6, 7, 6));
  EXPECT_EQ(pack_rows(rows, {}).num_tokens(), 0);
}

TEST(Packing, RejectsEmptyPartsAndForeignIndices) {
  auto rows = two_rows();
  rows[0].branches[1].clear();
  EXPECT_THAT(error_of([&] { pack_rows(rows, std::vector<int64_t>{0}); }),
              ::testing::HasSubstr("f:1: branch 1"));
  rows[1].prompt.clear();
  EXPECT_THAT(error_of([&] { pack_rows(rows, std::vector<int64_t>{1}); }),
              ::testing::HasSubstr("f:2: the prompt"));
  EXPECT_THAT(error_of([&] { pack_rows(rows, std::vector<int64_t>{2}); }),
              ::testing::HasSubstr("outside [0, 2)"));
}

TEST(Packing, SplitKeepsOrderAndBudget) {
  std::vector<TokenizedRow> rows;
  for (const size_t size : {3, 4, 9, 1, 1})
    rows.push_back({.prompt = {1}, .branches = {std::vector<int32_t>(size - 1 + (size == 1), 7)}});
  // Packed sizes 3, 4, 9, 2, 2.
  const std::vector<int64_t> order{0, 1, 2, 3, 4};
  EXPECT_THAT(split_by_tokens(rows, order, 7),
              ElementsAre(ElementsAre(0, 1), ElementsAre(2), ElementsAre(3, 4)));
  EXPECT_THAT(split_by_tokens(rows, order, 6),
              ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(2), ElementsAre(3, 4)));
  EXPECT_THAT(split_by_tokens(rows, order, 1).size(), 5u);
  EXPECT_TRUE(split_by_tokens(rows, {}, 1).empty());
  EXPECT_NE(error_of([&] { split_by_tokens(rows, order, 0); }), "");
}

TEST(RowOrder, IsAPermutationOfSeedAndEpochAlone) {
  for (const int64_t n : {0, 1, 2, 17, 1000}) {
    auto order = epoch_order(n, 3, 1, true);
    EXPECT_EQ(order, epoch_order(n, 3, 1, true));
    if (n >= 17) {
      EXPECT_NE(order, epoch_order(n, 3, 2, true));
      EXPECT_NE(order, epoch_order(n, 4, 1, true));
    }
    std::vector<int64_t> identity(static_cast<size_t>(n));
    std::iota(identity.begin(), identity.end(), 0);
    EXPECT_EQ(epoch_order(n, 3, 1, false), identity);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, identity);
  }
  EXPECT_NE(error_of([] { epoch_order(-1, 0, 0, true); }), "");
}

}  // namespace
}  // namespace pref
