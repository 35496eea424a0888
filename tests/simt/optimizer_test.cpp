// SPDX-License-Identifier: Apache-2.0
// AdamW on split weights, global norm, clip factor and finite check, run on the CPU through their
// own launchers.
#include <gmock/gmock.h>

#include <bit>

#include "kernels/cuda/adamw.h"
#include "kernels/cuda/norm.h"
#include "kernels/reference/adamw.h"
#include "libpref/base/error.h"
#include "tests/simt/simt_test_util.h"

namespace pref::kernels::cuda {
namespace {

constexpr AdamWStep kStep = {.learning_rate = 1e-3,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .eps = 1e-8,
                             .weight_decay = 0.1,
                             .step = 1};

std::vector<float> floats(const std::vector<double>& x) { return {x.begin(), x.end()}; }

class CudaAdamWTest : public SimtTest {};
PREF_EVERY_SCHEDULE(CudaAdamWTest);

TEST_P(CudaAdamWTest, MatchesReference) {
  constexpr int64_t kCount = 2061;  // vectors, a tail, a second block
  auto weight = floats(normal(kCount)), m = floats(std::vector<double>(kCount)), v = m;
  std::vector<reference::AdamWElement<double>> want;
  for (const float w : weight) want.push_back({.weight = static_cast<double>(w)});
  for (int t = 1; t <= 5; ++t) {
    // Differs from step to step: the step's size does not know a constant factor.
    const float clip = 0.25f * static_cast<float>(t);
    const auto g = floats(normal(kCount));
    AdamWStep step = kStep;
    step.step = t;
    step.gradient_scale = 2;
    adamw_update({weight.data(), nullptr, m.data(), v.data()}, g.data(), kCount, step, {&clip}, 0,
                 0, nullptr);
    for (size_t i = 0; i < want.size(); ++i)
      want[i].step(static_cast<double>(2 * clip * g[i]), 1e-3, 0.9, 0.95, 1e-8, 0.1, t);
  }
  std::vector<double> weights;
  for (const auto& w : want) weights.push_back(w.weight);
  expect_near(widened(weight), weights, 4e-7, 1e-7, "weight");
}

// Weights of 16 + 16 bits take the very steps of f32 weights, for any moments and gradients.
template <class M, class G>
void expect_split_equals_whole(std::vector<float> whole, const std::vector<G>& gradient,
                               uint64_t seed) {
  const auto count = static_cast<int64_t>(whole.size());
  std::vector<BF16> weight(whole.size());
  std::vector<int16_t> remainder(whole.size());
  split_master(whole.data(), count, weight.data(), remainder.data(), nullptr);
  std::vector<M> m(whole.size(), M{}), v = m, m2 = m, v2 = m;
  for (int t = 1; t <= 3; ++t) {
    AdamWStep step = kStep;
    step.step = t;
    adamw_update({whole.data(), nullptr, m.data(), v.data()}, gradient.data(), count, step, {},
                 seed, 0, nullptr);
    adamw_update({weight.data(), remainder.data(), m2.data(), v2.data()}, gradient.data(), count,
                 step, {}, seed, 0, nullptr);
  }
  std::vector<float> joined(whole.size(), kNaN);
  join_master(weight.data(), remainder.data(), count, joined.data(), nullptr);
  EXPECT_TRUE(same_bits(joined, whole));
  EXPECT_TRUE(same_bits(m, m2) && same_bits(v, v2));
  for (size_t i = 0; i < whole.size(); ++i)
    EXPECT_LE(std::abs(to_float(weight[i]) - whole[i]), std::abs(whole[i]) / 256);
}

TEST_P(CudaAdamWTest, SplitWeightsEqualWholeOnes) {
  for (const int64_t count : {1, 8, 1031}) {
    const auto weight = floats(normal(count, 0.02));
    const auto gradient = normal(count, 1e-3);
    expect_split_equals_whole<float>(weight, narrowed<float>(gradient), 0);
    expect_split_equals_whole<float>(weight, narrowed<BF16>(gradient), 0);
    expect_split_equals_whole<BF16>(weight, narrowed<BF16>(gradient), 0);
    expect_split_equals_whole<BF16>(weight, narrowed<float>(gradient), 99);
  }
}

TEST_P(CudaAdamWTest, RoundTripOfTheMaster) {
  std::vector<float> x = {0.0f, -0.0f, 1.0f, -1.0f, 1e-40f, 3.38e38f, -3.38e38f, 1.17549435e-38f};
  for (int i = 0; i < 5000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(engine_()));
    if (std::abs(value) < 3.39e38f) x.push_back(value);
  }
  std::vector<BF16> weight(x.size());
  std::vector<int16_t> remainder(x.size());
  std::vector<float> back(x.size(), kNaN);
  const auto count = static_cast<int64_t>(x.size());
  split_master(x.data(), count, weight.data(), remainder.data(), nullptr);
  join_master(weight.data(), remainder.data(), count, back.data(), nullptr);
  EXPECT_TRUE(same_bits(x, back));
}

// Element by element: any split of a range, at any address, gives the bits of the whole.
TEST_P(CudaAdamWTest, InvariantToSplits) {
  constexpr size_t kCount = 100;
  const auto gradient = narrowed<BF16>(normal(kCount));
  const auto start = floats(normal(kCount));
  const auto run = [&](const std::vector<size_t>& cuts) {
    auto weight = start;
    std::vector<BF16> m(kCount), v(kCount);
    for (size_t k = 0; k + 1 < cuts.size(); ++k) {
      const size_t a = cuts[k];
      adamw_update({weight.data() + a, nullptr, m.data() + a, v.data() + a}, gradient.data() + a,
                   static_cast<int64_t>(cuts[k + 1] - a), kStep, {}, 5, static_cast<int64_t>(a),
                   nullptr);
    }
    for (const BF16 x : m) weight.push_back(to_float(x));
    return weight;
  };
  EXPECT_TRUE(same_bits(run({0, kCount}), run({0, 3, 40, kCount})));
}

TEST_P(CudaAdamWTest, SkipsOnTheDevicesWord) {
  auto weight = floats(normal(20));
  const auto before = weight;
  const auto gradient = weight;
  std::vector<float> m(20, 1), v(20, 1);
  int skip = 1;
  adamw_update({weight.data(), nullptr, m.data(), v.data()}, gradient.data(), 20, kStep,
               {nullptr, &skip}, 0, 0, nullptr);
  EXPECT_EQ(weight, before);
  EXPECT_THAT(m, testing::Each(1));
  skip = 0;
  adamw_update({weight.data(), nullptr, m.data(), v.data()}, gradient.data(), 20, kStep,
               {nullptr, &skip}, 0, 0, nullptr);
  EXPECT_NE(weight, before);
}

// At random a bf16 second moment falls on average as an f32 one does; to nearest it never falls.
TEST_P(CudaAdamWTest, RandomRoundingIsUnbiased) {
  constexpr int64_t kCount = 4096;
  AdamWStep step = kStep;
  step.beta2 = 0.999;
  const auto mean_after = [&](uint64_t seed) {
    std::vector<float> weight(kCount, 1), gradient(kCount, 0);
    std::vector<BF16> m(kCount, Elements<BF16>::round(1)), v = m;
    for (int t = 1; t <= 20; ++t) {
      step.step = t;
      adamw_update({weight.data(), nullptr, m.data(), v.data()}, gradient.data(), kCount, step, {},
                   seed, 0, nullptr);
    }
    double sum = 0;
    for (const BF16 x : v) sum += static_cast<double>(to_float(x));
    return sum / kCount;
  };
  EXPECT_EQ(mean_after(0), 1.0);
  EXPECT_NEAR(mean_after(7), std::pow(0.999, 20), 0.002);  // deviation of the mean about 0.0003
}

TEST_P(CudaAdamWTest, RejectsWhatHasNoEffect) {
  float x = 0;
  BF16 q = {};
  EXPECT_THROW(adamw_update({&x, nullptr, &x, &x}, &x, 1, kStep, {}, 3, 0, nullptr), Error);
  EXPECT_THROW(adamw_update({&q, nullptr, &x, &x}, &x, 1, kStep, {}, 0, 0, nullptr), Error);
  EXPECT_THROW(adamw_update({&x, nullptr, &x, &q}, &x, 1, kStep, {}, 0, 0, nullptr), Error);
}

class CudaNormTest : public SimtTest {};
PREF_EVERY_SCHEDULE(CudaNormTest);

template <class T>
void expect_sum_of_squares(const std::vector<T>& x) {
  const auto count = static_cast<int64_t>(x.size());
  std::vector<double> workspace(static_cast<size_t>(sum_of_squares_workspace(count)), kNaN);
  double total = 2, want = 2;
  for (const double v : widened(x)) want += v * v;
  sum_of_squares(x.data(), count, workspace.data(), &total, nullptr);
  EXPECT_NEAR(total / want, 1, 1e-6) << count;
}

TEST_P(CudaNormTest, SumOfSquaresMatchesReference) {
  for (const int64_t count : {0, 1, 7, 8, 2049, 5000}) {
    expect_sum_of_squares(narrowed<float>(normal(count)));
    expect_sum_of_squares(narrowed<BF16>(normal(count)));
  }
}

TEST_P(CudaNormTest, ClipFactorAsTorchHasIt) {
  float norm = kNaN, factor = kNaN;
  int non_finite = 0;
  const auto run = [&](double total, double max_norm) {
    clip_factor(&total, max_norm, &norm, &factor, &non_finite, nullptr);
  };
  run(9, 1);
  EXPECT_EQ(norm, 3);
  EXPECT_NEAR(factor, 1 / (3 + 1e-6), 1e-7);
  EXPECT_EQ(non_finite, 0);
  run(9, 4);
  EXPECT_EQ(factor, 1);
  run(9, 0);
  EXPECT_EQ(factor, 1);
  run(0, 1);
  EXPECT_EQ(factor, 1);
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    run(bad, 1);
    EXPECT_EQ(non_finite, 1);
    EXPECT_EQ(factor, 0);
    run(9, 1);
    EXPECT_EQ(non_finite, 1) << "stays until it is cleared";
    non_finite = 0;
  }
}

template <class T>
void expect_flags(std::vector<T> x) {
  const auto flag_of = [&] {
    int flag = 0;
    flag_non_finite(x.data(), static_cast<int64_t>(x.size()), &flag, nullptr);
    return flag;
  };
  EXPECT_EQ(flag_of(), 0);
  for (const float bad : {kNaN, std::numeric_limits<float>::infinity()})
    for (const size_t at : {size_t{0}, x.size() / 2, x.size() - 1}) {
      const T before = x[at];
      x[at] = Elements<T>::round(bad);
      EXPECT_EQ(flag_of(), 1) << at;
      x[at] = before;
    }
}

TEST_P(CudaNormTest, FlagsWhatIsNotFinite) {
  for (const int64_t count : {1, 9, 3000}) {
    expect_flags(narrowed<float>(normal(count)));
    expect_flags(narrowed<BF16>(normal(count)));
  }
}

TEST_P(CudaNormTest, RejectsOddAddresses) {
  std::vector<float> x(5);
  double work = 0, total = 0;
  EXPECT_THROW(sum_of_squares(x.data() + 1, 4, &work, &total, nullptr), Error);
}

}  // namespace
}  // namespace pref::kernels::cuda
