// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/preference_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include "libpref/base/error.h"
#include "libpref/ops/device.h"
#include "libpref/ops/device_head.h"

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
    context->saved_data["weight_type"] = static_cast<int64_t>(lm_head.scalar_type());
    return at::scalar_tensor(loss, hidden.options().dtype(at::kFloat).requires_grad(false));
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto weight_type =
        static_cast<at::ScalarType>(context->saved_data["weight_type"].toInt());
    variable_list out(4);
    for (int i = 0; i < 2; ++i)
      if (saved[i].defined() && grads[0].defined())
        out[i] = (saved[i] * grads[0]).to(i == 0 ? saved[0].scalar_type() : weight_type);
    return out;
  }
};

// The head's walk on a device, and its sums read back.
SequenceStatistics on_device(const Tensor& hidden, const Weight& weight, const Labels& labels,
                             const Objective& objective, const Normalizers& normalizers,
                             const RowInputs& inputs, const HeadOptions& options,
                             const Tensor& d_hidden, bool with_gradient) {
  PackingPlan plan;  // of labels alone: there is no network here
  const auto copy = [](std::span<const int64_t> from, std::vector<int64_t>& to) {
    to.assign(from.begin(), from.end());
  };
  copy(labels.row, plan.label_row);
  copy(labels.token, plan.label_token);
  copy(labels.sequence_first_label, plan.sequence_first_label);
  copy(labels.row_first_sequence, plan.row_first_sequence);
  plan.label_mark.assign(labels.mark.begin(), labels.mark.end());
  DeviceHead head(weight, options, LogitsType::like_weights);
  const auto groups = with_gradient ? head.groups(labels) : std::vector<HeadGroup>();
  ops::Uploader uploader(hidden.device());
  const PackedBatch batch = make_packed_batch(std::move(plan), inputs, groups, uploader);
  return statistics_on_host(
      with_gradient ? head.backward(hidden, batch, groups, objective, normalizers, d_hidden)
                    : head.statistics(hidden, batch),
      labels);
}

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
  const bool device = ops::on_device(hidden);
  // Kernels are launched on this thread's present device, which need not be hidden's.
  const c10::OptionalDeviceGuard guard(hidden.is_cuda() ? std::optional(hidden.device())
                                                        : std::nullopt);
  require(hidden.dim() == 2 && lm_head.dim() == 2 && hidden.size(1) == lm_head.size(1) &&
              hidden.scalar_type() == (device ? lm_head.scalar_type() : at::kFloat),
          ErrorKind::option, "preference_loss", "hidden [T, D] and lm_head [V, D] in ",
          device ? "one type" : "f32", " are required, got ", hidden.sizes(), " ",
          hidden.scalar_type(), " and ", lm_head.sizes(), " ", lm_head.scalar_type(), ".");
  labels.check(hidden.size(0));
  const bool record = at::GradMode::is_enabled();
  const bool wants_hidden = record && hidden.requires_grad(),
             wants_weight = record && lm_head.requires_grad();
  Tensor d_hidden, d_weight;
  const auto plain = hidden.options().requires_grad(false);
  if (wants_hidden) d_hidden = at::zeros(hidden.sizes(), plain);
  if (wants_weight) d_weight = at::zeros(lm_head.sizes(), plain.dtype(at::kFloat));
  const Weight weight{lm_head.detach().contiguous(), d_weight};
  const Normalizers divisors = normalizers.value_or(normalizers_of(labels));
  RowLosses losses(objective, divisors, labels, inputs);
  const bool wanted = wants_hidden || wants_weight;
  PreferenceLoss out;
  if (device) {
    out.statistics =
        on_device(hidden, weight, labels, objective, divisors, inputs, options, d_hidden, wanted);
    losses(out.statistics);
  } else if (PreferenceHead head(weight, options); wanted) {
    out.statistics = head.backward(hidden, labels, std::ref(losses), d_hidden);
  } else {
    out.statistics = head.statistics(hidden, labels);
    losses(out.statistics);
  }
  out.loss = wanted ? PrecomputedGradient::apply(hidden, lm_head, Gradients{d_hidden, d_weight},
                                                 losses.loss())
                    : at::scalar_tensor(losses.loss(), plain.dtype(at::kFloat));
  out.rewards = losses.rewards();
  return out;
}

}  // namespace pref
