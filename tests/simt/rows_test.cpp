// SPDX-License-Identifier: Apache-2.0
// Row movement, sequence sums and their way back, run on the CPU through their own launchers.
#include "kernels/cuda/rows.h"

#include "kernels/cuda/sequence_sums.h"
#include "libpref/base/error.h"
#include "tests/simt/simt_test_util.h"

namespace pref::kernels::cuda {
namespace {

class CudaRowsTest : public SimtTest {
 protected:
  std::vector<int64_t> indices(int64_t count, int64_t rows) {
    std::vector<int64_t> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(integer(0, rows - 1));
    return out;
  }

  // Groups of random rows, with and without what stood there, against sums in double.
  template <class X, class R>
  void expect_sums(int64_t width, bool accumulate) {
    constexpr int64_t kTargets = 6, kSources = 17;
    auto x = narrowed<X>(normal(kTargets * width));
    const auto rows = narrowed<R>(normal(kSources * width));
    const auto index = indices(kSources, kTargets - 1);  // the last target stays alone
    const RowGroups groups = group_rows(index.data(), kSources);
    std::vector<double> want = widened(x);
    for (const int64_t target : groups.target)
      for (int64_t c = 0; c < width && !accumulate; ++c)
        want[static_cast<size_t>(target * width + c)] = 0;
    for (int64_t i = 0; i < kSources; ++i)
      for (int64_t c = 0; c < width; ++c)
        want[static_cast<size_t>(index[static_cast<size_t>(i)] * width + c)] +=
            static_cast<double>(to_float(rows[static_cast<size_t>(i * width + c)]));
    sum_row_groups(x.data(), width, width, groups.target.data(), groups.begin.data(),
                   groups.source.data(), groups.count(), rows.data(), accumulate, nullptr);
    expect_near(widened(x), want, rounding<X>(), 3e-6, "width " + std::to_string(width));
  }
};
PREF_EVERY_SCHEDULE(CudaRowsTest);

TEST_P(CudaRowsTest, GatherMatchesReference) {
  for (const int64_t width : {1, 3, 8, 64, 2056}) {
    const auto x = narrowed<BF16>(normal(5 * width));
    const auto index = indices(7, 5);
    std::vector<BF16> out(static_cast<size_t>(7 * width));
    gather_rows(x.data(), width, width, index.data(), 7, out.data(), nullptr);
    for (size_t i = 0; i < out.size(); ++i) {
      const auto row = index[i / static_cast<size_t>(width)];
      EXPECT_EQ(out[i].bits,
                x[static_cast<size_t>(row * width) + i % static_cast<size_t>(width)].bits);
    }
  }
  const std::vector<float> x = {1, 2, 3, 4, 5, 6};
  std::vector<float> out(4);
  const std::vector<int64_t> index = {2, 0};
  gather_rows(x.data(), 2, 2, index.data(), 2, out.data(), nullptr);
  EXPECT_EQ(out, (std::vector<float>{5, 6, 1, 2}));
}

TEST_P(CudaRowsTest, SumsMatchReference) {
  for (const int64_t width : {1, 5, 8, 40, 2056})
    for (const bool accumulate : {false, true}) {
      expect_sums<float, float>(width, accumulate);
      expect_sums<float, BF16>(width, accumulate);
      expect_sums<BF16, BF16>(width, accumulate);
      expect_sums<BF16, float>(width, accumulate);
    }
}

TEST_P(CudaRowsTest, ValueOfGroups) {
  const std::vector<int64_t> index = {4, 1, 4, 4, 0};
  const RowGroups groups = group_rows(index.data(), 5);
  EXPECT_EQ(groups.target, (std::vector<int64_t>{0, 1, 4}));
  EXPECT_EQ(groups.begin, (std::vector<int64_t>{0, 1, 2, 5}));
  EXPECT_EQ(groups.source, (std::vector<int64_t>{4, 1, 0, 2, 3}));
  EXPECT_EQ(group_rows(nullptr, 0).begin, (std::vector<int64_t>{0}));
}

// (1e8 + 1) - 1e8 in this order is 0 in f32, in any other 1: the order is that of the sources.
TEST_P(CudaRowsTest, SumsKeepTheirOrder) {
  const std::vector<float> rows = {1e8f, 1, -1e8f};
  const std::vector<int64_t> begin = {0, 3}, source = {0, 1, 2}, other = {0, 2, 1};
  float x = 7;
  sum_row_groups(&x, 1, 1, nullptr, begin.data(), source.data(), 1, rows.data(), false, nullptr);
  EXPECT_EQ(x, 0);
  sum_row_groups(&x, 1, 1, nullptr, begin.data(), other.data(), 1, rows.data(), false, nullptr);
  EXPECT_EQ(x, 1);
}

// A shared prompt of 3 tokens before two branches: expanded rows and the fold of their gradient.
TEST_P(CudaRowsTest, RoundTripOfASharedPrefix) {
  const std::vector<int64_t> expand = {0, 1, 2, 3, 4, 0, 1, 2, 5};  // [P W | P L]
  const RowGroups fold = group_rows(expand.data(), 9);
  EXPECT_EQ(fold.target, (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
  const auto keys = narrowed<BF16>(normal(6 * 16));
  std::vector<BF16> expanded(9 * 16), back(6 * 16);
  gather_rows(keys.data(), 16, 16, expand.data(), 9, expanded.data(), nullptr);
  sum_row_groups(back.data(), 16, 16, nullptr, fold.begin.data(), fold.source.data(), 6,
                 expanded.data(), false, nullptr);
  for (size_t i = 0; i < back.size(); ++i)
    EXPECT_EQ(to_float(back[i]), to_float(keys[i]) * (i < 3 * 16 ? 2 : 1));
}

// Columns 8 to 15 of rows of 24, and back to them: the others stay as they are.
TEST_P(CudaRowsTest, ColumnsOfWiderRows) {
  for (const int64_t width : {8, 7}) {  // sixteen-byte vectors, single elements
    const auto x = narrowed<BF16>(normal(5 * 24));
    const std::vector<int64_t> index = {4, 0, 2}, begin = {0, 1, 2, 3}, source = {0, 1, 2};
    std::vector<BF16> out(static_cast<size_t>(3 * width));
    gather_rows(x.data() + 8, 24, width, index.data(), 3, out.data(), nullptr);
    auto back = x;
    for (const int64_t row : index)
      for (int64_t c = 0; c < width; ++c) back[static_cast<size_t>(row * 24 + 8 + c)] = {0x7fc0};
    sum_row_groups(back.data() + 8, 24, width, index.data(), begin.data(), source.data(), 3,
                   out.data(), false, nullptr);
    EXPECT_TRUE(same_bits(back, x)) << "width " << width;
  }
  float x = 0;
  const int64_t index = 0;
  EXPECT_THROW(gather_rows(&x, 1, 2, &index, 1, &x, nullptr), Error);
  EXPECT_THROW(sum_row_groups(&x, 1, 2, nullptr, nullptr, nullptr, 1, &x, false, nullptr), Error);
}

TEST_P(CudaRowsTest, ZeroRowsTouchNothing) {
  gather_rows(static_cast<const float*>(nullptr), 8, 8, nullptr, 0, static_cast<float*>(nullptr),
              nullptr);
  sum_row_groups(static_cast<float*>(nullptr), 8, 8, nullptr, nullptr, nullptr, 0,
                 static_cast<const float*>(nullptr), true, nullptr);
}

TEST_P(CudaRowsTest, RejectsMixedTypes) {
  float x = 0;
  BF16 y = {};
  const int64_t index = 0;
  EXPECT_THROW(gather_rows(&x, 1, 1, &index, 1, &y, nullptr), Error);
}

TEST_P(CudaRowsTest, SequenceSumsMatchReference) {
  const std::vector<int64_t> first = {0, 1, 1, 130, 700};  // one label, none, many
  std::vector<float> x, y;
  for (const double v : normal(700)) x.push_back(static_cast<float>(v));
  for (const double v : normal(700)) y.push_back(static_cast<float>(v));
  std::vector<double> sum(4, kNaN), mean(4, kNaN), want_sum(4, 0), want_mean(4, 0);
  for (size_t s = 0; s < 4; ++s) {
    for (auto i = first[s]; i < first[s + 1]; ++i) {
      want_sum[s] += static_cast<double>(x[static_cast<size_t>(i)]);
      want_mean[s] += static_cast<double>(y[static_cast<size_t>(i)]);
    }
    if (first[s + 1] > first[s]) want_mean[s] /= static_cast<double>(first[s + 1] - first[s]);
  }
  const SequenceSum sums[2] = {{x.data(), sum.data(), false}, {y.data(), mean.data(), true}};
  sequence_sums(first.data(), 4, sums, 2, nullptr);
  expect_near(sum, want_sum, 1e-13, 1e-13, "sum");
  expect_near(mean, want_mean, 1e-13, 1e-13, "mean");
  EXPECT_THROW(sequence_sums(first.data(), 4, sums, kMaxSequenceSums + 1, nullptr), Error);
}

TEST_P(CudaRowsTest, CoefficientsReachTheirLabels) {
  const std::vector<int64_t> first = {0, 2, 2, 203};
  const std::vector<double> d = {0.5, 7, -0.25};
  std::vector<float> out(203, kNaN);
  spread_to_labels(d.data(), first.data(), 3, out.data(), nullptr);
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], i < 2 ? 0.5f : -0.25f);
}

// Sums weighted by marks and their way back, against the same sums written out; p near 1 has no
// slope in log(1 - p).
TEST_P(CudaRowsTest, MarksMatchReference) {
  const std::vector<int64_t> first = {0, 3, 3, 190};
  std::vector<double> mark = normal(190);
  std::vector<float> logp;
  for (const double v : normal(190)) logp.push_back(static_cast<float>(-std::abs(v)));
  mark[1] = 0;
  logp[2] = -1e-8f;
  std::vector<double> marked(3, kNaN), unlikely(3, kNaN), want(3, 0), want_unlikely(3, 0);
  const std::vector<double> d = {0.5, 7, -0.25}, d_marked = {2, 3, -1}, d_unlikely = {0.5, 1, 3};
  std::vector<float> out(190, kNaN);
  std::vector<double> want_out;
  for (size_t s = 0; s < 3; ++s)
    for (auto l = static_cast<size_t>(first[s]); l < static_cast<size_t>(first[s + 1]); ++l) {
      const double x = static_cast<double>(logp[l]), p = std::exp(x);
      const bool certain = 1 - p < 1e-6;
      want[s] += mark[l] * x;
      want_unlikely[s] += mark[l] * std::log(certain ? 1e-6 : 1 - p);
      want_out.push_back(d[s] +
                         mark[l] * (d_marked[s] + (certain ? 0 : d_unlikely[s] * -p / (1 - p))));
    }
  marked_sums(first.data(), 3, mark.data(), logp.data(), marked.data(), unlikely.data(), nullptr);
  expect_near(marked, want, 1e-12, 1e-12, "marked");
  expect_near(unlikely, want_unlikely, 1e-12, 1e-12, "unlikely");
  spread_to_labels(d.data(), first.data(), 3, out.data(), nullptr,
                   {mark.data(), logp.data(), d_marked.data(), d_unlikely.data()});
  expect_near(widened(out), want_out, 1e-6, 1e-6, "coefficients");
  EXPECT_THROW(spread_to_labels(d.data(), first.data(), 3, out.data(), nullptr, {mark.data()}),
               Error);
}

}  // namespace
}  // namespace pref::kernels::cuda
