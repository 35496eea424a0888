// SPDX-License-Identifier: Apache-2.0
// Gradient of the log-probabilities: analytic oracle, central differences of the double definition,
// and the classes of bug that fused losses have shown (cancellation near p = 1, one coefficient
// used for all rows).
#include <algorithm>
#include <cmath>

#include "kernels/logprob.h"
#include "kernels/reference/logprob.h"
#include "tests/kernels/target_test.h"
#include "tests/reference/finite_difference.h"

namespace pref::kernels {
namespace {

// Statistics, then the gradient in a copy of the logits.
std::vector<float> gradient_of(std::vector<float> logits, int64_t vocab, int64_t stride,
                               const std::vector<int64_t>& labels, const std::vector<float>& d_logp,
                               LogitTransform transform = {}) {
  const auto rows = static_cast<int64_t>(labels.size());
  std::vector<float> logp(labels.size()), lse(labels.size());
  logprob_statistics(logits.data(), rows, vocab, stride, labels.data(), transform,
                     {.logp = logp.data(), .lse = lse.data()});
  logprob_gradient(logits.data(), rows, vocab, stride, labels.data(), logp.data(), lse.data(),
                   d_logp.data(), transform);
  return logits;
}

class LogprobGradientTest : public TargetTest {};
PREF_EVERY_TARGET(LogprobGradientTest);

const LogitTransform kTransforms[] = {{}, {0.25f, 0}, {1, 30}, {2, 10}};

TEST_P(LogprobGradientTest, Value) {
  // p = 1/7, 2/7, 4/7, label 1, coefficient 14: 14 (-1/7, 5/7, -4/7).
  const float ln2 = std::log(2.0f);
  const std::vector<float> dz = gradient_of({0, ln2, 2 * ln2}, 3, 3, {1}, {14});
  EXPECT_NEAR(dz[0], -2, 1e-6);
  EXPECT_NEAR(dz[1], 10, 4e-6);
  EXPECT_NEAR(dz[2], -8, 4e-6);
}

TEST_P(LogprobGradientTest, Gradient) {
  // L = sum_i d_logp[i] logp[i], differenced in double; coefficients differ in size and sign (one
  // is zero).
  const int64_t rows = 4, vocab = 37;
  const std::vector<int64_t> labels = {0, 36, 17, 5};
  const std::vector<float> d_logp = {1.5f, -0.25f, 0, -3};
  for (const LogitTransform transform : kTransforms) {
    SCOPED_TRACE(testing::Message()
                 << "scale " << transform.scale << ", cap " << transform.soft_cap);
    const std::vector<float> logits = normal(rows * vocab, 3);
    const auto loss = [&](const std::vector<double>& z) {
      double sum = 0;
      for (size_t row = 0; row < labels.size(); ++row) {
        const auto begin = z.begin() + static_cast<int64_t>(row) * vocab;
        const std::vector<double> y = reference::transform_logits(
            {begin, begin + vocab}, transform.scale, transform.soft_cap);
        sum += static_cast<double>(d_logp[row]) * reference::row_statistics(y, labels[row]).logp;
      }
      return sum;
    };
    const std::vector<double> expected = reference::central_differences(loss, widened(logits));
    const std::vector<float> dz = gradient_of(logits, vocab, vocab, labels, d_logp, transform);
    for (size_t i = 0; i < dz.size(); ++i) EXPECT_NEAR(dz[i], expected[i], 3e-6) << "element " << i;
    for (int64_t v = 0; v < vocab; ++v) EXPECT_EQ(dz[static_cast<size_t>(2 * vocab + v)], 0.0f);
  }
}

TEST_P(LogprobGradientTest, MatchesReference) {
  for (const int64_t vocab : {1, 2, 7, 31, 32, 33, 1000, 32000}) {
    for (const float offset : {0.0f, 1e4f, -1e4f}) {
      for (const LogitTransform transform : kTransforms) {
        if (offset != 0 && transform.soft_cap > 0) continue;  // all logits would sit at the cap
        SCOPED_TRACE(testing::Message()
                     << "vocabulary " << vocab << ", offset " << offset << ", scale "
                     << transform.scale << ", cap " << transform.soft_cap);
        const int64_t rows = 3, stride = vocab + 5;
        std::vector<float> logits = normal(rows * stride, 4, offset);
        std::vector<int64_t> labels;
        std::vector<float> d_logp;
        for (int64_t row = 0; row < rows; ++row) {
          labels.push_back(static_cast<int64_t>(engine_() % static_cast<uint64_t>(vocab)));
          d_logp.push_back(normal(1)[0]);
          std::fill_n(logits.begin() + row * stride + vocab, stride - vocab, 123.0f);
        }
        const std::vector<float> dz = gradient_of(logits, vocab, stride, labels, d_logp, transform);
        for (int64_t row = 0; row < rows; ++row) {
          const auto begin = logits.begin() + row * stride;
          const std::vector<double> z(begin, begin + vocab);
          const auto at = static_cast<size_t>(row);
          const std::vector<double> expected = reference::row_gradient(
              z, labels[at], d_logp[at], transform.scale, transform.soft_cap);
          for (size_t v = 0; v < expected.size(); ++v) {
            // The rounding of y - lse, of logp and of the exponent are p's relative errors; the cap
            // multiplies tanh's.
            const double log_p = std::log(std::abs(expected[v] / d_logp[at]) + 1e-38);
            const double relative = 2e-6 + 2e-7 * std::abs(log_p) + 4e-7 * transform.soft_cap;
            ASSERT_NEAR(dz[static_cast<size_t>(row * stride) + v], expected[v],
                        relative * std::abs(expected[v]) + 1e-30)
                << "row " << row << ", element " << v;
          }
          for (int64_t v = vocab; v < stride; ++v)
            EXPECT_EQ(dz[static_cast<size_t>(row * stride + v)], 123.0f);
        }
      }
    }
  }
}

TEST_P(LogprobGradientTest, LabelElementIsExactAsTheLabelBecomesCertain) {
  // One label against V - 1 equal others: z = ln(p (V - 1) / (1 - p)); the label's element is 1 -
  // p.
  for (const int64_t vocab : {2, 1000, 50257}) {
    for (const double p : {.5, .9, .99, .999, .9999, .999999, .999999999}) {
      std::vector<float> logits(static_cast<size_t>(vocab), 0.0f);
      const int64_t label = vocab / 3;
      logits[static_cast<size_t>(label)] =
          static_cast<float>(std::log(p * static_cast<double>(vocab - 1) / (1 - p)));
      const std::vector<double> expected = reference::row_gradient(widened(logits), label, 1, 1, 0);
      const std::vector<float> dz = gradient_of(logits, vocab, vocab, {label}, {1});
      const size_t other = label == 0 ? 1 : 0;
      EXPECT_NEAR(dz[static_cast<size_t>(label)] / expected[static_cast<size_t>(label)], 1, 2e-6)
          << p;
      EXPECT_NEAR(dz[other] / expected[other], 1, 2e-6) << p;
    }
  }
}

TEST_P(LogprobGradientTest, EachRowUsesItsOwnCoefficient) {
  const int64_t rows = 6, vocab = 129;
  const std::vector<float> row = normal(vocab, 2);
  std::vector<float> logits;
  for (int64_t i = 0; i < rows; ++i) logits.insert(logits.end(), row.begin(), row.end());
  const std::vector<int64_t> labels(static_cast<size_t>(rows), 64);
  const std::vector<float> d_logp = {1, -0.5f, 0.25f,
                                     0, 8,     -2};  // powers of two: products are exact
  const std::vector<float> dz = gradient_of(logits, vocab, vocab, labels, d_logp);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t v = 0; v < vocab; ++v) {
      EXPECT_EQ(dz[static_cast<size_t>(i * vocab + v)],
                dz[static_cast<size_t>(v)] * d_logp[static_cast<size_t>(i)]);
    }
  }
}

