// SPDX-License-Identifier: Apache-2.0
// The differentiable loss for other people's loops on a device, against the CPU's.
#include "libpref/ops/preference_loss.h"

#include "tests/device/device_test_util.h"

namespace pref::testing {
namespace {

using DevicePreferenceLoss = DeviceTest;

TEST_F(DevicePreferenceLoss, MatchesTheCpu) {
  const auto rows = random_rows(7, 2, 2, 40, 3);
  const PackingPlan plan = pack_rows(rows, all_indices(rows.size()));
  std::vector<double> ref_logp(static_cast<size_t>(plan.num_sequences()), -9.0);
  RowInputs inputs = row_inputs(plan);
  inputs.ref_logp = ref_logp;
  const Objective objective(DPO{.beta = 0.3});
  const at::Tensor hidden_values =
                       (at::arange(plan.num_tokens() * 16, at::kFloat) * 0.77).sin().view({-1, 16}),
                   weight_values = (at::arange(40 * 16, at::kFloat) * 0.31).cos().view({40, 16});
  struct Outcome {
    double loss;
    at::Tensor d_hidden, d_weight;
    std::vector<double> rewards;
  };
  const auto run = [&](at::ScalarType type, const auto& place_it) {
    const at::Tensor hidden = place_it(hidden_values.to(type)).requires_grad_(true),
                     weight = place_it(weight_values.to(type)).requires_grad_(true);
    const PreferenceLoss out = preference_loss(hidden, weight, labels_of(plan), objective, inputs,
                                               {.logits_bytes = 20 * 40 * 4});
    (out.loss * 2.5).backward();
    EXPECT_EQ(hidden.grad().scalar_type(), type);
    EXPECT_EQ(weight.grad().scalar_type(), type);
    {
      const c10::NoGradGuard no_grad;  // statistics alone give the same loss
      EXPECT_NEAR(
          preference_loss(hidden, weight, labels_of(plan), objective, inputs).loss.item<double>(),
          out.loss.item<double>(), type == at::kFloat ? 1e-6 : 0.01);
    }
    return Outcome{out.loss.item<double>(), hidden.grad().to(at::kFloat).cpu(),
                   weight.grad().to(at::kFloat).cpu(), out.rewards};
  };
  const Outcome want = run(at::kFloat, [](const at::Tensor& x) { return x.clone(); });
  const TestDevice device;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const Outcome got =
        run(type, [](const at::Tensor& x) { return on_test_device(x).clone().detach(); });
    const double share = type == at::kFloat ? 1e-5 : 0.03;
    EXPECT_NEAR(got.loss, want.loss, share * std::abs(want.loss));
    const auto near = [&](const at::Tensor& a, const at::Tensor& b) {
      EXPECT_LE((a - b).abs().max().item<double>(), share * b.abs().max().item<double>());
    };
    near(got.d_hidden, want.d_hidden);
    near(got.d_weight, want.d_weight);
    for (size_t i = 0; i < want.rewards.size(); ++i)
      EXPECT_NEAR(got.rewards[i], want.rewards[i], share * 20);
  }
}

}  // namespace
}  // namespace pref::testing
