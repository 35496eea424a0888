// SPDX-License-Identifier: Apache-2.0
// AdamW (arXiv:1711.05101) over the flat buffers of a parameter store: fp32 weights and moments,
// decoupled weight decay on matrices only, the clip factor of the global norm applied in the same
// pass.
#pragma once
#include <ATen/core/TensorBody.h>

#include <cstdint>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/nn/parameter_store.h"

namespace pref {

struct AdamWOptions {
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8, weight_decay = 0;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("adam_beta1", self.adam_beta1, half_open(0, 1), "decay of the mean of gradients");
    visit("adam_beta2", self.adam_beta2, half_open(0, 1), "decay of the mean of squared gradients");
    visit("adam_epsilon", self.adam_epsilon, above(0), "added to the root of the second moment");
    visit("weight_decay", self.weight_decay, at_least(0),
          "decoupled decay of matrices (not biases or norms)");
  }
};

class AdamW {
 public:
  AdamW(ParameterStore& store, AdamWOptions options);

  /// One update from the store's gradients times `gradient_scale`. Counts steps from 1.
  void step(double learning_rate, double gradient_scale = 1);

  int64_t steps() const { return steps_; }
  /// The flat moments of each block, [n] f32, for checkpoints; restore_steps() takes the count
  /// back.
  const std::vector<at::Tensor>& exp_avg() const { return exp_avg_; }
  const std::vector<at::Tensor>& exp_avg_sq() const { return exp_avg_sq_; }
  void restore_steps(int64_t steps) { steps_ = steps; }

 private:
  ParameterStore& store_;
  AdamWOptions options_;
  std::vector<at::Tensor> exp_avg_, exp_avg_sq_;
  int64_t steps_ = 0;
};

/// Square root of the sum of squares of every gradient, in double, in a fixed order.
double gradient_norm(const ParameterStore& store);

}  // namespace pref
