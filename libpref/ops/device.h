// SPDX-License-Identifier: Apache-2.0
// Which tensors the kernels of kernels/cuda work on, and how they are handed over. A CUDA device's
// tensors, or, while an EmulatedDevice lives, those of the CPU: the same operators then run the
// same launchers, whose kernels tests/simt executes on the CPU.
#pragma once
#include <ATen/core/TensorBody.h>

#include <array>
#include <optional>
#include <string>

#include "kernels/cuda/types.h"
#include "libpref/base/options.h"

namespace pref {

/// Element types of weights and activations.
enum class DType { automatic, f32, bf16 };
constexpr std::array<EnumName<DType>, 3> enum_names(DType) {
  return {{{DType::automatic, "auto"}, {DType::f32, "float32"}, {DType::bf16, "bfloat16"}}};
}

/// Where a network's tensors live and what its weights and activations are made of.
struct Placement {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;     ///< f32, or on a device bf16 (with 16-bit remainders)
  at::ScalarType gradient = at::kFloat;  ///< of weights; the head's are always f32
};

/// `device` is cpu, cuda, cuda:N or auto (cuda where there is a card that this build has kernels
/// for, else cpu); automatic types are bf16 on a device and f32 on the CPU. Gradients have the
/// weights' type unless `wide_gradients`. Throws ErrorKind::option: a device that is not there,
/// saying why; bf16 on the CPU.
Placement place(const std::string& device, DType dtype, bool wide_gradients = false);

/// "float32" or "bfloat16", with what a resumed run or a cached reference must share.
std::string dtype_text(const Placement& placement);

namespace ops {

/// From now on operators of libtorch take their deterministic form (process-wide).
void use_deterministic_algorithms();

/// Whether kernels/cuda works on `x`.
bool on_device(const at::Tensor& x);
/// The same for tensors that will be made there.
bool on_device(at::Device device);

/// The stream that operators on x's device are put on now.
kernels::cuda::Stream stream_of(const at::Tensor& x);

/// Bytes free on a CUDA device, those that libtorch holds unused included; nullopt elsewhere.
std::optional<int64_t> free_memory(at::Device device);

/// Address and type; f32 or bf16 (throws ErrorKind::option for another).
kernels::cuda::Pointer pointer(const at::Tensor& x);
kernels::cuda::ConstPointer const_pointer(const at::Tensor& x);

/// While one lives, CPU tensors count as a device's. For tests: kernels/cuda must be linked as
/// tests/simt executes it. One at a time.
class EmulatedDevice {
 public:
  EmulatedDevice();
  ~EmulatedDevice();
  EmulatedDevice(const EmulatedDevice&) = delete;
};

}  // namespace ops
}  // namespace pref
