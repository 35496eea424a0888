// SPDX-License-Identifier: Apache-2.0
// The head's promise on memory: no vocabulary-sized allocation beyond its one buffer, which keeps
// to the budget.
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "libpref/ops/preference_loss.h"
#include "tests/ops/head_test_util.h"

namespace pref {
namespace {

using at::Tensor;
using namespace testing;  // pref::testing

// Counts live and largest bytes of tensor memory. Blocks may outlive the time it is installed for.
class MeteringAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    auto block = std::make_unique<Block>(Block{inner_->allocate(bytes), bytes, this});
    live_ += static_cast<int64_t>(bytes);
    peak_ = std::max(peak_.load(), live_.load());
    largest_ = std::max(largest_.load(), static_cast<int64_t>(bytes));
    void* data = block->inner.get();
    return {data, block.release(), &free_block, c10::Device(c10::DeviceType::CPU)};
  }
  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }

  void reset() {
    base_ = live_.load();
    peak_ = live_.load();
    largest_ = 0;
  }
  int64_t peak() const {
    return peak_ - base_;
  }  ///< most bytes live at once, beyond those of reset()
  int64_t largest() const { return largest_; }  ///< bytes of the largest single allocation

 private:
  struct Block {
    c10::DataPtr inner;
    size_t bytes;
    MeteringAllocator* meter;
  };
  static void free_block(void* context) {
    const std::unique_ptr<Block> block(static_cast<Block*>(context));
    block->meter->live_ -= static_cast<int64_t>(block->bytes);
  }
  c10::Allocator* inner_ = c10::GetDefaultCPUAllocator();
  std::atomic<int64_t> live_{0}, peak_{0}, largest_{0};
  int64_t base_ = 0;
};

class HeadMemoryTest : public ::testing::Test {
 protected:
  static constexpr int64_t kVocab = 4096, kWidth = 8, kBudgetRows = 40;
  static constexpr int64_t kRowBytes = kVocab * 4, kBudget = kBudgetRows * kRowBytes;
  // What is not vocabulary-sized: gathered hidden states, index arithmetic.
  static constexpr int64_t kSmall = 64 << 10;

  void SetUp() override { c10::SetCPUAllocator(&meter()); }
  void TearDown() override { c10::SetCPUAllocator(c10::GetDefaultCPUAllocator()); }
  static MeteringAllocator& meter() {
    static MeteringAllocator* one = new MeteringAllocator;  // kept for blocks that are freed late
    return *one;
  }

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
