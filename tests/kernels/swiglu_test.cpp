// SPDX-License-Identifier: Apache-2.0
// SwiGLU forward and backward against the formula in double, far into both tails of the sigmoid.
#include "kernels/swiglu.h"

#include <cmath>

#include "kernels/reference/swiglu.h"
#include "tests/kernels/target_test.h"
#include "tests/reference/finite_difference.h"

namespace pref::kernels {
namespace {

class SwigluTest : public TargetTest {};
PREF_EVERY_TARGET(SwigluTest);

TEST_P(SwigluTest, Value) {
  // silu(0) = 0; silu(ln 3) = ln 3 * 3/4; silu(-ln 3) = -ln 3 * 1/4.
  const float ln3 = std::log(3.0f);
  const std::vector<float> gate_up = {0, ln3, -ln3, 5, 4, 8};
  std::vector<float> y(3);
  swiglu_forward(gate_up.data(), 1, 3, y.data());
  EXPECT_EQ(y[0], 0);
  EXPECT_NEAR(y[1], 3 * std::log(3.0), 6e-7);
  EXPECT_NEAR(y[2], -2 * std::log(3.0), 4e-7);
}

TEST_P(SwigluTest, MatchesReference) {
  for (const int64_t width : {1, 3, 8, 9, 31, 32, 33, 1408}) {
    for (const float size : {1e-4f, 1.0f, 20.0f}) {
      const int64_t rows = 3;
      const std::vector<float> gate_up = normal(rows * 2 * width, size);
      std::vector<float> y(static_cast<size_t>(rows * width));
      swiglu_forward(gate_up.data(), rows, width, y.data());
      for (int64_t i = 0; i < rows * width; ++i) {
        const auto gate = static_cast<size_t>(i / width * 2 * width + i % width);
        const float g = gate_up[gate], up = gate_up[gate + static_cast<size_t>(width)];
        const double expected = reference::swiglu<double>(g, up);
        // Relative: five roundings and exp's bound, which grows with |g| where there is no fused
        // multiply-add.
        const double relative = 5e-7 + 1.3e-7 * std::abs(static_cast<double>(g));
        ASSERT_NEAR(y[static_cast<size_t>(i)], expected, relative * std::abs(expected) + 1e-35)
            << "g = " << g;
      }
    }
  }
}

TEST_P(SwigluTest, Gradient) {
  const int64_t rows = 2, width = 13;
  std::vector<float> gate_up = normal(rows * 2 * width, 4);
  gate_up[0] = 0;
  gate_up[1] = 60;
  gate_up[2] = -60;
  const std::vector<float> dy = normal(rows * width);
  std::vector<float> d_gate_up(gate_up.size());
  swiglu_backward(dy.data(), gate_up.data(), rows, width, d_gate_up.data());
  const auto loss = [&](const std::vector<double>& x) {
    double sum = 0;
    for (int64_t i = 0; i < rows * width; ++i) {
      const auto gate = static_cast<size_t>(i / width * 2 * width + i % width);
      sum += static_cast<double>(dy[static_cast<size_t>(i)]) *
             reference::swiglu<double>(x[gate], x[gate + static_cast<size_t>(width)]);
    }
    return sum;
  };
  const std::vector<double> expected = reference::central_differences(loss, widened(gate_up));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(d_gate_up[i], expected[i], 2e-6 * (1 + std::abs(expected[i]))) << "element " << i;
  }
  // In place.
  std::vector<float> in_place = gate_up;
  swiglu_backward(dy.data(), in_place.data(), rows, width, in_place.data());
  EXPECT_TRUE(same_bits(in_place, d_gate_up));
}

TEST_P(SwigluTest, StaysFiniteFarFromZeroAndCarriesNaN) {
  const std::vector<float> gate_up = {1e4f, -1e4f, kNaN, 2, 2, 2};
  const std::vector<float> dy = {1, 1, 1};
  std::vector<float> y(3), d(6);
  swiglu_forward(gate_up.data(), 1, 3, y.data());
  swiglu_backward(dy.data(), gate_up.data(), 1, 3, d.data());
  EXPECT_EQ(y[0], 2e4f);
  EXPECT_NEAR(y[1], 0, 1e-30);
  EXPECT_EQ(d[0], 2);
  EXPECT_NEAR(d[1], 0, 1e-30);
  EXPECT_EQ(d[3], 1e4f);
  for (const float v : {y[2], d[2], d[5]}) EXPECT_TRUE(std::isnan(v));
}

TEST_P(SwigluTest, InvariantToSplitsOfRows) {
  const int64_t rows = 4, width = 45;
  const std::vector<float> gate_up = normal(rows * 2 * width), dy = normal(rows * width);
  std::vector<float> y(dy.size()), y_split(dy.size()), d(gate_up.size()), d_split(gate_up.size());
  swiglu_forward(gate_up.data(), rows, width, y.data());
  swiglu_backward(dy.data(), gate_up.data(), rows, width, d.data());
  for (int64_t row = 0; row < rows; ++row) {
    swiglu_forward(gate_up.data() + row * 2 * width, 1, width, y_split.data() + row * width);
    swiglu_backward(dy.data() + row * width, gate_up.data() + row * 2 * width, 1, width,
                    d_split.data() + row * 2 * width);
  }
  EXPECT_TRUE(same_bits(y, y_split));
  EXPECT_TRUE(same_bits(d, d_split));
}

}  // namespace
}  // namespace pref::kernels
