// SPDX-License-Identifier: Apache-2.0
// The device itself, for programs that see neither a CUDA header nor torch: which cards there are
// and why there are none, their facts, memory, copies, and events that tell how long something took.
// In a build without nvcc devices() says so and everything else throws (option).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

struct Devices {
  int count = 0;
  std::string reason;         ///< where count is 0: why, and what to do
  int driver = 0;             ///< newest CUDA the driver takes, 13000 for 13.0; 0: no driver
  int runtime = 0;            ///< the CUDA run time that is loaded, likewise
  std::string architectures;  ///< what the kernels were compiled for, "80 89 90"; "" without nvcc
};
/// Throws nothing, whatever is missing.
Devices devices();

struct DeviceFacts {
  std::string name;
  int64_t memory = 0, free_memory = 0, l2_cache = 0;  ///< bytes
  int processors = 0;
  int major = 0, minor = 0;    ///< compute capability
  double clock_ghz = 0;        ///< highest clock of the processors
  double memory_gb_per_s = 0;  ///< by memory clock and bus width, 0 where the driver does not say
  bool has_kernels = false;    ///< this build holds code that the card can run
};
/// Throws (option) where there is no such device. Takes some memory on it (CUDA's context).
DeviceFacts device_facts(int device = 0);

/// Later calls of this thread are about this device.
void use_device(int device);

/// "13.0" for 13000, "none" for 0.
inline std::string version_text(int version) {
  if (version == 0) return "none";
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// Bytes on the device, at least 256-byte aligned; what stands there is undefined (NaN where kernels
/// are run by a CPU). Throws (option) where they are not free, saying how many are.
void* allocate(int64_t bytes);
void release(void* data) noexcept;

/// Both wait until what was enqueued before and the copy itself are done.
void copy_to_device(void* to, const void* from, int64_t bytes, Stream stream);
void copy_to_host(void* to, const void* from, int64_t bytes, Stream stream);
/// These are enqueued. A byte of 0xff makes every f32, bf16 and f64 a NaN.
void copy_on_device(void* to, const void* from, int64_t bytes, Stream stream);
void fill_bytes(void* data, uint8_t byte, int64_t bytes, Stream stream);
/// Waits for the stream; throws (internal) what a kernel left behind.
void synchronize(Stream stream);

/// A moment in a stream.
class Event {
 public:
  Event();
  ~Event();
  Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  void record(Stream stream);
  /// Milliseconds from `earlier` to this one; waits until this one has come.
  double ms_since(const Event& earlier) const;

 private:
  void* handle_;
};

/// `count` elements on the device.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(int64_t count)
      : data_(count > 0 ? static_cast<T*>(allocate(count * kBytes)) : nullptr), count_(count) {}
  explicit DeviceArray(const std::vector<T>& values, Stream stream = nullptr)
      : DeviceArray(static_cast<int64_t>(values.size())) {
    copy_to_device(data_, values.data(), count_ * kBytes, stream);
  }
  ~DeviceArray() {
    if (data_) release(data_);
  }
  DeviceArray(DeviceArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }

  T* data() const { return data_; }
  int64_t size() const { return count_; }
  int64_t bytes() const { return count_ * kBytes; }
  void fill(uint8_t byte, Stream stream = nullptr) { fill_bytes(data_, byte, bytes(), stream); }
  /// Elements [first, first + count) on the host.
  std::vector<T> read(int64_t first, int64_t count, Stream stream = nullptr) const {
    std::vector<T> out(static_cast<size_t>(count));
    copy_to_host(out.data(), data_ + first, count * kBytes, stream);
    return out;
  }
  std::vector<T> read(Stream stream = nullptr) const { return read(0, count_, stream); }

 private:
  static constexpr auto kBytes = static_cast<int64_t>(sizeof(T));
  T* data_ = nullptr;
  int64_t count_ = 0;
};

}  // namespace pref::kernels::cuda
