// SPDX-License-Identifier: Apache-2.0
// kernels/cuda/runtime.h by the CUDA run time under nvcc; on host memory and the steady clock where
// g++ compiles the kernels for the CPU (tests/simt).
#include "kernels/cuda/runtime.h"

#include "kernels/cuda/launch.cuh"

#if !defined(__CUDACC__)
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <new>
#endif

namespace pref::kernels::cuda {

#if defined(__CUDACC__)
namespace {

// Asked whether the card finds code for it in this build.
__global__ void nothing() {}

#define PREF_TEXT_OF(...) #__VA_ARGS__
#define PREF_TEXT(...) PREF_TEXT_OF(__VA_ARGS__)

// "80 89 90" of nvcc's list "800,890,900".
std::string compiled_architectures() {
  std::string out;
  const std::string list = PREF_TEXT(__CUDA_ARCH_LIST__) ",";
  for (size_t begin = 0, end; (end = list.find(',', begin)) != std::string::npos; begin = end + 1)
    out += (out.empty() ? "" : " ") + std::to_string(std::stoi(list.substr(begin)) / 10);
  return out;
}

std::string why_none(cudaError_t code, int driver, int runtime) {
  if (driver == 0)
    return "no NVIDIA driver is loaded (libcuda.so.1 is missing or has no device nodes). Install "
           "one for CUDA " +
           version_text(runtime) + " or newer, or run on a machine that has a card.";
  if (code == cudaErrorInsufficientDriver)
    return "the NVIDIA driver takes CUDA up to " + version_text(driver) + ", the run time is " +
           version_text(runtime) + ". Install a newer driver.";
  if (code == cudaErrorNoDevice || code == cudaSuccess)
    return "the NVIDIA driver shows no card to this process. Check nvidia-smi and "
           "CUDA_VISIBLE_DEVICES.";
  return std::string("CUDA cannot be started: ") + cudaGetErrorString(code) + ". Check nvidia-smi.";
}

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, name, device) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return value;
}

cudaEvent_t event_of(void* handle) { return static_cast<cudaEvent_t>(handle); }

}  // namespace

Devices devices() {
  Devices out;
  out.architectures = compiled_architectures();
  if (cudaDriverGetVersion(&out.driver) != cudaSuccess) out.driver = 0;
  if (cudaRuntimeGetVersion(&out.runtime) != cudaSuccess) out.runtime = CUDART_VERSION;
  const cudaError_t code = cudaGetDeviceCount(&out.count);
  if (code != cudaSuccess) out.count = 0;
  if (out.count == 0) out.reason = why_none(code, out.driver, out.runtime);
  cudaGetLastError();  // a launch must not find what was answered here
  return out;
}

DeviceFacts device_facts(int device) {
  const char* where = "device_facts";
  const Devices all = devices();
  require(all.count > 0, ErrorKind::option, where, all.reason);
  require(device >= 0 && device < all.count, ErrorKind::option, where, "a device of 0 to ",
          all.count - 1, " is required, got ", device, ".");
  int before = 0;
  check_cuda(where, cudaGetDevice(&before));
  check_cuda(where, cudaSetDevice(device));
  cudaDeviceProp properties;
  check_cuda(where, cudaGetDeviceProperties(&properties, device));
  DeviceFacts out;
  out.name = properties.name;
  out.major = properties.major;
  out.minor = properties.minor;
  out.processors = properties.multiProcessorCount;
  out.l2_cache = properties.l2CacheSize;
  size_t free = 0, total = 0;
  check_cuda(where, cudaMemGetInfo(&free, &total));
  out.memory = static_cast<int64_t>(total);
  out.free_memory = static_cast<int64_t>(free);
  out.clock_ghz = attribute(cudaDevAttrClockRate, device) * 1e-6;
  // Two transfers a clock; the driver's unit is kHz.
  out.memory_gb_per_s = 2e-6 * attribute(cudaDevAttrMemoryClockRate, device) *
                        attribute(cudaDevAttrGlobalMemoryBusWidth, device) / 8;
  cudaFuncAttributes attributes;
  out.has_kernels = cudaFuncGetAttributes(&attributes, nothing) == cudaSuccess;
  cudaGetLastError();
  check_cuda(where, cudaSetDevice(before));
  return out;
}

void use_device(int device) { check_cuda("use_device", cudaSetDevice(device)); }

