// SPDX-License-Identifier: Apache-2.0
// The CUDA statistics and gradient of logits, run on the CPU through their own launchers, against
// the double oracle and the CPU kernel.
#include "kernels/cuda/logprob.h"

#include <gmock/gmock.h>

#include "kernels/reference/logprob.h"
#include "libpref/base/error.h"
#include "tests/simt/simt_test_util.h"

namespace pref::kernels::cuda {
namespace {

using reference::RowStatistics;
constexpr double kInfinite = std::numeric_limits<double>::infinity();

struct Statistics {
  std::vector<float> logp, lse, collision, entropy, max_logp, hit, mean_logit;
  explicit Statistics(size_t rows) {
    for (auto* v : all()) v->assign(rows, kNaN);
  }
  std::vector<std::vector<float>*> all() {
    return {&logp, &lse, &collision, &entropy, &max_logp, &hit, &mean_logit};
  }
  TokenStatistics pointers() {
    return {logp.data(),     lse.data(), collision.data(), entropy.data(),
            max_logp.data(), hit.data(), mean_logit.data()};
  }
};

template <class T>
struct Case {
  int64_t vocab, stride;
  std::vector<T> logits;
  std::vector<int64_t> labels;
  LogitTransform transform{};

  int64_t rows() const { return static_cast<int64_t>(labels.size()); }
  std::vector<double> row(int64_t i) const {
    const auto begin = logits.begin() + i * stride;
    return widened(std::vector<T>(begin, begin + vocab));
  }
  std::vector<double> transformed_row(int64_t i) const {
    return reference::transform_logits(row(i), transform.scale, transform.soft_cap);
  }
  Statistics statistics() const {
    Statistics out(labels.size());
    std::vector<LogprobPartial> workspace(
        static_cast<size_t>(rows() * logprob_parts(rows(), vocab)));
    logprob_statistics(logits.data(), rows(), vocab, stride, labels.data(), transform,
                       out.pointers(), workspace.data(), nullptr);
    return out;
  }
  std::vector<T> gradient(const Statistics& s, const std::vector<float>& d_logp) const {
    std::vector<T> out = logits;
    std::vector<RowGradient> workspace(labels.size());
    logprob_gradient(out.data(), rows(), vocab, stride, labels.data(), s.logp.data(), s.lse.data(),
                     d_logp.data(), transform, workspace.data(), nullptr);
    return out;
  }
};

class CudaLogprobTest : public SimtTest {
 protected:
  template <class T>
  Case<T> random_case(int64_t rows, int64_t vocab, int64_t stride, double deviation = 3,
                      double mean = 0, LogitTransform transform = {}) {
    Case<T> out{vocab, stride, narrowed<T>(normal(rows * stride, deviation, mean)), {}, transform};
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t v = vocab; v < stride; ++v)  // columns that do not belong to the vocabulary
        out.logits[static_cast<size_t>(i * stride + v)] = Elements<T>::round(kNaN);
      out.labels.push_back(integer(0, vocab - 1));
    }
    return out;
  }

  template <class T>
  void expect_statistics(const Case<T>& c) {
    Statistics got = c.statistics();
    Statistics expected(c.labels.size());
    std::vector<std::vector<double>> want(7);
    for (int64_t i = 0; i < c.rows(); ++i) {
      const RowStatistics row =
          reference::row_statistics(c.transformed_row(i), c.labels[static_cast<size_t>(i)]);
      const double all[] = {row.logp,     row.lse, row.collision, row.entropy,
                            row.max_logp, row.hit, row.mean_logit};
      for (size_t k = 0; k < 7; ++k) want[k].push_back(all[k]);
    }
    const double cap = 4e-7 * c.transform.soft_cap;
    const char* names[] = {"logp", "lse", "collision", "entropy", "max_logp", "hit", "mean_logit"};
    const double absolute[] = {1e-6, 1e-6, 3e-6, 2e-6, 1e-6, 0, 2e-6};
    for (size_t k = 0; k < 7; ++k)
      expect_near(widened(*got.all()[k]), want[k], k == 5 ? 0 : 5e-7, absolute[k] + cap,
                  std::string(names[k]) + " V " + std::to_string(c.vocab));
  }

