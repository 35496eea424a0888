// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/device.h"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <atomic>
#include <cstdlib>
#include <optional>

#include "kernels/cuda/runtime.h"
#include "libpref/base/error.h"
#include "libpref/base/log.h"

namespace pref {
namespace {

// The number in "cuda:N"; 0 for "cuda"; nullopt for anything else.
std::optional<int> cuda_index(const std::string& device) {
  if (device == "cuda") return 0;
  if (!device.starts_with("cuda:") || device.size() == 5 || device.size() > 8) return std::nullopt;
  int index = 0;
  for (const char c : device.substr(5)) {
    if (c < '0' || c > '9') return std::nullopt;
    index = 10 * index + (c - '0');
  }
  return index;
}

}  // namespace

Placement place(const std::string& device, DType dtype, bool wide_gradients) {
  const std::optional<int> wanted = cuda_index(device);
  require(device == "cpu" || device == "auto" || wanted, ErrorKind::option, "device",
          "device must be cpu, cuda, cuda:N or auto, got \"", device, "\".");
  const kernels::cuda::Devices there =
      device == "cpu" ? kernels::cuda::Devices{} : kernels::cuda::devices();
  Placement out;
  if (wanted || (device == "auto" && there.count > 0)) {
    const int index = wanted.value_or(0);
    require(there.count > 0, ErrorKind::option, "device", device, ": ", there.reason,
            " Or choose device: cpu.");
    require(index < there.count, ErrorKind::option, "device", device, ": this machine has ",
            there.count, " CUDA device(s), counted from 0.");
    const kernels::cuda::DeviceFacts facts = kernels::cuda::device_facts(index);
    const bool runs = facts.has_kernels;
    if (!runs && !wanted)
      log_warning("device: auto takes the CPU, for this build has no kernels for ", facts.name,
                  " (", there.architectures, ")");
    require(runs || !wanted, ErrorKind::option, "device", device,
            ": this build has no kernels for that card (", there.architectures,
            "). Configure with its architecture in PREF_CUDA_ARCHS, or choose device: cpu.");
    if (runs && !ops::on_device(at::Device(at::kCPU))) {
      require(
          at::globalContext().hasCUDA(), ErrorKind::option, "device", device,
          ": libtorch finds no CUDA device, though the run time does. Was libtorch_cuda linked?");
      at::globalContext().lazyInitDevice(at::kCUDA);
      out.device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
      // Kernels are launched on this thread's present device.
      c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(out.device);
    }
  }
  const bool device_side = ops::on_device(out.device);
  require(dtype != DType::bf16 || device_side, ErrorKind::option, "device",
          "dtype: bfloat16 needs a CUDA device; the CPU computes in float32.");
  out.dtype = dtype == DType::f32 || !device_side ? at::kFloat : at::kBFloat16;
  out.gradient = wide_gradients ? at::kFloat : out.dtype;
  return out;
}

std::string dtype_text(const Placement& placement) {
  if (placement.dtype == at::kFloat) return "float32";
  return placement.gradient == at::kFloat ? "bfloat16, float32 gradients" : "bfloat16";
}

}  // namespace pref

namespace pref::ops {
namespace {

std::atomic<bool> emulated{false};

kernels::cuda::Type type_of(const at::Tensor& x) {
  require(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, ErrorKind::option,
          "device", "f32 or bf16 is required on a device, got ", x.scalar_type(), ".");
  return x.scalar_type() == at::kFloat ? kernels::cuda::Type::f32 : kernels::cuda::Type::bf16;
}

}  // namespace

void use_deterministic_algorithms() {
  // cuBLAS reads this when it is first used; with it, its results do not depend on the stream.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::globalContext().setDeterministicAlgorithms(true, false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);  // costs a pass each
}

bool on_device(at::Device device) { return device.is_cuda() || emulated.load(); }
bool on_device(const at::Tensor& x) { return on_device(x.device()); }

kernels::cuda::Stream stream_of(const at::Tensor& x) {
  if (!x.is_cuda()) return nullptr;
  const c10::impl::VirtualGuardImpl guard(at::kCUDA);
  return static_cast<kernels::cuda::Stream>(guard.getStream(x.device()).native_handle());
}

std::optional<int64_t> free_memory(at::Device device) {
  if (!device.is_cuda()) return std::nullopt;
  auto* allocator = c10::getDeviceAllocator(device.type());
  const auto held = allocator->getDeviceStats(device.index());
  const auto aggregate = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto unused = held.reserved_bytes[aggregate].current - held.active_bytes[aggregate].current;
  return static_cast<int64_t>(allocator->getMemoryInfo(device.index()).first) + unused;
}

kernels::cuda::Pointer pointer(const at::Tensor& x) { return {x.mutable_data_ptr(), type_of(x)}; }

kernels::cuda::ConstPointer const_pointer(const at::Tensor& x) {
  return {x.const_data_ptr(), type_of(x)};
}

EmulatedDevice::EmulatedDevice() {
  require(!emulated.exchange(true), ErrorKind::internal, "device",
          "one emulated device at a time, and there is one.");
}
EmulatedDevice::~EmulatedDevice() { emulated = false; }

}  // namespace pref::ops
