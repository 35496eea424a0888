// SPDX-License-Identifier: Apache-2.0
// Every objective of the list as the CUDA kernel runs it, against its own CPU loop: the functor is
// the same, so what is tested is the way of the numbers to it and back.
#include "libpref/objectives/pair_loss.h"

#include <gtest/gtest.h>

#include "tests/objectives/objective_test_util.h"
#include "tests/simt/simt_test_util.h"

namespace pref {
namespace {

using kernels::cuda::expect_near;
using pref::testing::Random;
using pref::testing::random_row;

struct Batch {
  std::vector<Row<double>> rows;
  std::vector<int64_t> first_sequence = {0}, first_label = {0};
  std::vector<double> logp, ref_logp, collision, max_logp, win_probability, score, weight, margin;
  std::vector<double> marked, ref_marked, unlikely, coupled;
  std::vector<int32_t> label;

  void add(const Row<double>& row) {
    rows.push_back(row);
    weight.push_back(row.weight);
    margin.push_back(row.margin);
    label.push_back(row.label);
    for (int k = 0; k < row.branches; ++k) {
      const Sequence<double>& s = row.branch[k];
      first_label.push_back(first_label.back() + static_cast<int64_t>(s.num_tokens));
      logp.push_back(s.logp);
      ref_logp.push_back(s.ref_logp);
      collision.push_back(s.collision);
      max_logp.push_back(s.max_logp);
      win_probability.push_back(s.win_probability);
      score.push_back(s.score);
      marked.push_back(s.marked);
      ref_marked.push_back(s.ref_marked);
      unlikely.push_back(s.unlikely);
      coupled.push_back(s.coupled);
    }
    first_sequence.push_back(static_cast<int64_t>(logp.size()));
  }
  DeviceRows device() const {
    return {static_cast<int64_t>(rows.size()),
            first_sequence.data(),
            first_label.data(),
            logp.data(),
            ref_logp.data(),
            collision.data(),
            max_logp.data(),
            win_probability.data(),
            score.data(),
            weight.data(),
            margin.data(),
            label.data(),
            marked.data(),
            ref_marked.data(),
            unlikely.data(),
            coupled.data()};
  }
};

struct Losses {
  std::vector<double> loss, d_logp, reward, exploration, pair_weight, d_marked, d_unlikely;
  explicit Losses(const Batch& batch) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (auto* v : {&loss, &exploration, &pair_weight}) v->assign(batch.rows.size(), nan);
    for (auto* v : {&d_logp, &reward, &d_marked, &d_unlikely}) v->assign(batch.logp.size(), nan);
  }
  DeviceRowLosses device() {
    return {loss.data(),        d_logp.data(),   reward.data(),    exploration.data(),
            pair_weight.data(), d_marked.data(), d_unlikely.data()};
  }
};

class CudaPairLossTest : public kernels::cuda::SimtTest {
 protected:
  static void expect_as_on_cpu(const Objective& objective, const Batch& batch) {
    const Normalizers normalizers{7, 130};
    Losses got(batch), want(batch);
    pair_losses(objective, normalizers, batch.device(), got.device(), nullptr);
    for (size_t r = 0; r < batch.rows.size(); ++r) {
      const RowLoss<double> row = objective(batch.rows[r], normalizers);
      want.loss[r] = row.loss;
      want.exploration[r] = row.exploration;
      want.pair_weight[r] = row.pair_weight;
      for (int64_t s = batch.first_sequence[r]; s < batch.first_sequence[r + 1]; ++s) {
        want.d_logp[static_cast<size_t>(s)] = row.d_logp[s - batch.first_sequence[r]];
        want.reward[static_cast<size_t>(s)] = row.reward[s - batch.first_sequence[r]];
        want.d_marked[static_cast<size_t>(s)] = row.d_marked[s - batch.first_sequence[r]];
        want.d_unlikely[static_cast<size_t>(s)] = row.d_unlikely[s - batch.first_sequence[r]];
      }
    }
    const std::string name = objective.name();
    expect_near(got.loss, want.loss, 1e-14, 0, name + " loss");
    expect_near(got.d_logp, want.d_logp, 1e-14, 0, name + " d_logp");
    expect_near(got.reward, want.reward, 1e-14, 0, name + " reward");
    expect_near(got.d_marked, want.d_marked, 1e-14, 0, name + " d_marked");
    expect_near(got.d_unlikely, want.d_unlikely, 1e-14, 0, name + " d_unlikely");
    expect_near(got.exploration, want.exploration, 1e-14, 0, name + " exploration");
    expect_near(got.pair_weight, want.pair_weight, 1e-14, 0, name + " pair_weight");
  }

