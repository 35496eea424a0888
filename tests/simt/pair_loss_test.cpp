// SPDX-License-Identifier: Apache-2.0
// Every objective of the list as the CUDA kernel runs it, against its own CPU loop: the functor is
// the same, so what is tested is the way of the numbers to it and back.
#include "libpref/objectives/pair_loss.h"

#include <gtest/gtest.h>

#include "tests/objectives/objective_test_util.h"
#include "tests/simt/simt_test_util.h"

namespace pref {
namespace {

using device_check::PairLosses;
using device_check::RowsOnDevice;
using kernels::cuda::expect_near;
using pref::testing::Random;
using pref::testing::random_row;

class CudaPairLossTest : public kernels::cuda::SimtTest {
 protected:
  static void expect_as_on_cpu(const Objective& objective, const std::vector<Row<double>>& rows) {
    const Normalizers normalizers{7, 130};
    const PairLosses got =
                         device_check::losses_on_device(objective, normalizers, RowsOnDevice(rows)),
                     want = device_check::losses_on_host(objective, normalizers, rows);
    PairLosses::each([&](const char* what, std::vector<double> PairLosses::*field) {
      expect_near(got.*field, want.*field, 1e-14, 0, objective.name() + " " + what);
    });
  }

  static constexpr int kRows = 70;  // more than one block
};
PREF_EVERY_SCHEDULE(CudaPairLossTest);

TEST_P(CudaPairLossTest, MatchesTheCpuForEveryObjective) {
  Random random;
  for_each_objective([&](const auto& term) {
    expect_as_on_cpu(Objective(Term(term)), device_check::random_rows(random, term, kRows));
  });
}

TEST_P(CudaPairLossTest, MatchesTheCpuForSumsAndModifiers) {
  Random random;
  auto batch = device_check::random_rows(random, Hinge{}, kRows);
  for (auto& row : batch) row.margin = 0;
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

std::vector<Objective> coupling_objectives() {
  const BCOPair shifted{.beta = 0.2, .reward_shift = RewardShift::running_mean};
  return {KTO{},
          BCO{},
          Objective(shifted),
          Objective({{shifted, 1}}, {.length = LengthDesensitization{.ld_alpha = 0.4}}),
          AOT{},
          AOTUnpaired{},
          Objective({{AOT{}, 1}}, {.average = Averaging{.average_log_prob = true}}),
          Objective({{SFT{}, 0.2}, {AOTUnpaired{}, 1}})};
}

// Fewer rows than threads, more, one, and equal values, whose order then counts.
TEST_P(CudaPairLossTest, CouplingGivesTheBitsOfTheCpu) {
  Random random;
  for (const Objective& objective : coupling_objectives())
    for (const int count : {0, 1, 2, 70, 300}) {
      std::vector<Row<double>> rows;
      for (int i = 0; i < count; ++i) {
        rows.push_back(i > 3 && i % 5 == 0 ? rows[static_cast<size_t>(i) - 3]
                                           : random_row(random, 2 + i % 2));
        rows.back().margin = 0;
      }
      CouplingState got{0.25, 3}, want = got;
      EXPECT_EQ(device_check::coupled_on_device(objective, RowsOnDevice(rows), got),
                device_check::coupled_on_host(objective, rows, want))
          << objective.name() << " " << count;
      EXPECT_EQ(got, want) << objective.name();
    }
}

TEST_P(CudaPairLossTest, CouplingAfterAFailureKeepsTheRunningMean) {
  Random random;
  const RowsOnDevice rows({random_row(random, 2), random_row(random, 2)});
  CouplingState state{0.25, 3};
  EXPECT_EQ(device_check::coupled_on_device(Objective(BCO{}), rows, state, true),
            (std::vector<double>{0.25, 0, 0.25, 0}));
  EXPECT_EQ(state, (CouplingState{0.25, 3}));
}

// NaN ranks last, so that every row has a partner.
TEST_P(CudaPairLossTest, CouplingOutlivesNaN) {
  Random random;
  std::vector<Row<double>> rows;
  for (int i = 0; i < 40; ++i) {
    rows.push_back(random_row(random, 2));
    if (i % 7 == 3) rows.back().branch[0].logp = NAN;
  }
  CouplingState state;
  EXPECT_EQ(device_check::coupled_on_device(Objective(AOT{}), RowsOnDevice(rows), state),
            device_check::coupled_on_host(Objective(AOT{}), rows, state));
}

TEST_P(CudaPairLossTest, RejectsCouplingWhereThereIsNone) {
  Random random;
  const RowsOnDevice batch({random_row(random, 2)});
  CouplingState state;
  const auto text = pref::testing::error_of(
      ErrorKind::option, [&] { device_check::coupled_on_device(Objective(DPO{}), batch, state); });
  EXPECT_NE(text.find("dpo"), std::string::npos) << text;
}

TEST_P(CudaPairLossTest, RowsThatDoNotFitBecomeNaN) {
  Random random;
  std::vector<Row<double>> batch;
  for (int i = 0; i < 3; ++i) {
    batch.push_back(random_row(random, 2));
    batch.back().margin = i == 1 ? 0.5 : 0;
  }
  const PairLosses got =
      device_check::losses_on_device(Objective(IPO{}), {1, 1}, RowsOnDevice(batch));
  if (has(IPO::accepts, Accepts::margin)) GTEST_SKIP() << "ipo takes margins";
  EXPECT_TRUE(std::isfinite(got.loss[0]) && std::isfinite(got.loss[2]));
  EXPECT_TRUE(std::isnan(got.loss[1]) && std::isnan(got.d_logp[2]) && std::isnan(got.d_logp[3]));
}

TEST_P(CudaPairLossTest, RejectsMissingArrays) {
  Random random;
  const RowsOnDevice batch({random_row(random, 2)});
  DeviceRows rows = batch.arrays();
  rows.ref_logp = nullptr;
  const auto text = pref::testing::error_of(
      ErrorKind::option, [&] { pair_losses(Objective(DPO{}), {}, rows, {}, nullptr); });
  EXPECT_NE(text.find("ref_logp"), std::string::npos) << text;
}

}  // namespace
}  // namespace pref
