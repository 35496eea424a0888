// SPDX-License-Identifier: Apache-2.0
// RMSNorm forward and backward against the formula in double, and its invariances.
#include "kernels/rms_norm.h"

#include <cmath>

#include "kernels/reference/rms_norm.h"
#include "tests/kernels/target_test.h"
#include "tests/reference/budget.h"
#include "tests/reference/finite_difference.h"

namespace pref::kernels {
namespace {

class RmsNormTest : public TargetTest {};
PREF_EVERY_TARGET(RmsNormTest);

struct Backward {
  std::vector<float> dx, d_weight;
};

TEST_P(RmsNormTest, Value) {
  // mean(1, 49, 49, 1) = 25, eps 0: y = x / 5 * weight.
  const std::vector<float> x = {1, -7, 7, 1}, weight = {1, 1, 2, -5};
  std::vector<float> y(4), inverse(1);
  rms_norm_forward(x.data(), 1, 4, 4, weight.data(), 0, y.data(), 4, inverse.data());
  EXPECT_FLOAT_EQ(inverse[0], 0.2f);
  const std::vector<float> expected = {0.2f, -1.4f, 2.8f, -1.0f};
  for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(y[i], expected[i]);
  // A row of zeros: eps alone is under the root.
  const std::vector<float> zeros(4);
  rms_norm_forward(zeros.data(), 1, 4, 4, weight.data(), 0.25f, y.data(), 4, inverse.data());
  EXPECT_EQ(inverse[0], 2.0f);
  EXPECT_EQ(y, zeros);
}

TEST_P(RmsNormTest, MatchesReference) {
  const float eps = 1e-5f;
  for (const int64_t width : {1, 3, 7, 8, 9, 31, 33, 64, 100, 513, 4096}) {
    for (const float size : {1e-3f, 1.0f, 300.0f}) {
      const int64_t rows = 3, stride_x = width + 2, stride_y = width + 1;
      const std::vector<float> x = normal(rows * stride_x, size), weight = normal(width);
      std::vector<float> y(static_cast<size_t>(rows * stride_y), 55.0f), inverse(3);
      rms_norm_forward(x.data(), rows, width, stride_x, weight.data(), eps, y.data(), stride_y,
                       inverse.data());
      reference::Budget budget;
      double largest = 0;
      for (int64_t row = 0; row < rows; ++row) {
        const auto begin = x.begin() + row * stride_x;
        const std::vector<float> one(begin, begin + width);
        const std::vector<double> expected =
            reference::rms_norm<double>(widened(one), widened(weight), eps);
        const std::vector<float> plain = reference::rms_norm<float>(one, weight, eps);
        for (size_t i = 0; i < expected.size(); ++i) {
          budget.see(y[static_cast<size_t>(row * stride_y) + i], plain[i], expected[i]);
          largest = std::max(largest, std::abs(expected[i]));
        }
        EXPECT_EQ(y[static_cast<size_t>(row * stride_y + width)], 55.0f)
            << "columns past the width";
      }
      EXPECT_TRUE(budget.kept(1.2e-7 * largest))
          << width << ": " << budget.kernel << " beside " << budget.plain;
    }
  }
}

TEST_P(RmsNormTest, Gradient) {
  const float eps = 1e-3f;
  for (const int64_t width : {1, 5, 8, 17, 64}) {
    const int64_t rows = 2;
    const std::vector<float> x = normal(rows * width), weight = normal(width),
                             dy = normal(rows * width);
    std::vector<float> y(x.size()), inverse(2), dx(x.size()), d_weight(weight.size(), 10.0f);
    rms_norm_forward(x.data(), rows, width, width, weight.data(), eps, y.data(), width,
                     inverse.data());
    rms_norm_backward(dy.data(), width, x.data(), width, weight.data(), inverse.data(), rows, width,
                      dx.data(), width, false, d_weight.data());
    // L = sum dy y over the parameters (x, weight) laid side by side.
    std::vector<double> parameters = widened(x);
    parameters.insert(parameters.end(), weight.begin(), weight.end());
    const auto loss = [&](const std::vector<double>& p) {
      const std::vector<double> w(p.begin() + rows * width, p.end());
      double sum = 0;
      for (int64_t row = 0; row < rows; ++row) {
        const std::vector<double> out = reference::rms_norm<double>(
            {p.begin() + row * width, p.begin() + (row + 1) * width}, w, eps);
        for (int64_t i = 0; i < width; ++i) {
          sum += out[static_cast<size_t>(i)] *
                 static_cast<double>(dy[static_cast<size_t>(row * width + i)]);
        }
      }
      return sum;
    };
    const std::vector<double> expected = reference::central_differences(loss, parameters);
    for (size_t i = 0; i < dx.size(); ++i)
      EXPECT_NEAR(dx[i], expected[i], 3e-6 * (1 + std::abs(expected[i]))) << i;
    for (size_t i = 0; i < d_weight.size(); ++i) {
      EXPECT_NEAR(d_weight[i] - 10, expected[dx.size() + i], 4e-6)
          << "added to what was there, " << i;
    }
  }
}

TEST_P(RmsNormTest, InvariantToSplitsOfRowsAndAccumulation) {
  const int64_t rows = 5, width = 77, stride = 80;
  const std::vector<float> x = normal(rows * stride), weight = normal(width),
                           dy = normal(rows * stride);
  const std::vector<float> base = normal(rows * stride);
  std::vector<float> y(x.size()), inverse(5);
  rms_norm_forward(x.data(), rows, width, stride, weight.data(), 1e-5f, y.data(), stride,
                   inverse.data());
  const auto backward = [&](const std::vector<int64_t>& ends, bool accumulate) {
    Backward out{base, std::vector<float>(static_cast<size_t>(width), 0.5f)};
    int64_t begin = 0;
    for (const int64_t end : ends) {
      const int64_t at = begin * stride;
      rms_norm_backward(dy.data() + at, stride, x.data() + at, stride, weight.data(),
                        inverse.data() + begin, end - begin, width, out.dx.data() + at, stride,
                        accumulate, out.d_weight.data());
      begin = end;
    }
    return out;
  };
  for (const bool accumulate : {false, true}) {
    const Backward whole = backward({5}, accumulate), split = backward({1, 4, 5}, accumulate);
    EXPECT_TRUE(same_bits(whole.dx, split.dx));
    EXPECT_TRUE(same_bits(whole.d_weight, split.d_weight));
  }
  const Backward written = backward({5}, false), added = backward({5}, true);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < width; ++i) {
      const auto at = static_cast<size_t>(row * stride + i);
      EXPECT_NEAR(added.dx[at], base[at] + written.dx[at], 1e-6 * (1 + std::abs(base[at])));
    }
    const auto past = static_cast<size_t>(row * stride + width);
    EXPECT_EQ(added.dx[past], base[past]);
  }
  std::vector<float> y_one(static_cast<size_t>(width)), inverse_one(1);
  rms_norm_forward(x.data() + 3 * stride, 1, width, stride, weight.data(), 1e-5f, y_one.data(),
                   width, inverse_one.data());
  EXPECT_TRUE(same_bits(y_one, {y.begin() + 3 * stride, y.begin() + 3 * stride + width}));
  EXPECT_EQ(inverse_one[0], inverse[3]);
}

}  // namespace
}  // namespace pref::kernels
