// SPDX-License-Identifier: Apache-2.0
#include "libpref/optim/adamw.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "kernels/adamw.h"

namespace pref {
namespace {
constexpr int64_t kElementsPerPart = 1 << 16;
}  // namespace

AdamW::AdamW(ParameterStore& store, AdamWOptions options) : store_(store), options_(options) {
  check_options(options_, "adamw");
  for (const auto& block : store_.blocks()) {
    exp_avg_.push_back(at::zeros_like(block.trainable));
    exp_avg_sq_.push_back(at::zeros_like(block.trainable));
  }
}

void AdamW::step(double learning_rate, double gradient_scale) {
  ++steps_;
  for (size_t b = 0; b < store_.blocks().size(); ++b) {
    const ParameterBlock& block = store_.blocks()[b];
    const auto update = [&](int64_t first, int64_t end, double weight_decay) {
      const kernels::AdamWStep step{learning_rate,         options_.adam_beta1, options_.adam_beta2,
                                    options_.adam_epsilon, weight_decay,        steps_,
                                    gradient_scale};
      at::parallel_for(first, end, kElementsPerPart, [&](int64_t a, int64_t z) {
        kernels::adamw_update(block.trainable.mutable_data_ptr<float>() + a,
                              block.gradient.const_data_ptr<float>() + a,
                              exp_avg_[b].mutable_data_ptr<float>() + a,
                              exp_avg_sq_[b].mutable_data_ptr<float>() + a, z - a, step);
      });
    };
    update(0, block.decayed, options_.weight_decay);
    update(block.decayed, block.trainable.numel(), 0);
  }
}

double gradient_norm(const ParameterStore& store) {
  double total = 0;
  for (const auto& block : store.blocks()) {
    const int64_t count = block.gradient.numel(),
                  parts = (count + kElementsPerPart - 1) / kElementsPerPart;
    const float* data = block.gradient.const_data_ptr<float>();
    std::vector<double> sums(parts);
    at::parallel_for(0, parts, 1, [&](int64_t a, int64_t z) {
      for (int64_t p = a; p < z; ++p)
        sums[p] = kernels::sum_of_squares(data + p * kElementsPerPart,
                                          std::min(kElementsPerPart, count - p * kElementsPerPart));
    });
    for (const double s : sums) total += s;
  }
  return std::sqrt(total);
}

}  // namespace pref
