// SPDX-License-Identifier: Apache-2.0
// Statistics of logits against a double oracle that computes each from its definition.
#include "kernels/logprob.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "kernels/reference/logprob.h"
#include "libpref/base/error.h"
#include "tests/kernels/target_test.h"
#include "tests/reference/budget.h"

namespace pref::kernels {
namespace {

using reference::Budget;
using reference::RowStatistics;

// Every output of a call, owned.
struct Statistics {
  std::vector<float> logp, lse, collision, entropy, max_logp, hit, mean_logit;
  explicit Statistics(int64_t rows, float fill = -777) {
    for (auto* v : all()) v->assign(static_cast<size_t>(rows), fill);
  }
  std::vector<std::vector<float>*> all() {
    return {&logp, &lse, &collision, &entropy, &max_logp, &hit, &mean_logit};
  }
  TokenStatistics pointers(int64_t row = 0) {
    return {logp.data() + row,     lse.data() + row, collision.data() + row, entropy.data() + row,
            max_logp.data() + row, hit.data() + row, mean_logit.data() + row};
  }
};

Statistics statistics_of(const std::vector<float>& logits, int64_t vocab, int64_t stride,
                         const std::vector<int64_t>& labels, LogitTransform transform = {}) {
  const auto rows = static_cast<int64_t>(labels.size());
  Statistics out(rows);
  logprob_statistics(logits.data(), rows, vocab, stride, labels.data(), transform, out.pointers());
  return out;
}

class LogprobTest : public TargetTest {};
PREF_EVERY_TARGET(LogprobTest);

TEST_P(LogprobTest, Value) {
  // e^z = 1, 2, 4 of 7: p = 1/7, 2/7, 4/7. sum p^2 = 21/49 = 3/7.
  // entropy = (1 ln 7 + 2 ln 7/2 + 4 ln 7/4) / 7 = ln 7 - (2 ln 2 + 4 ln 4) / 7 = ln 7 - 10/7 ln 2.
  const float ln2 = std::log(2.0f);
  const std::vector<float> logits = {0, ln2, 2 * ln2, 0, ln2, 2 * ln2};
  const Statistics out = statistics_of(logits, 3, 3, {1, 2});
  EXPECT_NEAR(out.logp[0], std::log(2.0 / 7), 2e-7);
  EXPECT_NEAR(out.logp[1], std::log(4.0 / 7), 2e-7);
  EXPECT_EQ(out.hit, (std::vector<float>{0, 1}));
  for (const size_t row : {0, 1}) {
    EXPECT_NEAR(out.lse[row], std::log(7.0), 2e-7);
    EXPECT_NEAR(out.collision[row], std::log(3.0 / 7), 2e-7);
    EXPECT_NEAR(out.entropy[row], std::log(7.0) - 10.0 / 7 * std::log(2.0), 2e-7);
    EXPECT_NEAR(out.max_logp[row], std::log(4.0 / 7), 2e-7);
    EXPECT_NEAR(out.mean_logit[row], std::log(2.0), 2e-7);
  }
}

TEST_P(LogprobTest, OneTokenVocabularyIsCertain) {
  const Statistics out = statistics_of({-3.5f}, 1, 1, {0});
  EXPECT_EQ(out.logp[0], 0);
  EXPECT_EQ(out.entropy[0], 0);
  EXPECT_EQ(out.collision[0], 0);
  EXPECT_EQ(out.lse[0], -3.5f);
  EXPECT_EQ(out.mean_logit[0], -3.5f);
  EXPECT_EQ(out.hit[0], 1);
}

struct Case {
  const char* name;
  float deviation, offset, peak;
  LogitTransform transform;
};
const Case kCases[] = {
    {"usual", 3, 0, 0, {}},
    {"flat", 0.01f, 0, 0, {}},
    {"wide", 30, 0, 0, {}},
    {"peaked", 2, 0, 25, {}},
    {"far above zero", 3, 1e4f, 0, {}},
    {"far below zero", 3, -1e4f, 5, {}},
    {"scaled", 3, 0, 0, {0.125f, 0}},
    {"capped", 20, 0, 0, {1, 30}},
    {"scaled and capped", 9, 0, 0, {2.5f, 50}},
};
const int64_t kVocabularies[] = {1, 2, 7, 31, 32, 33, 1000, 1024, 1025, 32000, 128257};

TEST_P(LogprobTest, MatchesReference) {
  for (const Case& c : kCases) {
    double worst_logp = 0;
    for (const int64_t vocab : kVocabularies) {
      SCOPED_TRACE(testing::Message() << c.name << ", vocabulary " << vocab);
      const int64_t rows = vocab > 2000 ? 2 : 5, stride = vocab + 3;
      std::vector<float> logits = normal(rows * stride, c.deviation, c.offset);
      std::vector<int64_t> labels;
      for (int64_t row = 0; row < rows; ++row) {
        float* z = logits.data() + row * stride;
        const int64_t label =
            row == 1 ? vocab - 1 : static_cast<int64_t>(engine_() % static_cast<uint64_t>(vocab));
        labels.push_back(label);
        if (row % 2 == 1) z[label] += c.peak;
        // Padded columns are never read.
        std::fill(z + vocab, z + stride, kNaN);
      }
      const Statistics out = statistics_of(logits, vocab, stride, labels, c.transform);
      Budget logp;
      for (size_t row = 0; row < labels.size(); ++row) {
        const float* z = logits.data() + static_cast<int64_t>(row) * stride;
        const std::vector<double> exact = reference::transform_logits(
            widened({z, z + vocab}), c.transform.scale, c.transform.soft_cap);
        const RowStatistics expected = reference::row_statistics(exact, labels[row]);
        logp.see(out.logp[row], reference::plain_logp({exact.begin(), exact.end()}, labels[row]),
                 expected.logp);
        // A capped logit is rounded at the cap's size before any sum.
        const double spread =
            1 + std::abs(expected.logp) + std::abs(expected.entropy) + c.transform.soft_cap / 4;
        EXPECT_NEAR(out.lse[row], expected.lse, 1.5e-7 * std::abs(expected.lse) + 4e-7 * spread);
        EXPECT_NEAR(out.collision[row], expected.collision, 1e-6 * spread);
        EXPECT_NEAR(out.entropy[row], expected.entropy, 1e-6 * spread);
        EXPECT_NEAR(out.max_logp[row], expected.max_logp, 4e-7 * spread);
        if (c.transform.soft_cap == 0) {
          EXPECT_EQ(out.hit[row], expected.hit);
        }
        EXPECT_NEAR(out.mean_logit[row], expected.mean_logit,
                    2e-7 * (c.deviation + std::abs(expected.mean_logit)));
      }
      // The floor is one rounding of the capped or scaled logits themselves, and one of 1.
      double floor = 1.2e-7;
      if (c.transform.soft_cap > 0) floor += 4e-7 * c.transform.soft_cap;
      EXPECT_TRUE(logp.kept(floor)) << "kernel " << logp.kernel << ", plain fp32 " << logp.plain;
      worst_logp = std::max(worst_logp, logp.kernel);
    }
    RecordProperty(std::string("worst_logp_") + c.name, std::to_string(worst_logp * 1e7) + "e-7");
  }
}

TEST_P(LogprobTest, KeepsSmallTails) {
  // p = 1 - 5e4 e^-gap: log p keeps its relative precision, where 1 + tail in f32 would be 1.
  const int64_t vocab = 50000;
  for (const float gap : {12.0f, 20.0f, 30.0f, 40.0f}) {
    for (const int64_t label : {0, 777, 49999}) {
      std::vector<float> logits = normal(vocab, 0.5);
      logits[static_cast<size_t>(label)] = gap;
      const RowStatistics expected = reference::row_statistics(widened(logits), label);
      const Statistics out = statistics_of(logits, vocab, vocab, {label});
      EXPECT_NEAR(out.logp[0] / expected.logp, 1, 1e-6) << "gap " << gap;
      EXPECT_NEAR(out.entropy[0] / expected.entropy, 1, 2e-6) << "gap " << gap;
    }
  }
}

TEST_P(LogprobTest, CountsTiesAsHits) {
  for (const int64_t vocab : {2, 33, 2050}) {
    std::vector<float> logits = normal(vocab);
    logits.front() = logits.back() = 9;
    for (const LogitTransform transform :
         {LogitTransform{}, LogitTransform{0.5f, 0}, LogitTransform{1, 30}}) {
      for (const int64_t label : {int64_t{0}, vocab - 1}) {
        const Statistics out = statistics_of(logits, vocab, vocab, {label}, transform);
        EXPECT_EQ(out.hit[0], 1);
        EXPECT_EQ(out.logp[0], out.max_logp[0]);
      }
    }
    if (vocab > 2) {
      EXPECT_EQ(statistics_of(logits, vocab, vocab, {1}).hit[0], 0);
    }
    // All equal: p = 1 / V.
    const std::vector<float> flat(static_cast<size_t>(vocab), -3.25f);
    const Statistics out = statistics_of(flat, vocab, vocab, {vocab / 2});
    const double log_vocab = std::log(static_cast<double>(vocab));
    EXPECT_NEAR(out.logp[0], -log_vocab, 1e-6);
    EXPECT_NEAR(out.collision[0], -log_vocab, 1e-6);
    EXPECT_NEAR(out.entropy[0], log_vocab, 1e-6);
    EXPECT_EQ(out.hit[0], 1);
  }
}

TEST_P(LogprobTest, InvariantToSplitsOfRowsAndToTheOutputsAskedFor) {
  const int64_t rows = 7, vocab = 2077, stride = 2081;
  const std::vector<float> logits = normal(rows * stride, 4);
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < rows; ++row) labels.push_back((row * 977) % vocab);
  for (const LogitTransform transform :
       {LogitTransform{}, LogitTransform{0.5f, 0}, LogitTransform{1, 30}}) {
    Statistics whole = statistics_of(logits, vocab, stride, labels, transform);
    Statistics split(rows), least(rows);
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{3, 7}, {0, 1}, {1, 3}}) {
      logprob_statistics(logits.data() + begin * stride, end - begin, vocab, stride,
                         labels.data() + begin, transform, split.pointers(begin));
    }
    const auto expected = whole.all(), got = split.all();
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_TRUE(same_bits(*got[i], *expected[i])) << "output " << i;

