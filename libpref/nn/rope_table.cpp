// SPDX-License-Identifier: Apache-2.0
#include "libpref/nn/rope_table.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <numbers>

namespace pref {

std::vector<double> rope_inverse_frequencies(const DecoderConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  std::vector<double> frequencies(config.head_dim / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    double f = std::pow(config.rope_theta,
                        -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
    if (scaling.kind == RopeScalingKind::linear) {
      f /= scaling.factor;
    } else if (scaling.kind == RopeScalingKind::llama3) {
      const double original = static_cast<double>(scaling.original_max_position_embeddings);
      const double turns =
          original * f / (2 * std::numbers::pi);  // rotations over the original context
      if (turns < scaling.low_freq_factor) {
        f /= scaling.factor;
      } else if (turns <= scaling.high_freq_factor) {
        const double smooth = (turns - scaling.low_freq_factor) /
                              (scaling.high_freq_factor - scaling.low_freq_factor);
        f = (1 - smooth) * f / scaling.factor + smooth * f;
      }
    }
    frequencies[i] = f;
  }
  return frequencies;
}

RopeTable make_rope_table(const DecoderConfig& config, int64_t positions) {
  const auto frequencies = rope_inverse_frequencies(config);
  const int64_t half = static_cast<int64_t>(frequencies.size());
  RopeTable table{at::empty({positions, half}, at::kFloat),
                  at::empty({positions, half}, at::kFloat)};
  float *cosine = table.cosine.mutable_data_ptr<float>(),
        *sine = table.sine.mutable_data_ptr<float>();
  for (int64_t p = 0; p < positions; ++p)
    for (int64_t i = 0; i < half; ++i) {
      // The angle is rounded to f32 as the reference implementation does, so that long positions
      // agree with it.
      const float angle = static_cast<float>(p) * static_cast<float>(frequencies[i]);
      cosine[p * half + i] = std::cos(angle);
      sine[p * half + i] = std::sin(angle);
    }
  return table;
}

}  // namespace pref
