// SPDX-License-Identifier: Apache-2.0
// The language-model head on a device (preference_head.h on the CPU): cuBLAS products around the
// kernels of kernels/cuda, the objective's functors on the device, nothing asked back. dW is added
// up in f32.
#pragma once
#include "libpref/ops/device_batch.h"
#include "libpref/ops/preference_head.h"

namespace pref {

/// What logits are kept in between their product and their gradient. f32 costs 6 bytes a logit
/// beside bf16 weights (and 3 to 6 % of the head's time), bf16 puts up to 0.4 % of rounding on a
/// logit.
enum class LogitsType { like_weights, f32 };
constexpr std::array<EnumName<LogitsType>, 2> enum_names(LogitsType) {
  return {{{LogitsType::like_weights, "auto"}, {LogitsType::f32, "float32"}}};
}

/// [8, S] f64 on the device: per-sequence sums (SequenceStatistics), collision and max_logp as
/// means.
struct DeviceStatistics {
  at::Tensor sums;
  const double* logp() const;    ///< [S] on the device
  const double* marked() const;  ///< the same; zeros where the objective marks nothing
};
/// Waits for the device.
SequenceStatistics statistics_on_host(const DeviceStatistics& statistics, const Labels& labels);

class DeviceHead {
 public:
  /// lm_head.value [V, D] f32 or bf16; lm_head.gradient f32 or of the weights' type.
  DeviceHead(Weight lm_head, HeadOptions options, LogitsType logits);

  /// The walk that backward() will take over these labels.
  std::vector<HeadGroup> groups(const Labels& labels) const;

  /// Statistics alone; hidden [T, D] of the weights' type.
  DeviceStatistics statistics(const at::Tensor& hidden, const PackedBatch& batch);

  /// As PreferenceHead::backward; the coefficients are the objective's over the batch's RowInputs.
  /// d_hidden [T, D] of hidden's type. `groups` as given to make_packed_batch. `failure` [1] i32, or
  /// undefined: becomes 1 where a row's loss is not finite.
  DeviceStatistics backward(const at::Tensor& hidden, const PackedBatch& batch,
                            const std::vector<HeadGroup>& groups, const Objective& objective,
                            const Normalizers& normalizers, const at::Tensor& d_hidden,
                            const at::Tensor& failure = {});

  /// Bytes of logits (and their gradient) of one label.
  int64_t bytes_per_label() const;

 private:
  struct Steps;
  void check(const at::Tensor& hidden, const PackedBatch& batch) const;

  Weight lm_head_;
  HeadOptions options_;
  at::ScalarType logits_type_;
  at::Tensor logits_, d_logits_, gathered_;  // grown up to the budget and kept
};

}  // namespace pref
