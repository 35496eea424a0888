// SPDX-License-Identifier: Apache-2.0
// The head's promise on memory: no vocabulary-sized allocation beyond its one buffer, which keeps
// to the budget.
#include "libpref/ops/preference_loss.h"
#include "tests/ops/head_test_util.h"
#include "tests/reference/metering_allocator.h"

namespace pref {
namespace {

using at::Tensor;
using namespace testing;  // pref::testing

class HeadMemoryTest : public ::testing::Test {
 protected:
  static constexpr int64_t kVocab = 4096, kWidth = 8, kBudgetRows = 40;
  static constexpr int64_t kRowBytes = kVocab * 4, kBudget = kBudgetRows * kRowBytes;
  // What is not vocabulary-sized: gathered hidden states, index arithmetic.
  static constexpr int64_t kSmall = 64 << 10;

  static MeteringAllocator& meter() { return MeteringAllocator::get(); }
  const MeteredMemory metered_;

  // 800 labels, 20 times the budget, in rows that fit or in one that does not.
  static HeadCase rows_that_fit(Random& random) {
    return head_case(random, std::vector<RowLengths>(40, {2, {11, 9}}), kVocab, kWidth);
  }
  static HeadCase one_row(Random& random) {
    return head_case(random, {{2, {420, 380}}}, kVocab, kWidth);
  }
  static void check(const HeadCase& c) {
    ASSERT_EQ(c.plan.num_labels(), 20 * kBudgetRows);
    ASSERT_LT(c.weight.nbytes(), kBudget)
        << "else the largest allocation could be the weight's gradient";
  }
};

TEST_F(HeadMemoryTest, TheMeterSeesExplicitLogits) {
  Random random;
  const HeadCase c = rows_that_fit(random);
  check(c);
  meter().reset();
  { const Tensor logp = plain_logp(c.hidden, c.weight, c.labels()); }
  EXPECT_GE(meter().largest(), 20 * kBudget);
  EXPECT_GE(meter().peak(), 2 * 20 * kBudget) << "logits and their log-softmax";
  meter().reset();
  EXPECT_EQ(meter().peak(), 0);
}

TEST_F(HeadMemoryTest, BackwardKeepsToTheBudget) {
  Random random;
  for (const HeadCase& c : {rows_that_fit(random), one_row(random)}) {
    check(c);
    const Tensor d_weight = at::zeros_like(c.weight), d_hidden = at::zeros_like(c.hidden);
    const auto coefficients =
        given(c.labels(), random_coefficients(random, c.plan.num_sequences()));
    meter().reset();
    PreferenceHead head({c.weight, d_weight}, {.logits_bytes = kBudget});
    head.backward(c.hidden, c.labels(), coefficients, d_hidden);
    EXPECT_GE(meter().largest(), kBudget / 2) << "the buffer is seen";
    EXPECT_LE(meter().largest(), kBudget);
    EXPECT_LE(meter().peak(), kBudget + kSmall);
    // A second walk finds its buffers made.
    meter().reset();
    head.backward(c.hidden, c.labels(), coefficients, d_hidden);
    EXPECT_LE(meter().largest(), kSmall);
  }
}

TEST_F(HeadMemoryTest, StatisticsKeepToTheBudget) {
  Random random;
  for (const HeadCase& c : {rows_that_fit(random), one_row(random)}) {
    meter().reset();
    PreferenceHead head({c.weight, {}}, {.logits_bytes = kBudget});
    head.statistics(c.hidden, c.labels());
    EXPECT_GE(meter().largest(), kBudget);
    EXPECT_LE(meter().peak(), kBudget + kSmall);
  }
}

TEST_F(HeadMemoryTest, GrowingGroupsNeverHoldTwoBuffers) {
  // Groups of 10, 20, 30 and 40 labels: the buffer is let go before a larger one is made.
  Random random;
  const HeadCase c = head_case(random, {{1, {6, 4}}, {1, {31, 9}}}, kVocab, kWidth);
  const HeadCase grown =
      head_case(random, {{1, {6, 4}}, {1, {16, 15}}, {1, {20, 20}}}, kVocab, kWidth);
  for (const HeadCase& one : {c, grown}) {
    const Tensor d_hidden = at::zeros_like(one.hidden);
    meter().reset();
    PreferenceHead head({one.weight, {}}, {.logits_bytes = kBudget});
    head.backward(one.hidden, one.labels(),
                  given(one.labels(), random_coefficients(random, one.plan.num_sequences())),
                  d_hidden);
    EXPECT_EQ(meter().largest(), kBudget);
    EXPECT_LE(meter().peak(), kBudget + kSmall);
  }
}

TEST_F(HeadMemoryTest, LossKeepsToTheBudget) {
  // Gradients are kept from the forward walk; beyond them and the buffer, nothing.
  Random random;
  const HeadCase c = rows_that_fit(random);
  const Tensor hidden = leaf(c.hidden), weight = leaf(c.weight);
  const std::vector<double> ref(static_cast<size_t>(c.plan.num_sequences()), -80.0);
  const int64_t gradients = static_cast<int64_t>(c.weight.nbytes() + c.hidden.nbytes());
  meter().reset();
  {
    const PreferenceLoss out = preference_loss(hidden, weight, c.labels(), Objective(DPO{}),
                                               {.ref_logp = ref}, {.logits_bytes = kBudget});
    EXPECT_LE(meter().largest(), kBudget);
    EXPECT_LE(meter().peak(), kBudget + gradients + kSmall);
    out.loss.backward();
  }
  EXPECT_LE(meter().largest(), kBudget);
  EXPECT_LE(meter().peak(), std::max(kBudget, gradients) + gradients + kSmall);
}

}  // namespace
}  // namespace pref
