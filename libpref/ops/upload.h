// SPDX-License-Identifier: Apache-2.0
// Host arrays to a device without waiting for it: all arrays of a batch in one copy from pinned
// memory, on a stream of its own, two batches in flight. Operators put on the current stream after
// upload() see the data.
#pragma once
#include <ATen/core/TensorBody.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace pref::ops {

/// Arrays laid end to end, each on a sixteen-byte boundary; take() finds them again on the device.
class WordBuffer {
 public:
  struct Range {
    int64_t first = 0, count = 0;
  };
  Range add(std::span<const int64_t> values);
  Range add(std::span<const double> values);
  Range add(std::span<const int32_t> values);  ///< count in i32
  std::span<const int64_t> words() const { return words_; }

 private:
  int64_t* grow(int64_t words, Range& range);
  std::vector<int64_t> words_;
};
/// The array of `range` in an uploaded buffer: i64, f64 or i32; undefined where it is empty.
at::Tensor take(const at::Tensor& words, WordBuffer::Range range, at::ScalarType type = at::kLong);

class Uploader {
 public:
  explicit Uploader(at::Device device);
  ~Uploader();
  Uploader(const Uploader&) = delete;
  at::Device device() const { return device_; }
  /// [n] i64 on the device. Waits only for the copy of two batches ago.
  at::Tensor upload(std::span<const int64_t> words);

 private:
  struct Slot;
  struct Streams;
  at::Device device_;
  std::unique_ptr<Streams> streams_;  // null where the device is the CPU
};

}  // namespace pref::ops
