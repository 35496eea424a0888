// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/preference_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "libpref/base/error.h"

namespace pref {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Gradients computed with the loss; undefined where an input needs none.
struct Gradients {
  Tensor hidden, lm_head;
};

// Forward hands over the scalar, backward multiplies what was kept.
struct PrecomputedGradient : torch::autograd::Function<PrecomputedGradient> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& lm_head,
                        const Gradients& gradients, double loss) {
    context->save_for_backward({gradients.hidden, gradients.lm_head});
    (void)lm_head;
    return at::scalar_tensor(loss, hidden.options().requires_grad(false));
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    variable_list out(4);
    for (int i = 0; i < 2; ++i)
      if (saved[i].defined() && grads[0].defined()) out[i] = saved[i] * grads[0];
    return out;
  }
};

}  // namespace

Normalizers normalizers_of(const Labels& labels) {
  Normalizers n{static_cast<double>(labels.num_rows()), 0};
  for (int64_t r = 0; r < labels.num_rows(); ++r) {
    const int64_t s = labels.row_first_sequence[r];
    if (s < labels.row_first_sequence[r + 1])
      n.chosen_tokens +=
          static_cast<double>(labels.sequence_first_label[s + 1] - labels.sequence_first_label[s]);
  }
  return n;
}

PreferenceLoss preference_loss(const Tensor& hidden, const Tensor& lm_head, const Labels& labels,
                               const Objective& objective, const RowInputs& inputs,
                               const HeadOptions& options, std::optional<Normalizers> normalizers) {
  require(hidden.dim() == 2 && lm_head.dim() == 2 && hidden.size(1) == lm_head.size(1) &&
              hidden.scalar_type() == at::kFloat,
          ErrorKind::option, "preference_loss",
          "hidden [T, D] and lm_head [V, D] in f32 are required, got ", hidden.sizes(), " ",
          hidden.scalar_type(), " and ", lm_head.sizes(), " ", lm_head.scalar_type(), ".");
  labels.check(hidden.size(0));
  const bool record = at::GradMode::is_enabled();
  const bool wants_hidden = record && hidden.requires_grad(),
             wants_weight = record && lm_head.requires_grad();
  Tensor d_hidden, d_weight;
  if (wants_hidden) d_hidden = at::zeros(hidden.sizes(), at::kFloat);
  if (wants_weight) d_weight = at::zeros(lm_head.sizes(), at::kFloat);
  PreferenceHead head({lm_head.detach().contiguous(), d_weight}, options);
  RowLosses losses(objective, normalizers.value_or(normalizers_of(labels)), labels, inputs);
  PreferenceLoss out;
  if (wants_hidden || wants_weight) {
    out.statistics = head.backward(hidden, labels, std::ref(losses), d_hidden);
    out.loss =
        PrecomputedGradient::apply(hidden, lm_head, Gradients{d_hidden, d_weight}, losses.loss());
  } else {
    out.statistics = head.statistics(hidden, labels);
    losses(out.statistics);
    out.loss = at::scalar_tensor(losses.loss(), hidden.options().requires_grad(false));
  }
  out.rewards = losses.rewards();
  return out;
}

}  // namespace pref