TEST_P(LogprobGradientTest, InvariantToSplitsOfRows) {
  const int64_t rows = 5, vocab = 1031;
  const std::vector<float> logits = normal(rows * vocab, 3);
  const std::vector<int64_t> labels = {1030, 0, 512, 31, 1000};
  const std::vector<float> d_logp = normal(rows);
  for (const LogitTransform transform : kTransforms) {
    const std::vector<float> whole = gradient_of(logits, vocab, vocab, labels, d_logp, transform);
    std::vector<float> joined;
    for (size_t row = 0; row < labels.size(); ++row) {
      const auto begin = logits.begin() + static_cast<int64_t>(row) * vocab;
      const std::vector<float> one = gradient_of({begin, begin + vocab}, vocab, vocab,
                                                 {labels[row]}, {d_logp[row]}, transform);
      joined.insert(joined.end(), one.begin(), one.end());
    }
    EXPECT_TRUE(same_bits(whole, joined));
  }
}

TEST_P(LogprobGradientTest, NaNReachesTheGradientUnlessTheCoefficientIsZero) {
  const int64_t vocab = 40;
  std::vector<float> logits = normal(3 * vocab);
  logits[3] = kNaN;
  logits[20] = std::bit_cast<float>(0xffffffffu);  // a NaN as uninitialised memory has it
  logits[static_cast<size_t>(vocab) + 3] = kNaN;
  const std::vector<float> dz = gradient_of(logits, vocab, vocab, {1, 1, 1}, {1, 0, kNaN});
  for (size_t v = 0; v < static_cast<size_t>(vocab); ++v) {
    EXPECT_TRUE(std::isnan(dz[v]));
    EXPECT_EQ(dz[static_cast<size_t>(vocab) + v], 0.0f);
    EXPECT_TRUE(std::isnan(dz[2 * static_cast<size_t>(vocab) + v]));
  }
}

}  // namespace
}  // namespace pref::kernels
