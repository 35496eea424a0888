// SPDX-License-Identifier: Apache-2.0
// The objective applied to rows: values from sequence statistics, group by group, and what is
// refused.
#include "libpref/ops/row_losses.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/ops/head_test_util.h"

namespace pref {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // pref::testing

// Three rows of 2, 3 and 2 branches; the statistics of 7 sequences.
struct RowsCase {
  std::vector<int64_t> row, token, sequences = {0}, rows = {0, 2, 5, 7};
  SequenceStatistics statistics = no_statistics(7);
  std::vector<double> ref, weight, margin;
  Labels labels() const { return {row, token, sequences, rows}; }
  RowInputs inputs() const { return {.ref_logp = ref, .weight = weight, .margin = margin}; }
};

RowsCase rows_case(Random& random) {
  RowsCase out;
  for (size_t s = 0; s < 7; ++s) {
    const int64_t n = random.integer(1, 9);
    out.row.insert(out.row.end(), static_cast<size_t>(n), 0);
    out.token.insert(out.token.end(), static_cast<size_t>(n), 0);
    out.sequences.push_back(out.sequences.back() + n);
    out.statistics.num_tokens[s] = static_cast<double>(n);
    out.statistics.logp[s] = -random.uniform(1, 20);
    out.ref.push_back(-random.uniform(1, 20));
  }
  for (int r = 0; r < 3; ++r) {
    out.weight.push_back(random.uniform(0.2, 2));
    out.margin.push_back(random.uniform(-1, 1));
  }
  return out;
}

// Slopes with memory of their own.
struct Slopes {
  std::vector<double> logp, marked, unlikely;
  explicit Slopes(double value = 0) : logp(7, value), marked(7, value), unlikely(7, value) {}
  operator SequenceSlopes() { return {logp, marked, unlikely}; }  // NOLINT: as spans convert
};

TEST(RowLossesTest, Value) {
  Random random;
  const RowsCase c = rows_case(random);
  const Objective objective({{DPO{.beta = 0.3}, 1}, {SFT{}, 0.5}});
  const Normalizers normalizers{3, 40};
  RowLosses losses(objective, normalizers, c.labels(), c.inputs());
  Slopes slopes(99);
  losses(c.statistics, 0, 3, slopes);
  const std::vector<double>& d_logp = slopes.logp;
  double sum = 0;
  for (size_t r = 0; r < 3; ++r) {
    const auto w = static_cast<size_t>(c.rows[r]);
    const auto h = [&](size_t s) { return c.statistics.logp[s] - c.ref[s]; };
    const double u = 0.3 * (h(w) - h(w + 1)) - c.margin[r], slope = -0.3 / (1 + std::exp(u)) / 3;
    const double loss =
        c.weight[r] * (std::log1p(std::exp(-u)) / 3 - 0.5 * c.statistics.logp[w] / 40);
    EXPECT_NEAR(losses.row_loss()[r], loss, 1e-14);
    EXPECT_NEAR(d_logp[w], c.weight[r] * (slope - 0.5 / 40), 1e-15);
    EXPECT_NEAR(d_logp[w + 1], -c.weight[r] * slope, 1e-15);
    for (int64_t s = c.rows[r]; s < c.rows[r + 1]; ++s)
      EXPECT_DOUBLE_EQ(losses.rewards()[s], 0.3 * h(static_cast<size_t>(s)));
    sum += loss;
  }
  EXPECT_EQ(d_logp[4], 0) << "the third branch of row 1";
  EXPECT_NEAR(losses.loss(), sum, 1e-14);
}

TEST(RowLossesTest, InvariantToGroups) {
  Random random;
  const RowsCase c = rows_case(random);
  const Objective objective{DPO{}};
  Slopes whole, parts;
  RowLosses all(objective, {3, 40}, c.labels(), c.inputs()),
      split(objective, {3, 40}, c.labels(), c.inputs());
  all(c.statistics, 0, 3, whole);
  split(c.statistics, 0, 1, parts);
  EXPECT_EQ(parts.logp[2], 0) << "rows of other groups are left alone";
  EXPECT_EQ(split.loss(), split.row_loss()[0]);
  split(c.statistics, 1, 3, parts);
  EXPECT_EQ(parts.logp, whole.logp);
  EXPECT_EQ(split.loss(), all.loss());
  EXPECT_EQ(split.rewards(), all.rewards());
}

TEST(RowLossesTest, AbsentInputsAreNeutral) {
  Random random;
  RowsCase c = rows_case(random);
  const Objective objective{DPO{}};
  Slopes bare, neutral;
  RowLosses without(objective, {3, 40}, c.labels(), {.ref_logp = c.ref});
  without(c.statistics, 0, 3, bare);
  c.weight.assign(3, 1);
  c.margin.assign(3, 0);
  RowLosses with(objective, {3, 40}, c.labels(), c.inputs());
  with(c.statistics, 0, 3, neutral);
  EXPECT_EQ(bare.logp, neutral.logp);
  EXPECT_EQ(without.loss(), with.loss());
  // Cross-entropy needs no reference.
  const Objective sft{SFT{}};
  RowLosses plain(sft, {3, 1}, c.labels(), {});
  plain(c.statistics, 0, 3, bare);
  EXPECT_DOUBLE_EQ(plain.loss(),
                   -c.statistics.logp[0] - c.statistics.logp[2] - c.statistics.logp[5]);
}

TEST(RowLossesTest, Rejects) {
  Random random;
  const RowsCase c = rows_case(random);
  const Objective dpo{DPO{}};
  const auto rejected = [&](const Objective& objective, const Labels& labels,
                            const RowInputs& inputs) {
    return error_of(ErrorKind::option, [&] { RowLosses(objective, {}, labels, inputs); });
  };
  const std::span<const double> ref(c.ref), weight(c.weight);
  EXPECT_THAT(rejected(dpo, c.labels(), {}),
              HasSubstr("[dpo] reference log-probs are required, none came"));
  EXPECT_THAT(rejected(Objective({{SFT{}, 1}, {DPO{}, 1}}), c.labels(), {}),
              HasSubstr("[sft+dpo] reference log-probs are required"));
  EXPECT_THAT(rejected(dpo, c.labels(), {.ref_logp = ref.first(6)}),
              HasSubstr("[dpo] one reference log-prob per sequence (7) is required, got 6."));
  EXPECT_THAT(
      rejected(dpo, c.labels(), {.ref_logp = ref, .weight = weight.first(2)}),
      HasSubstr("[dpo] one weight, margin and label per row (3) is required, got 2, 0 and 0."));
  EXPECT_THAT(rejected(dpo, c.labels(), {.ref_logp = ref, .margin = ref.first(4)}),
              HasSubstr("got 0, 4 and 0."));
  EXPECT_THAT(rejected(dpo, c.labels(), {.ref_logp = ref, .score = ref.first(6)}),
              HasSubstr("coupled value per sequence (7) is required, got 6"));
  EXPECT_THAT(rejected(Objective(TREG{}), c.labels(), {.ref_logp = ref}),
              HasSubstr("[t_reg] marks of tokens are required"));
  EXPECT_THAT(rejected(Objective(AOT{}), c.labels(), {.ref_logp = ref}),
              HasSubstr("[aot] values coupled over the batch are required"));
  const std::vector<int64_t> rows = {0, 2, 3, 7};
  EXPECT_THAT(rejected(dpo, {c.row, c.token, c.sequences, rows}, {.ref_logp = ref}),
              HasSubstr("[dpo] row 1 has 1 branches; 2 to 16 are required."));
  const std::vector<int64_t> none(17), first(18, 0), one = {0, 17};
  std::vector<double> many(17);
  EXPECT_THAT(rejected(dpo, {{}, {}, first, one}, {.ref_logp = many}),
              HasSubstr("row 0 has 17 branches"));
}

}  // namespace
}  // namespace pref
