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
