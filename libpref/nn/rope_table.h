// SPDX-License-Identifier: Apache-2.0
// Cosines and sines of rotary embeddings, with the frequency scalings that model folders name.
#pragma once
#include <ATen/core/TensorBody.h>

#include <vector>

#include "libpref/data/model_folder/config.h"

namespace pref {

/// Inverse frequencies [head_dim / 2]: theta^(-2i/d), scaled as `rope_scaling` says (llama3:
/// wavelengths beyond the original context are stretched by `factor`, with a smooth band between;
/// as published with Llama 3.1).
std::vector<double> rope_inverse_frequencies(const DecoderConfig& config);

struct RopeTable {
  at::Tensor cosine, sine;  ///< [positions, head_dim / 2] f32
};
RopeTable make_rope_table(const DecoderConfig& config, int64_t positions);

}  // namespace pref