  template <class T>
  void expect_gradient(const Case<T>& c) {
    const Statistics s = c.statistics();
    std::vector<float> d_logp;
    for (const double x : normal(c.rows())) d_logp.push_back(static_cast<float>(x));
    if (c.rows() > 1) d_logp[1] = 0;  // a masked row
    const auto got = c.gradient(s, d_logp);
    for (int64_t i = 0; i < c.rows(); ++i) {
      const auto label = c.labels[static_cast<size_t>(i)];
      const auto want = reference::row_gradient(c.row(i), label, d_logp[static_cast<size_t>(i)],
                                                c.transform.scale, c.transform.soft_cap);
      const double relative = 4e-6 + 6e-7 * c.transform.soft_cap + (sizeof(T) == 2 ? 4e-3 : 0);
      const auto begin = got.begin() + i * c.stride;
      expect_near(widened(std::vector<T>(begin, begin + c.vocab)), want, relative, 2e-7,
                  "dz of row " + std::to_string(i) + " V " + std::to_string(c.vocab));
      for (int64_t v = c.vocab; v < c.stride; ++v)
        EXPECT_TRUE(std::isnan(to_float(begin[v]))) << "column " << v << " was written";
    }
  }
};
PREF_EVERY_SCHEDULE(CudaLogprobTest);

TEST_P(CudaLogprobTest, Value) {
  // e^z = 1, 2, 4 of 7: p = 1/7, 2/7, 4/7; sum p^2 = 3/7; entropy = ln 7 - 10/7 ln 2.
  const double ln2 = std::log(2.0);
  const Case<float> c{3, 3, narrowed<float>({0, ln2, 2 * ln2, 0, ln2, 2 * ln2}), {1, 2}};
  const Statistics out = c.statistics();
  EXPECT_NEAR(out.logp[0], std::log(2.0 / 7), 3e-7);
  EXPECT_NEAR(out.logp[1], std::log(4.0 / 7), 3e-7);
  EXPECT_EQ(out.hit, (std::vector<float>{0, 1}));
  for (const size_t row : {0, 1}) {
    EXPECT_NEAR(out.lse[row], std::log(7.0), 3e-7);
    EXPECT_NEAR(out.collision[row], std::log(3.0 / 7), 3e-7);
    EXPECT_NEAR(out.entropy[row], std::log(7.0) - 10.0 / 7 * ln2, 3e-7);
    EXPECT_NEAR(out.max_logp[row], std::log(4.0 / 7), 3e-7);
    EXPECT_NEAR(out.mean_logit[row], ln2, 3e-7);
  }
  // c = 7: dz = 7 (1[label] - p)
  const auto dz = c.gradient(out, {7, -7});
  expect_near(widened(dz), {-1, 5, -4, 1, 2, -3}, 1e-6, 1e-6, "dz");
}

TEST_P(CudaLogprobTest, MatchesReference) {
  for (const int64_t vocab : {1, 7, 31, 33, 257, 8191, 32000}) {
    const int64_t rows = vocab > 10000 ? 3 : 5;
    expect_statistics(random_case<float>(rows, vocab, vocab));
    expect_statistics(random_case<BF16>(rows, vocab, vocab));
    expect_statistics(random_case<BF16>(2, vocab, vocab + 3));  // rows off the vector boundary
  }
  expect_statistics(random_case<BF16>(1, 128257, 128257));
  expect_statistics(random_case<float>(1, 128257, 128260));
}

