// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/upload.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace pref::ops {
namespace {
constexpr int64_t kAlignedWords = 2;  // sixteen bytes
}

int64_t* WordBuffer::grow(int64_t words, Range& range) {
  const auto size = static_cast<int64_t>(words_.size());
  range.first = (size + kAlignedWords - 1) / kAlignedWords * kAlignedWords;
  words_.resize(static_cast<size_t>(range.first + words));
  return words_.data() + range.first;
}

WordBuffer::Range WordBuffer::add(std::span<const int64_t> values) {
  Range range{0, static_cast<int64_t>(values.size())};
  std::copy(values.begin(), values.end(), grow(range.count, range));
  return range;
}

WordBuffer::Range WordBuffer::add(std::span<const double> values) {
  Range range{0, static_cast<int64_t>(values.size())};
  int64_t* to = grow(range.count, range);
  if (!values.empty()) std::memcpy(to, values.data(), values.size_bytes());
  return range;
}

WordBuffer::Range WordBuffer::add(std::span<const int32_t> values) {
  Range range{0, static_cast<int64_t>(values.size())};
  int64_t* to = grow((range.count + 1) / 2, range);
  if (!values.empty()) std::memcpy(to, values.data(), values.size_bytes());
  return range;
}

at::Tensor take(const at::Tensor& words, WordBuffer::Range range, at::ScalarType type) {
  if (range.count == 0) return {};
  const bool half = type == at::kInt;
  const at::Tensor part = words.narrow(0, range.first, half ? (range.count + 1) / 2 : range.count);
  if (type == at::kLong) return part;
  return half ? part.view(at::kInt).narrow(0, 0, range.count) : part.view(type);
}

struct Uploader::Slot {
  at::Tensor pinned;
  std::unique_ptr<c10::Event> copied;
};

struct Uploader::Streams {
  explicit Streams(at::Device device)
      : guard(device.type()), copies(guard.getStreamFromGlobalPool(device)) {}
  c10::impl::VirtualGuardImpl guard;
  c10::Stream copies;
  std::array<Slot, 2> slots;
  size_t next = 0;
};

Uploader::Uploader(at::Device device) : device_(device) {
  if (!device.is_cpu()) streams_ = std::make_unique<Streams>(device);
}
Uploader::~Uploader() = default;

at::Tensor Uploader::upload(std::span<const int64_t> words) {
  const auto count = static_cast<int64_t>(words.size());
  if (!streams_) {
    at::Tensor copy = at::empty({count}, at::kLong);
    std::copy(words.begin(), words.end(), copy.mutable_data_ptr<int64_t>());
    return copy;
  }
  Slot& slot = streams_->slots[streams_->next++ % streams_->slots.size()];
  if (slot.copied) slot.copied->synchronize();
  if (!slot.pinned.defined() || slot.pinned.numel() < count)
    slot.pinned = at::empty({count + count / 4}, at::TensorOptions(at::kLong).pinned_memory(true));
  std::copy(words.begin(), words.end(), slot.pinned.mutable_data_ptr<int64_t>());
  const c10::Stream compute = streams_->guard.getStream(device_);
  at::Tensor out;
  {
    // The memory belongs to the copying stream, so that no older kernel still reads it.
    const c10::StreamGuard on_copies(streams_->copies);
    out = at::empty({count}, at::TensorOptions(at::kLong).device(device_));
    out.copy_(slot.pinned.narrow(0, 0, count), /*non_blocking=*/true);
    slot.copied = std::make_unique<c10::Event>(device_.type());
    slot.copied->record(streams_->copies);
  }
  slot.copied->block(compute);
  out.record_stream(compute);
  return out;
}

}  // namespace pref::ops
