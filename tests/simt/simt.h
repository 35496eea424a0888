// SPDX-License-Identifier: Apache-2.0
// Runs CUDA kernel source on the CPU under g++. Every thread of a block is a fiber, blocks run one
// after another, shared memory starts as NaN, barriers and shuffles hand over to the next fiber in
// a chosen order, and what a device would answer with undefined behaviour throws simt::Error with
// file and line. simt_device.h gives kernels the device's names; platform.cuh includes it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x, y, z;
};

namespace simt {

/// The order in which waiting fibers and blocks are taken up.
enum class Order { forward, reverse, random };

struct Options {
  Order order = Order::forward;
  uint32_t seed = 1;  ///< of Order::random
  /// Threads may have returned before a barrier or shuffle that would wait for them.
  bool allow_exited = false;
};

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Read by every launch.
extern Options options;
/// Sets options for a scope.
struct WithOptions {
  explicit WithOptions(Options now) : before(options) { options = now; }
  ~WithOptions() { options = before; }
  WithOptions(const WithOptions&) = delete;
  WithOptions& operator=(const WithOptions&) = delete;
  Options before;
};

/// Most shared memory of one block, as on sm_90.
inline constexpr size_t kMaxSharedBytes = 227 * 1024;

/// Calls `body` once per thread of the grid. Throws Error: the first fault of any thread.
void run(dim3 grid, dim3 block, size_t dynamic_shared_bytes, const std::function<void()>& body);

template <class... Parameters, class... Arguments>
void launch(dim3 grid, dim3 block, size_t dynamic_shared_bytes, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  run(grid, block, dynamic_shared_bytes, [&] { kernel(static_cast<Parameters>(arguments)...); });
}

// What simt_device.h is made of.

struct Site {
  const char* file;
  int line;
};
[[noreturn]] void fault(const std::string& what, Site site);
int lane();
/// Lets another fiber run where the order is random.
void yield();

/// What a barrier combines: how many threads said yes.
int barrier(bool vote, Site site);

/// Every lane of `mask` deposits a value, waits for the others and reads theirs from the result.
struct Deposits {
  unsigned lanes;  ///< who deposited
  uint64_t value[32];
};
Deposits exchange(const char* operation, unsigned mask, uint64_t value, bool orders_memory,
                  Site site);

/// Shared variable of the running block, made when first asked for under this key.
void* shared_variable(const void* key, size_t bytes, Site declared);
/// The launch's dynamic shared memory.
void* dynamic_shared(size_t* bytes);

}  // namespace simt
