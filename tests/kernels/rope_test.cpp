// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding against complex multiplication in double.
#include "kernels/rope.h"

#include <cmath>

#include "kernels/reference/rope.h"
#include "tests/kernels/target_test.h"
#include "tests/reference/finite_difference.h"

namespace pref::kernels {
namespace {

constexpr double kTheta = 10000;
constexpr int64_t kMaxPosition = 300;

struct Tables {
  std::vector<float> cosine, sine;
};

Tables tables(int64_t head_dim) {
  Tables out;
  for (int64_t position = 0; position < kMaxPosition; ++position) {
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      const double angle = reference::rope_angle(position, i, head_dim, kTheta);
      out.cosine.push_back(static_cast<float>(std::cos(angle)));
      out.sine.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return out;
}

class RopeTest : public TargetTest {
 protected:
  static void rotate(std::vector<float>& x, int64_t stride, int64_t heads, int64_t head_dim,
                     const std::vector<int64_t>& positions, int direction) {
    const Tables t = tables(head_dim);
    rope_rotate(x.data(), static_cast<int64_t>(positions.size()), stride, heads, head_dim,
                positions.data(), t.cosine.data(), t.sine.data(), direction);
  }
};
PREF_EVERY_TARGET(RopeTest);

TEST_P(RopeTest, Value) {
  // head_dim 4, a quarter turn of the first pair (elements 0 and 2) and a half turn of the second
  // (1 and 3).
  const std::vector<float> cosine = {0, -1}, sine = {1, 0};
  const int64_t position = 0;
  std::vector<float> x = {3, 5, 4, 6};
  rope_rotate(x.data(), 1, 4, 1, 4, &position, cosine.data(), sine.data(), 1);
  EXPECT_EQ(x, (std::vector<float>{-4, -5, 3, -6}));
  rope_rotate(x.data(), 1, 4, 1, 4, &position, cosine.data(), sine.data(), -1);
  EXPECT_EQ(x, (std::vector<float>{3, 5, 4, 6}));
}

TEST_P(RopeTest, MatchesReference) {
  const std::vector<int64_t> positions = {0, 1, 299, 7, 7};
  for (const int64_t head_dim : {2, 4, 6, 16, 30, 34, 64, 128}) {
    for (const int direction : {1, -1}) {
      const int64_t heads = 3, stride = heads * head_dim + 5;
      const std::vector<float> before = normal(5 * stride);
      std::vector<float> after = before;
      rotate(after, stride, heads, head_dim, positions, direction);
      for (size_t token = 0; token < positions.size(); ++token) {
        const auto row = static_cast<int64_t>(token) * stride;
        for (int64_t head = 0; head < heads; ++head) {
          const auto begin = before.begin() + row + head * head_dim;
          const std::vector<double> expected =
              reference::rope({begin, begin + head_dim}, positions[token], kTheta, direction);
          for (size_t i = 0; i < expected.size(); ++i) {
            // Three roundings of numbers of the pair's size, and those of the tables.
            EXPECT_NEAR(after[static_cast<size_t>(row + head * head_dim) + i], expected[i], 1.5e-6);
          }
        }
        for (int64_t i = heads * head_dim; i < stride; ++i) {
          EXPECT_EQ(after[static_cast<size_t>(row + i)], before[static_cast<size_t>(row + i)])
              << "past the heads";
        }
      }
    }
  }
}

TEST_P(RopeTest, Gradient) {
  // L = sum dy rope(x): dL/dx is dy turned back.
  const int64_t head_dim = 14;
  for (const int64_t position : {0, 3, 250}) {
    const std::vector<float> x = normal(head_dim), dy = normal(head_dim);
    std::vector<float> dx = dy;
    rotate(dx, head_dim, 1, head_dim, {position}, -1);
    const auto loss = [&](const std::vector<double>& at) {
      const std::vector<double> y = reference::rope(at, position, kTheta, 1);
      double sum = 0;
      for (size_t i = 0; i < y.size(); ++i) sum += y[i] * static_cast<double>(dy[i]);
      return sum;
    };
    const std::vector<double> expected = reference::central_differences(loss, widened(x));
    for (size_t i = 0; i < dx.size(); ++i) EXPECT_NEAR(dx[i], expected[i], 1.5e-6);
  }
}

TEST_P(RopeTest, RoundTrip) {
  const std::vector<float> before = normal(2 * 3 * 64);
  std::vector<float> x = before;
  rotate(x, 3 * 64, 3, 64, {11, 200}, 1);
  EXPECT_FALSE(same_bits(x, before));
  rotate(x, 3 * 64, 3, 64, {11, 200}, -1);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], before[i], 1e-6);
}

TEST_P(RopeTest, InvariantToSplitsOfTokensAndHeads) {
  const int64_t heads = 4, head_dim = 22, stride = heads * head_dim;
  const std::vector<int64_t> positions = {5, 6, 0, 1, 299};
  const std::vector<float> before = normal(5 * stride);
  std::vector<float> whole = before, split = before;
  rotate(whole, stride, heads, head_dim, positions, 1);
  const Tables t = tables(head_dim);
  for (int64_t token = 0; token < 5; ++token) {
    for (int64_t head = 0; head < heads; ++head) {
      rope_rotate(split.data() + token * stride + head * head_dim, 1, stride, 1, head_dim,
                  positions.data() + token, t.cosine.data(), t.sine.data(), 1);
    }
  }
  EXPECT_TRUE(same_bits(whole, split));
}

}  // namespace
}  // namespace pref::kernels
