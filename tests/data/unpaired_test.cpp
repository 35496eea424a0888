// SPDX-License-Identifier: Apache-2.0
// Unpaired feedback from pairs, and mismatched responses beside it.
#include "libpref/data/unpaired.h"

#include <gmock/gmock.h>

#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

PreferenceData rows() {
  PreferenceData data;
  data.rows.push_back({.id = "p", .place = "f:1", .prompt = {1, 2}, .branches = {{3, 4, 5}, {6}}});
  data.rows.push_back({.id = "u",
                       .place = "f:2",
                       .prompt = {1},
                       .branches = {{7, 8}},
                       .facts = {.desirable = false, .weight = 2}});
  return data;
}

TEST(Unpaired, ValueOfPairsAndLabelledRows) {
  const PreferenceData data = unpaired(rows());
  ASSERT_EQ(data.rows.size(), 3u);
  EXPECT_EQ(data.rows[0].id, "p/chosen");
  EXPECT_EQ(data.rows[1].id, "p/rejected");
  EXPECT_THAT(data.rows[1].branches, ElementsAre(ElementsAre(6)));
  EXPECT_THAT(data.rows[1].prompt, ElementsAre(1, 2));
  EXPECT_EQ(data.rows[0].facts.desirable, true);
  EXPECT_EQ(data.rows[1].facts.desirable, false);
  EXPECT_EQ(data.rows[2].facts.weight, 2);
  EXPECT_EQ(data.digest, digest_rows(data.rows));
}

TEST(Unpaired, MismatchedResponsesAreAnotherRows) {
  const PreferenceData data = with_mismatched_responses(unpaired(rows()), 4);
  EXPECT_THAT(data.rows[0].branches[1], ElementsAre(7, 8)) << "the last row's, before the first";
  EXPECT_THAT(data.rows[1].branches[1], ElementsAre(3, 4)) << "cut to 4 tokens with the prompt";
  EXPECT_THAT(data.rows[2].branches[1], ElementsAre(6));
  PreferenceData same = unpaired(rows());
  same.rows[2].branches = same.rows[1].branches;
  EXPECT_THAT(with_mismatched_responses(same, {}).rows[2].branches[1], ElementsAre(3, 4, 5))
      << "an equal response is none";
}

TEST(Unpaired, RejectsRowsWithoutLabelAndOneResponseEverywhere) {
  PreferenceData data = rows();
  data.rows[1].facts.desirable.reset();
  EXPECT_THAT(error_of([&] { unpaired(data); }), HasSubstr("f:2"));
  data = unpaired(rows());
  data.rows.resize(1);
  EXPECT_THAT(error_of([&] { with_mismatched_responses(data, {}); }), HasSubstr("mismatched"));
}

}  // namespace
}  // namespace pref