void* allocate(int64_t bytes) {
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, static_cast<size_t>(bytes));
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    check_cuda("allocate", cudaMemGetInfo(&free, &total));
    fail(ErrorKind::option, "allocate", bytes, " bytes of device memory are required, ", free,
         " of ", total, " are free. Close other programs on the card or ask for less.");
  }
  check_cuda("allocate", code);
  return data;
}
void release(void* data) noexcept { cudaFree(data); }

void copy_to_device(void* to, const void* from, int64_t bytes, Stream stream) {
  if (bytes == 0) return;
  check_cuda("copy_to_device",
             cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream));
  synchronize(stream);
}
void copy_to_host(void* to, const void* from, int64_t bytes, Stream stream) {
  if (bytes == 0) return;
  check_cuda("copy_to_host",
             cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream));
  synchronize(stream);
}
void copy_on_device(void* to, const void* from, int64_t bytes, Stream stream) {
  if (bytes == 0) return;
  check_cuda("copy_on_device", cudaMemcpyAsync(to, from, static_cast<size_t>(bytes),
                                               cudaMemcpyDeviceToDevice, stream));
}
void fill_bytes(void* data, uint8_t byte, int64_t bytes, Stream stream) {
  if (bytes == 0) return;
  check_cuda("fill_bytes", cudaMemsetAsync(data, byte, static_cast<size_t>(bytes), stream));
}
void synchronize(Stream stream) { check_cuda("synchronize", cudaStreamSynchronize(stream)); }

Event::Event() {
  cudaEvent_t event = nullptr;
  check_cuda("Event", cudaEventCreate(&event));
  handle_ = event;
}
Event::~Event() {
  if (handle_) cudaEventDestroy(event_of(handle_));
}
void Event::record(Stream stream) {
  check_cuda("Event::record", cudaEventRecord(event_of(handle_), stream));
}
double Event::ms_since(const Event& earlier) const {
  check_cuda("Event::ms_since", cudaEventSynchronize(event_of(handle_)));
  float ms = 0;
  check_cuda("Event::ms_since",
             cudaEventElapsedTime(&ms, event_of(earlier.handle_), event_of(handle_)));
  return static_cast<double>(ms);
}

#else  // g++: one device, the host

namespace {

using Clock = std::chrono::steady_clock;
Clock::time_point& moment_of(void* handle) { return *static_cast<Clock::time_point*>(handle); }
constexpr auto kAlignment = std::align_val_t{256};  // cudaMalloc's promise

}  // namespace

Devices devices() { return {.count = 1, .architectures = "emulated"}; }

DeviceFacts device_facts(int device) {
  use_device(device);
  const auto page = static_cast<int64_t>(sysconf(_SC_PAGESIZE));
  return {.name = "emulated",
          .memory = page * static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)),
          .free_memory = page * static_cast<int64_t>(sysconf(_SC_AVPHYS_PAGES)),
          .processors = 1,
          .has_kernels = true};
}

void use_device(int device) {
  require(device == 0, ErrorKind::option, "use_device", "device 0 is required, got ", device, ".");
}

void* allocate(int64_t bytes) {
  // More than there is is not asked for: the address sanitizer ends a program that does.
  void* data = bytes <= device_facts(0).memory
                   ? ::operator new(static_cast<size_t>(bytes), kAlignment, std::nothrow)
                   : nullptr;
  require(data, ErrorKind::option, "allocate", bytes,
          " bytes of memory are required, fewer are free. Ask for less.");
  std::memset(data, 0xff, static_cast<size_t>(bytes));
  return data;
}
void release(void* data) noexcept { ::operator delete(data, kAlignment); }

void copy_on_device(void* to, const void* from, int64_t bytes, Stream) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}
void copy_to_device(void* to, const void* from, int64_t bytes, Stream stream) {
  copy_on_device(to, from, bytes, stream);
}
void copy_to_host(void* to, const void* from, int64_t bytes, Stream stream) {
  copy_on_device(to, from, bytes, stream);
}
void fill_bytes(void* data, uint8_t byte, int64_t bytes, Stream) {
  if (bytes > 0) std::memset(data, byte, static_cast<size_t>(bytes));
}
void synchronize(Stream) {}

Event::Event() : handle_(new Clock::time_point) {}
Event::~Event() { delete static_cast<Clock::time_point*>(handle_); }
void Event::record(Stream) { moment_of(handle_) = Clock::now(); }
double Event::ms_since(const Event& earlier) const {
  return std::chrono::duration<double, std::milli>(moment_of(handle_) - moment_of(earlier.handle_))
      .count();
}
#endif

}  // namespace pref::kernels::cuda
