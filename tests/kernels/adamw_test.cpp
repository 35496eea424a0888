// SPDX-License-Identifier: Apache-2.0
// AdamW against the paper's algorithm in double, over several steps, and the norm's sum of squares.
#include "kernels/adamw.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/adamw.h"
#include "tests/kernels/target_test.h"
#include "tests/reference/budget.h"

namespace pref::kernels {
namespace {

class AdamWTest : public TargetTest {};
PREF_EVERY_TARGET(AdamWTest);

const AdamWStep kStep = {.learning_rate = 1e-3,
                         .beta1 = 0.9,
                         .beta2 = 0.999,
                         .eps = 1e-8,
                         .weight_decay = 0.1,
                         .step = 1};

TEST_P(AdamWTest, Value) {
  // First step: m / (1 - b1) = g and v / (1 - b2) = g^2, so w = w - lr wd w - lr sign(g) but for
  // eps.
  float weight = 2, exp_avg = 0, exp_avg_sq = 0;
  const float gradient = -4;
  AdamWStep step = kStep;
  step.learning_rate = 0.125;
  step.gradient_scale = 0.5;
  adamw_update(&weight, &gradient, &exp_avg, &exp_avg_sq, 1, step);
  EXPECT_NEAR(weight, 2 - 0.125 * 0.1 * 2 + 0.125, 3e-7);
  EXPECT_NEAR(exp_avg, -0.2, 2e-8);      // 0.1 * (0.5 * -4)
  EXPECT_NEAR(exp_avg_sq, 0.004, 1e-9);  // 0.001 * 2^2
}

TEST_P(AdamWTest, MatchesReference) {
  for (const double weight_decay : {0.0, 0.1}) {
    for (const int64_t count : {1, 7, 8, 31, 33, 1000}) {
      std::vector<float> weight = normal(count), exp_avg(weight.size()), exp_avg_sq(weight.size());
      std::vector<reference::AdamWElement<double>> exact;
      std::vector<reference::AdamWElement<float>> plain;
      for (const float w : weight) {
        exact.push_back({w});
        plain.push_back({w});
      }
      AdamWStep step = kStep;
      step.weight_decay = weight_decay;
      step.gradient_scale = 0.75;
      for (int t = 1; t <= 20; ++t) {
        const std::vector<float> gradient = normal(count, t % 3 == 0 ? 1e-6 : 0.3);
        step.step = t;
        step.learning_rate = 1e-2 / t;
        adamw_update(weight.data(), gradient.data(), exp_avg.data(), exp_avg_sq.data(), count,
                     step);
        for (size_t i = 0; i < exact.size(); ++i) {
          const double g = 0.75 * static_cast<double>(gradient[i]);
          exact[i].step(g, step.learning_rate, step.beta1, step.beta2, step.eps, weight_decay, t);
          plain[i].step(static_cast<float>(g), static_cast<float>(step.learning_rate), 0.9f, 0.999f,
                        1e-8f, static_cast<float>(weight_decay), t);
        }
      }
      reference::Budget weights, averages, squares;
      for (size_t i = 0; i < exact.size(); ++i) {
        weights.see(weight[i], plain[i].weight, exact[i].weight);
        averages.see(exp_avg[i], plain[i].exp_avg, exact[i].exp_avg);
        squares.see(exp_avg_sq[i], plain[i].exp_avg_sq, exact[i].exp_avg_sq);
      }
      // The floor: a random walk of 20 roundings at 2 <= |w| < 4.
      EXPECT_TRUE(weights.kept(5e-7))
          << count << ": " << weights.kernel << " beside " << weights.plain;
      EXPECT_TRUE(averages.kept(1e-8))
          << count << ": " << averages.kernel << " beside " << averages.plain;
      EXPECT_TRUE(squares.kept(1e-10))
          << count << ": " << squares.kernel << " beside " << squares.plain;
      EXPECT_LT(weights.kernel, 1e-6);
    }
  }
}

TEST_P(AdamWTest, KeepsPrecisionEarlyAndLateInARun) {
  // 1 - b^t for b near 1 and the smallest t, and for t so large that the correction is 1.
  for (const int64_t t : {int64_t{1}, int64_t{3}, int64_t{10000000}}) {
    AdamWStep step = kStep;
    step.beta2 = 0.999999;
    step.weight_decay = 0;
    step.step = t;
    float weight = 0, exp_avg = 0.5f, exp_avg_sq = 2e-3f;
    const float gradient = 0.125f;
    adamw_update(&weight, &gradient, &exp_avg, &exp_avg_sq, 1, step);
    const long double m = 0.9L * 0.5L + 0.1L * 0.125L;
    const long double v = 0.999999L * static_cast<long double>(2e-3f) + 1e-6L * 0.015625L;
    const long double expected = -1e-3L * (m / (1 - std::pow(0.9L, t))) /
                                 (std::sqrt(v / (1 - std::pow(0.999999L, t))) + 1e-8L);
    EXPECT_NEAR(static_cast<double>(weight / expected), 1, 5e-7) << "step " << t;
  }
}

TEST_P(AdamWTest, InvariantToSplitsOfTheRange) {
  const int64_t count = 1003;
  const std::vector<float> weight = normal(count), gradient = normal(count),
                           exp_avg = normal(count, 0.1);
  std::vector<float> exp_avg_sq = normal(count, 0.1);
  for (float& v : exp_avg_sq) v = std::abs(v);
  AdamWStep step = kStep;
  step.step = 17;
  const auto run = [&](const std::vector<int64_t>& ends) {
    std::vector<std::vector<float>> out = {weight, exp_avg, exp_avg_sq};
    int64_t begin = 0;
    for (const int64_t end : ends) {
      adamw_update(out[0].data() + begin, gradient.data() + begin, out[1].data() + begin,
                   out[2].data() + begin, end - begin, step);
      begin = end;
    }
    return out;
  };
  const auto whole = run({1003});
  for (const std::vector<int64_t>& ends :
       {std::vector<int64_t>{1, 8, 17, 500, 1003}, {3, 1003}, {999, 1002, 1003}}) {
    const auto split = run(ends);
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(same_bits(whole[i], split[i]));
  }
}

TEST_P(AdamWTest, SumOfSquaresMatchesReference) {
  EXPECT_EQ(sum_of_squares(nullptr, 0), 0);
  const std::vector<float> three = {3, -4, 12};
  EXPECT_EQ(sum_of_squares(three.data(), 3), 169);
  for (const int64_t count : {1, 17, 4095, 4096, 4097, 100003}) {
    const std::vector<float> x = normal(count, 1e20);  // squares leave f32's range
    long double exact = 0;
    for (const float v : x) exact += static_cast<long double>(v) * static_cast<long double>(v);
    EXPECT_NEAR(sum_of_squares(x.data(), count) / static_cast<double>(exact), 1, 1e-13) << count;
    // Blocks of 4096 joined in order: a caller may sum aligned parts and add them in order.
    double joined = 0;
    for (int64_t begin = 0; begin < count; begin += 4096) {
      joined += sum_of_squares(x.data() + begin, std::min<int64_t>(4096, count - begin));
    }
    EXPECT_EQ(joined, sum_of_squares(x.data(), count)) << count;
  }
}

}  // namespace
}  // namespace pref::kernels
