// SPDX-License-Identifier: Apache-2.0
// What tensors on the CPU take, counted where it is allocated.
#pragma once
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <memory>

namespace pref::testing {

/// Counts live and largest bytes of tensor memory. Blocks may outlive the time it is installed for.
class MeteringAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    auto block = std::make_unique<Block>(Block{inner_->allocate(bytes), bytes, this});
    live_ += static_cast<int64_t>(bytes);
    peak_ = std::max(peak_.load(), live_.load());
    largest_ = std::max(largest_.load(), static_cast<int64_t>(bytes));
    void* data = block->inner.get();
    return {data, block.release(), &free_block, c10::Device(c10::DeviceType::CPU)};
  }
  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }

  void reset() {
    base_ = live_.load();
    peak_ = live_.load();
    largest_ = 0;
  }
  int64_t peak() const {
    return peak_ - base_;
  }  ///< most bytes live at once, beyond those of reset()
  int64_t largest() const { return largest_; }  ///< bytes of the largest single allocation
  int64_t live() const { return live_ - base_; }
  static MeteringAllocator& get() {
    static MeteringAllocator* one = new MeteringAllocator;  // kept for blocks that are freed late
    return *one;
  }

 private:
  struct Block {
    c10::DataPtr inner;
    size_t bytes;
    MeteringAllocator* meter;
  };
  static void free_block(void* context) {
    const std::unique_ptr<Block> block(static_cast<Block*>(context));
    block->meter->live_ -= static_cast<int64_t>(block->bytes);
  }
  c10::Allocator* inner_ = c10::GetDefaultCPUAllocator();
  std::atomic<int64_t> live_{0}, peak_{0}, largest_{0};
  int64_t base_ = 0;
};

/// Installs the meter for a scope.
struct MeteredMemory {
  MeteredMemory() { c10::SetCPUAllocator(&MeteringAllocator::get()); }
  ~MeteredMemory() { c10::SetCPUAllocator(c10::GetDefaultCPUAllocator()); }
  MeteredMemory(const MeteredMemory&) = delete;
};

}  // namespace pref::testing