TEST_P(CudaLogprobTest, GradientMatchesReference) {
  for (const int64_t vocab : {1, 7, 31, 33, 257, 8191, 32000}) {
    const int64_t rows = vocab > 10000 ? 3 : 5;
    expect_gradient(random_case<float>(rows, vocab, vocab));
    expect_gradient(random_case<BF16>(rows, vocab, vocab));
    expect_gradient(random_case<BF16>(2, vocab, vocab + 3));
  }
  expect_gradient(random_case<BF16>(1, 128257, 128257));
  expect_gradient(random_case<float>(1, 128257, 128260));
}

TEST_P(CudaLogprobTest, TransformsMatchReference) {
  for (const LogitTransform transform : {LogitTransform{0.25f, 0}, {1, 30}, {0.5f, 5}}) {
    expect_statistics(random_case<float>(3, 1000, 1001, 8, 0, transform));
    expect_statistics(random_case<BF16>(3, 1000, 1000, 8, 0, transform));
    expect_gradient(random_case<float>(3, 1000, 1001, 8, 0, transform));
    expect_gradient(random_case<BF16>(3, 1000, 1000, 8, 0, transform));
  }
}

// The maximum comes late and from another thread, warp or part than what was summed before it.
TEST_P(CudaLogprobTest, RisingLogitsMatchReference) {
  for (const int64_t vocab : {300, 33000}) {
    auto c = random_case<float>(2, vocab, vocab);
    for (int64_t v = 0; v < vocab; ++v) {
      c.logits[static_cast<size_t>(v)] = static_cast<float>(v) * 40 / static_cast<float>(vocab);
      c.logits[static_cast<size_t>(vocab + v)] = -c.logits[static_cast<size_t>(v)];
    }
    expect_statistics(c);
    expect_gradient(c);
  }
}

TEST_P(CudaLogprobTest, ShiftedLogitsLoseNothing) {
  for (const double mean : {-1e4, 1e4}) {
    const auto c = random_case<float>(3, 1000, 1000, 3, mean);
    const Statistics out = c.statistics();
    for (int64_t i = 0; i < 3; ++i) {
      const auto want = reference::row_statistics(c.row(i), c.labels[static_cast<size_t>(i)]);
      EXPECT_NEAR(out.logp[static_cast<size_t>(i)], want.logp, 3e-6);
      EXPECT_NEAR(out.entropy[static_cast<size_t>(i)], want.entropy, 3e-6);
    }
    expect_gradient(c);
  }
}

TEST_P(CudaLogprobTest, CertainLabelsStayFinite) {
  auto c = random_case<BF16>(2, 4096, 4096, 1);
  c.logits[static_cast<size_t>(c.labels[0])] = Elements<BF16>::round(30);
  c.logits[static_cast<size_t>(4096 + c.labels[1])] = Elements<BF16>::round(300);
  expect_statistics(c);
  expect_gradient(c);
}

TEST_P(CudaLogprobTest, ZeroRowsTouchNothing) {
  const Case<float> c{31, 31, {}, {}};
  const Statistics out = c.statistics();
  EXPECT_TRUE(c.gradient(out, {}).empty());
}

TEST_P(CudaLogprobTest, SplitRowsMatchWholeRows) {
  EXPECT_EQ(logprob_parts(512, 128257), 1);
  EXPECT_EQ(logprob_parts(1, 128257), 8);
  EXPECT_EQ(logprob_parts(300, 32000), 2);
  EXPECT_EQ(logprob_parts(1, 31), 1);
  EXPECT_EQ(logprob_parts(0, 32000), 1);
}

