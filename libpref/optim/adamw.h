// SPDX-License-Identifier: Apache-2.0
// AdamW (arXiv:1711.05101) over the flat buffers of a parameter store: exact fp32 weights (on a
// device bf16 and 16-bit remainders), decoupled weight decay on matrices only, the clip factor of
// the global norm applied in the same pass.
#pragma once
#include <ATen/core/TensorBody.h>

#include <array>
#include <cstdint>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/nn/parameter_store.h"

namespace pref {

/// Element type of the moments. bf16, on a device, is rounded at random in proportion, so that small
/// changes are not lost; it takes 4 bytes a parameter less.
enum class MomentsType { f32, bf16 };
constexpr std::array<EnumName<MomentsType>, 2> enum_names(MomentsType) {
  return {{{MomentsType::f32, "float32"}, {MomentsType::bf16, "bfloat16"}}};
}

struct AdamWOptions {
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8, weight_decay = 0;
  MomentsType adam_moments_dtype = MomentsType::f32;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("adam_beta1", self.adam_beta1, half_open(0, 1), "decay of the mean of gradients");
    visit("adam_beta2", self.adam_beta2, half_open(0, 1), "decay of the mean of squared gradients");
    visit("adam_epsilon", self.adam_epsilon, above(0), "added to the root of the second moment");
    visit("weight_decay", self.weight_decay, at_least(0),
          "decoupled decay of matrices (not biases or norms)");
    visit("adam_moments_dtype", self.adam_moments_dtype, any(),
          "element type of AdamW's moments; bfloat16 (rounded at random) needs a CUDA device");
  }
};

class AdamW {
 public:
  AdamW(ParameterStore& store, AdamWOptions options);

  /// One update from the store's gradients times `gradient_scale`. Counts steps from 1. On the CPU.
  void step(double learning_rate, double gradient_scale = 1);

  /// The same on a device, with the global norm, its clip to max_norm (0: none) and the finite check
  /// in front, none of it waited for. Returns the norm, [1] f32 on the device. Once failure() is not
  /// 0, by a norm that is not finite or by whoever set it, this and every later call change nothing.
  at::Tensor enqueue_step(double learning_rate, double max_norm);
  const at::Tensor& failure() const { return failure_; }  ///< [1] i32 on the device
  /// Clears it and takes back the count of the `skipped` calls that changed nothing.
  void forget_failure(int64_t skipped);

  int64_t steps() const { return steps_; }
  /// The flat moments of each block, [n] f32 or bf16, for checkpoints; restore_steps() takes the
  /// count back.
  const std::vector<at::Tensor>& exp_avg() const { return exp_avg_; }
  const std::vector<at::Tensor>& exp_avg_sq() const { return exp_avg_sq_; }
  void restore_steps(int64_t steps) { steps_ = steps; }

 private:
  ParameterStore& store_;
  AdamWOptions options_;
  std::vector<at::Tensor> exp_avg_, exp_avg_sq_;
  at::Tensor failure_, workspace_;  // of a device
  int64_t steps_ = 0;
};

/// Square root of the sum of squares of every gradient, in double, in a fixed order. On the CPU.
double gradient_norm(const ParameterStore& store);

}  // namespace pref
