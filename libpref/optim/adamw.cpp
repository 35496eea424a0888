// SPDX-License-Identifier: Apache-2.0
#include "libpref/optim/adamw.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

#include "kernels/adamw.h"
#include "kernels/cuda/adamw.h"
#include "kernels/cuda/norm.h"
#include "libpref/base/error.h"

namespace pref {
namespace {
namespace cuda = kernels::cuda;
constexpr int64_t kElementsPerPart = 1 << 16;
}  // namespace

AdamW::AdamW(ParameterStore& store, AdamWOptions options) : store_(store), options_(options) {
  check_options(options_, "adamw");
  const bool narrow = options_.adam_moments_dtype == MomentsType::bf16,
             device = ops::on_device(store_.placement().device);
  require(!narrow || device, ErrorKind::option, "adamw",
          "adam_moments_dtype: bfloat16 needs a CUDA device; float32 is required on the CPU.");
  int64_t workspace = 0;
  for (const auto& block : store_.blocks()) {
    const auto type = block.trainable.options().dtype(narrow ? at::kBFloat16 : at::kFloat);
    exp_avg_.push_back(at::zeros_like(block.trainable, type));
    exp_avg_sq_.push_back(at::zeros_like(block.trainable, type));
    if (device)
      workspace = std::max(workspace, cuda::sum_of_squares_workspace(block.gradient.numel()));
  }
  if (!device) return;
  const auto on_device = at::TensorOptions().device(store_.placement().device);
  failure_ = at::zeros({1}, on_device.dtype(at::kInt));
  workspace_ = at::zeros({workspace}, on_device.dtype(at::kDouble));
}

namespace {

// Sum of the squares of all gradients, [1] f64, enqueued.
at::Tensor total_of_squares(const ParameterStore& store, const at::Tensor& workspace) {
  const at::Tensor total = at::zeros({1}, workspace.options());
  for (const auto& block : store.blocks())
    cuda::sum_of_squares(ops::const_pointer(block.gradient), block.gradient.numel(),
                         workspace.mutable_data_ptr<double>(), total.mutable_data_ptr<double>(),
                         ops::stream_of(total));
  return total;
}

}  // namespace

at::Tensor AdamW::enqueue_step(double learning_rate, double max_norm) {
  ++steps_;
  const at::Tensor total = total_of_squares(store_, workspace_);
  // The norm, and the factor that the update multiplies gradients by.
  const at::Tensor norm = at::zeros({2}, total.options().dtype(at::kFloat));
  float* factor = norm.mutable_data_ptr<float>() + 1;
  const cuda::Stream stream = ops::stream_of(total);
  cuda::clip_factor(total.const_data_ptr<double>(), max_norm, norm.mutable_data_ptr<float>(),
                    factor, failure_.mutable_data_ptr<int>(), stream);
  const uint64_t rounding_seed = options_.adam_moments_dtype == MomentsType::bf16 ? 1 : 0;
  int64_t first_element = 0;
  for (size_t b = 0; b < store_.blocks().size(); ++b) {
    const ParameterBlock& block = store_.blocks()[b];
    const auto update = [&](int64_t first, int64_t end, double weight_decay) {
      if (first == end) return;
      const auto from = [&](const at::Tensor& flat) {
        return ops::pointer(flat.narrow(0, first, end - first));
      };
      const cuda::AdamWState state{
          from(block.trainable),
          block.remainder.defined() ? block.remainder.mutable_data_ptr<int16_t>() + first : nullptr,
          from(exp_avg_[b]), from(exp_avg_sq_[b])};
      cuda::adamw_update(state, from(block.gradient), end - first,
                         {learning_rate, options_.adam_beta1, options_.adam_beta2,
                          options_.adam_epsilon, weight_decay, steps_, 1},
                         {factor, failure_.const_data_ptr<int>()}, rounding_seed,
                         first_element + first, stream);
    };
    update(0, block.decayed, options_.weight_decay);
    update(block.decayed, block.trainable.numel(), 0);
    first_element += block.trainable.numel();
  }
  return norm.narrow(0, 0, 1);
}

void AdamW::forget_failure(int64_t skipped) {
  failure_.zero_();
  steps_ -= skipped;
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
  require(store.holds_plain_values(), ErrorKind::internal, "optim",
          "gradients on the CPU are required; on a device enqueue_step() gives the norm.");
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
