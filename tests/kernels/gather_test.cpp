// SPDX-License-Identifier: Apache-2.0
// Row gather and its adjoint.
#include "kernels/gather.h"

#include "tests/kernels/target_test.h"

namespace pref::kernels {
namespace {

class GatherTest : public TargetTest {};
PREF_EVERY_TARGET(GatherTest);

TEST_P(GatherTest, Value) {
  const std::vector<float> x = {1, 2, 3, 4, 5, 6};  // three rows of two
  const std::vector<int64_t> index = {2, 0, 2};
  std::vector<float> out(6);
  gather_rows(x.data(), 2, index.data(), 3, out.data());
  EXPECT_EQ(out, (std::vector<float>{5, 6, 1, 2, 5, 6}));
  std::vector<float> sum = {10, 10, 10, 10, 10, 10};
  scatter_add_rows(sum.data(), 2, index.data(), 3, out.data(), 0, 2);
  EXPECT_EQ(sum, (std::vector<float>{11, 12, 10, 10, 20, 22}));
  gather_rows(x.data(), 2, index.data(), 0, out.data());
  EXPECT_EQ(out[0], 5) << "no rows: nothing is written";
}

TEST_P(GatherTest, Gradient) {
  // <gather(x), g> = <x, scatter(g)> for all x and g: the scatter is the gather's transpose. Small
  // integers are exact.
  for (const int64_t width : {1, 7, 8, 33, 64}) {
    const int64_t rows = 9, count = 20;
    std::vector<float> x, g, out(static_cast<size_t>(count * width)),
        back(static_cast<size_t>(rows * width));
    std::vector<int64_t> index;
    for (int64_t i = 0; i < rows * width; ++i) x.push_back(static_cast<float>(engine_() % 16) - 8);
    for (int64_t i = 0; i < count * width; ++i) g.push_back(static_cast<float>(engine_() % 16) - 8);
    for (int64_t i = 0; i < count; ++i) index.push_back(static_cast<int64_t>(engine_() % 9));
    gather_rows(x.data(), width, index.data(), count, out.data());
    scatter_add_rows(back.data(), width, index.data(), count, g.data(), 0, width);
    double left = 0, right = 0;
    for (size_t i = 0; i < out.size(); ++i) left += static_cast<double>(out[i] * g[i]);
    for (size_t i = 0; i < back.size(); ++i) right += static_cast<double>(x[i] * back[i]);
    EXPECT_EQ(left, right) << "width " << width;
  }
}

TEST_P(GatherTest, InvariantToSplitsOfColumnsAndAddsInOrder) {
  const int64_t width = 53, count = 40;
  const std::vector<float> rows = normal(count * width, 1e3), start = normal(3 * width);
  std::vector<int64_t> index;
  for (int64_t i = 0; i < count; ++i) index.push_back(static_cast<int64_t>(engine_() % 3));
  std::vector<float> whole = start, split = start, expected = start;
  scatter_add_rows(whole.data(), width, index.data(), count, rows.data(), 0, width);
  int64_t begin = 0;
  for (const int64_t end : {1, 20, 21, 53}) {
    scatter_add_rows(split.data(), width, index.data(), count, rows.data(), begin, end);
    begin = end;
  }
  EXPECT_TRUE(same_bits(whole, split));
  for (int64_t i = 0; i < count; ++i) {
    float* target = expected.data() + index[static_cast<size_t>(i)] * width;
    for (int64_t j = 0; j < width; ++j) target[j] += rows[static_cast<size_t>(i * width + j)];
  }
  EXPECT_TRUE(same_bits(whole, expected));
}

}  // namespace
}  // namespace pref::kernels