// Columns in three shards of unlike width, as ranks hold them, laid out [shard][row].
TEST_P(CudaLogprobTest, ShardsMatchWholeRows) {
  const auto c = random_case<BF16>(4, 1003, 1003);
  const std::vector<int64_t> begin = {0, 400, 401, 1003};
  std::vector<LogprobPartial> partials(12);
  for (size_t s = 0; s + 1 < begin.size(); ++s)
    logprob_partials(c.logits.data() + begin[s], 4, begin[s + 1] - begin[s], 1003, c.labels.data(),
                     begin[s], {}, partials.data() + 4 * s, nullptr);
  Statistics got(4), whole = c.statistics();
  logprob_merge(partials.data(), 4, 3, 1, 4, 1003, {}, got.pointers(), nullptr);
  for (size_t k = 0; k < 7; ++k)
    expect_near(widened(*got.all()[k]), widened(*whole.all()[k]), 1e-6, 1e-6, std::to_string(k));
}

TEST_P(CudaLogprobTest, NonFiniteLogitsStayInTheirRow) {
  for (const float bad : {kNaN, static_cast<float>(kInfinite), -static_cast<float>(kInfinite)}) {
    auto c = random_case<float>(3, 300, 300);
    const auto clean = c.statistics();
    c.logits[300 + 17] = bad;
    Statistics out = c.statistics();
    Statistics before = clean;
    for (size_t k = 0; k < 7; ++k) {
      const auto& v = *out.all()[k];
      EXPECT_EQ(v[0], (*before.all()[k])[0]);
      EXPECT_EQ(v[2], (*before.all()[k])[2]);
      if (k == 5) {
        EXPECT_EQ(v[1], 0);
      } else {
        EXPECT_FALSE(std::isfinite(v[1])) << k;
      }
    }
    const auto dz = c.gradient(out, {1, 1, 1});
    EXPECT_TRUE(
        std::all_of(dz.begin() + 300, dz.begin() + 600, [](float x) { return std::isnan(x); }));
    EXPECT_TRUE(std::all_of(dz.begin() + 600, dz.end(), [](float x) { return std::isfinite(x); }));
    const auto zeros = c.gradient(out, {0, 0, 0});
    EXPECT_THAT(zeros, testing::Each(0.0f));
  }
}

TEST_P(CudaLogprobTest, LabelsOutsideTheVocabularyAreNotRead) {
  for (const int64_t label : {int64_t{-1}, int64_t{31}, int64_t{1} << 40}) {
    auto c = random_case<float>(2, 31, 31);
    c.labels[1] = label;
    const Statistics out = c.statistics();
    EXPECT_EQ(out.logp[1], -kInfinite);
    EXPECT_EQ(out.hit[1], 0);
    EXPECT_TRUE(std::isfinite(out.lse[1]));
    const auto dz = c.gradient(out, {1, 1});
    EXPECT_TRUE(std::isfinite(dz[30]));
    EXPECT_TRUE(std::isnan(dz[31]));
  }
}

TEST_P(CudaLogprobTest, TiesCountAsHits) {
  const Case<float> c{4, 4, {1, 2, 2, 0, 1, 2, 2, 0}, {2, 0}};
  EXPECT_EQ(c.statistics().hit, (std::vector<float>{1, 0}));
}

TEST_P(CudaLogprobTest, RejectsBadShapes) {
  const Case<float> c{3, 2, {1, 2, 3}, {0}};
  EXPECT_THROW(c.statistics(), Error);
  EXPECT_THROW((Case<float>{3, 3, {1, 2, 3}, {0}, {0, 0}}).statistics(), Error);
  EXPECT_THROW(logprob_statistics(c.logits.data(), 1, 128257, 128257, c.labels.data(), {}, {},
                                  nullptr, nullptr),
               Error);
}

// Rows give the same bits in any company and under any schedule.
TEST_P(CudaLogprobTest, InvariantToTheSchedule) {
  const auto c = random_case<BF16>(3, 9000, 9000);
  Statistics here = c.statistics();
  simt::WithOptions forward({});
  Statistics there = c.statistics();
  for (size_t k = 0; k < 7; ++k) EXPECT_TRUE(same_bits(*here.all()[k], *there.all()[k])) << k;
}

}  // namespace
}  // namespace pref::kernels::cuda