  template <class T>
  static Batch random_batch(Random& random, const T& term) {
    Batch batch;
    for (int i = 0; i < 70; ++i) {  // more than one block
      const int branches = std::max(2, term.min_branches) + (T::min_branches > 2 ? i % 3 : 0);
      Row<double> row = random_row(random, branches);
      if (!has(T::accepts, Accepts::margin)) row.margin = 0;
      batch.add(row);
    }
    return batch;
  }
};
PREF_EVERY_SCHEDULE(CudaPairLossTest);

TEST_P(CudaPairLossTest, MatchesTheCpuForEveryObjective) {
  Random random;
  for_each_objective([&](const auto& term) {
    expect_as_on_cpu(Objective(Term(term)), random_batch(random, term));
  });
}

TEST_P(CudaPairLossTest, MatchesTheCpuForSumsAndModifiers) {
  Random random;
  Batch batch = random_batch(random, Hinge{});
  for (auto& row : batch.rows) row.margin = 0;
  batch.margin.assign(batch.margin.size(), 0);
  expect_as_on_cpu(Objective({{SFT{}, 0.3}, {DPO{}, 1.0}, {Hinge{}, 0.5}}), batch);
  expect_as_on_cpu(Objective({{DPO{}, 1.0}}, {.weighting = Weighting{}}), batch);
  Divergence js;
  js.f_divergence_type = FDivergence::js_divergence;
  expect_as_on_cpu(Objective({{DPO{}, 1.0}, {SFT{}, 0.1}}, {.divergence = js}), batch);
  js.f_divergence_reward = DivergenceReward::log_ratio;
  expect_as_on_cpu(Objective({{DPO{}, 1.0}}, {.divergence = js}), batch);
  expect_as_on_cpu(
      Objective({{DPO{}, 1.0}, {SFT{}, 0.1}}, {.length = LengthDesensitization{.ld_alpha = 0.4}}),
      batch);
  expect_as_on_cpu(Objective({{DPO{}, 1.0}}, {.average = Averaging{.average_log_prob = true}}),
                   batch);
}

TEST_P(CudaPairLossTest, RowsThatDoNotFitBecomeNaN) {
  Random random;
  Batch batch;
  for (int i = 0; i < 3; ++i) {
    Row<double> row = random_row(random, 2);
    row.margin = i == 1 ? 0.5 : 0;
    batch.add(row);
  }
  Losses got(batch);
  pair_losses(Objective(IPO{}), {1, 1}, batch.device(), got.device(), nullptr);
  if (has(IPO::accepts, Accepts::margin)) GTEST_SKIP() << "ipo takes margins";
  EXPECT_TRUE(std::isfinite(got.loss[0]) && std::isfinite(got.loss[2]));
  EXPECT_TRUE(std::isnan(got.loss[1]) && std::isnan(got.d_logp[2]) && std::isnan(got.d_logp[3]));
}

TEST_P(CudaPairLossTest, RejectsMissingArrays) {
  Random random;
  Batch batch;
  batch.add(random_row(random, 2));
  DeviceRows rows = batch.device();
  rows.ref_logp = nullptr;
  Losses out(batch);
  const auto text = pref::testing::error_of(
      ErrorKind::option, [&] { pair_losses(Objective(DPO{}), {}, rows, out.device(), nullptr); });
  EXPECT_NE(text.find("ref_logp"), std::string::npos) << text;
}

}  // namespace
}  // namespace pref