    logprob_statistics(logits.data(), rows, vocab, stride, labels.data(), transform,
                       {.logp = least.logp.data(), .lse = least.lse.data()});
    EXPECT_TRUE(same_bits(least.logp, whole.logp));
    EXPECT_TRUE(same_bits(least.lse, whole.lse));

    // Memory position: a row copied to an odd address gives the same bits.
    std::vector<float> shifted(static_cast<size_t>(vocab) + 1);
    std::copy_n(logits.begin(), vocab, shifted.begin() + 1);
    Statistics moved(1);
    logprob_statistics(shifted.data() + 1, 1, vocab, vocab, labels.data(), transform,
                       moved.pointers());
    EXPECT_EQ(moved.logp[0], whole.logp[0]);
    EXPECT_EQ(moved.entropy[0], whole.entropy[0]);
  }
}

TEST_P(LogprobTest, NonFiniteLogitsShowInEveryStatistic) {
  const int64_t vocab = 1100;
  const float garbage = std::bit_cast<float>(0xffffffffu);
  for (const float bad : {kNaN, -kNaN, garbage, kInfinity}) {
    for (const LogitTransform transform :
         {LogitTransform{}, LogitTransform{0.5f, 0}, LogitTransform{1, 30}}) {
      if (std::isinf(bad) && transform.soft_cap > 0) continue;  // capped: a finite logit
      for (const size_t place : {0, 5, 1023, 1024, 1098, 1099}) {
        std::vector<float> logits = normal(3 * vocab);
        logits[static_cast<size_t>(vocab) + place] = bad;
        Statistics out = statistics_of(logits, vocab, vocab, {5, 5, 5}, transform);
        for (const auto* values : out.all()) {
          EXPECT_TRUE(std::isfinite((*values)[0]) && std::isfinite((*values)[2]))
              << "other rows are not touched";
          if (values != &out.hit) {
            EXPECT_FALSE(std::isfinite((*values)[1])) << "place " << place;
          }
        }
        EXPECT_EQ(out.hit[1], 0);
      }
    }
  }
}

TEST_P(LogprobTest, RejectsLabelsOutsideTheVocabulary) {
  std::vector<int64_t> labels(43, 7);
  std::vector<float> logits(43 * 16);
  Statistics out(43);
  for (const int64_t bad : {int64_t{16}, int64_t{50304}, int64_t{-100}}) {
    labels[42] = bad;
    const std::string text = "[logprob] token[42] = " + std::to_string(bad) +
                             " is outside [0, 16). Was the tokenizer built for another model?";
    const auto forward = [&] {
      logprob_statistics(logits.data(), 43, 16, 16, labels.data(), {}, out.pointers());
    };
    const auto backward = [&] {
      logprob_gradient(logits.data(), 43, 16, 16, labels.data(), out.logp.data(), out.lse.data(),
                       out.hit.data(), {});
    };
    EXPECT_THAT(forward, testing::ThrowsMessage<Error>(testing::StrEq(text)));
    EXPECT_THAT(backward, testing::ThrowsMessage<Error>(testing::StrEq(text)));
  }
  EXPECT_EQ(out.logp[0], -777) << "nothing is written before the check";
}

}  // namespace
}  // namespace pref::kernels
