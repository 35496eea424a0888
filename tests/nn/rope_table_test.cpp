// SPDX-License-Identifier: Apache-2.0
// Rotary frequencies by hand, for every scaling.
#include "libpref/nn/rope_table.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/nn/toy_model.h"
#include "tests/reference/decoder_reference.h"

namespace pref::testing {
namespace {

// theta 10000 and heads of 8: frequencies 1, 0.1, 0.01, 0.001.
DecoderConfig eight_wide() {
  DecoderConfig config = toy_config("mistral");
  config.head_dim = 8;
  config.rope_theta = 10000;
  return config;
}

TEST(RopeTable, ValueUnscaled) {
  const auto f = rope_inverse_frequencies(eight_wide());
  ASSERT_EQ(f.size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(f[i], std::pow(10, -i), 1e-15);
}

TEST(RopeTable, ValueLinear) {
  DecoderConfig config = eight_wide();
  config.rope_scaling = {.kind = RopeScalingKind::linear, .factor = 4};
  const auto f = rope_inverse_frequencies(config);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(f[i], std::pow(10, -i) / 4, 1e-15);
}

// Original context 1000. Turns over it, 1000 f / 2 pi: 159.2, 15.9, 1.5915, 0.159. Above 4 kept,
// below 1 divided by 8, between: s = (1.591549 - 1) / 3 = 0.1971831, f = 0.01 (0.8028169 / 8 +
// 0.1971831) = 0.002975352.
TEST(RopeTable, ValueLlama3) {
  DecoderConfig config = eight_wide();
  config.rope_scaling = {RopeScalingKind::llama3, 8, 1, 4, 1000};
  const auto f = rope_inverse_frequencies(config);
  EXPECT_NEAR(f[0], 1, 1e-15);
  EXPECT_NEAR(f[1], 0.1, 1e-15);
  EXPECT_NEAR(f[2], 0.002975352, 1e-9);
  EXPECT_NEAR(f[3], 0.000125, 1e-15);
}

TEST(RopeTable, MatchesReference) {
  for (const auto& family : families()) {
    const DecoderConfig config = toy_config(family);
    const auto f = rope_inverse_frequencies(config),
               expected = reference::inverse_frequencies(config);
    ASSERT_EQ(f.size(), expected.size());
    for (size_t i = 0; i < f.size(); ++i)
      EXPECT_NEAR(f[i], expected[i], 1e-14 * expected[i]) << family;
  }
}

TEST(RopeTable, CosinesAndSinesOfPositionTimesFrequency) {
  const RopeTable table = make_rope_table(eight_wide(), 300);
  ASSERT_EQ(table.cosine.sizes().vec(), (std::vector<int64_t>{300, 4}));
  for (const int64_t p : {0, 1, 7, 299})
    for (int64_t i = 0; i < 4; ++i) {
      // The angle is a float: half a unit of the last place of 299 is 1.5e-5.
      const double angle = static_cast<double>(p) * std::pow(10, -static_cast<double>(i));
      EXPECT_NEAR(table.cosine[p][i].item<float>(), std::cos(angle), 2e-5);
      EXPECT_NEAR(table.sine[p][i].item<float>(), std::sin(angle), 2e-5);
    }
}

}  // namespace
}  // namespace pref::testing
