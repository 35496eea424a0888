// SPDX-License-Identifier: Apache-2.0
// The device's own contract in the form that runs on the host: what callers of memory, copies and
// events may rely on.
#include "kernels/cuda/runtime.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "libpref/base/error.h"

namespace pref::kernels::cuda {
namespace {

TEST(CudaRuntime, Value) {
  EXPECT_EQ(version_text(13000), "13.0");
  EXPECT_EQ(version_text(12090), "12.9");
  EXPECT_EQ(version_text(0), "none");
}

TEST(CudaRuntime, ValueOfTheEmulatedDevice) {
  const Devices found = devices();
  EXPECT_EQ(found.count, 1);
  EXPECT_EQ(found.reason, "");
  EXPECT_EQ(found.architectures, "emulated");
  const DeviceFacts facts = device_facts();
  EXPECT_EQ(facts.name, "emulated");
  EXPECT_GT(facts.free_memory, 0);
  EXPECT_GE(facts.memory, facts.free_memory);
  EXPECT_TRUE(facts.has_kernels);
  EXPECT_THROW(device_facts(1), Error);
  EXPECT_THROW(use_device(-1), Error);
}

TEST(CudaRuntime, RoundTripOfArrays) {
  const std::vector<int64_t> values = {3, -1, 4, 1, -5};
  DeviceArray<int64_t> a(values);
  EXPECT_EQ(a.size(), 5);
  EXPECT_EQ(a.bytes(), 40);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 256, 0u);
  EXPECT_EQ(a.read(), values);
  EXPECT_EQ(a.read(1, 2), (std::vector<int64_t>{-1, 4}));
  DeviceArray<int64_t> b(5);
  copy_on_device(b.data(), a.data(), a.bytes(), nullptr);
  EXPECT_EQ(b.read(), values);
  a = std::move(b);
  EXPECT_EQ(a.read(), values);
  const DeviceArray<int64_t> c(std::move(a));
  EXPECT_EQ(c.read(), values);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT: what a moved array holds is part of the contract
}

TEST(CudaRuntime, EmptyArraysTakeNothing) {
  DeviceArray<float> none(0);
  EXPECT_EQ(none.data(), nullptr);
  none.fill(1);
  EXPECT_TRUE(none.read().empty());
  EXPECT_EQ(DeviceArray<float>(std::vector<float>()).size(), 0);
}

TEST(CudaRuntime, FilledWithOnesIsNaN) {
  DeviceArray<float> f(9);
  DeviceArray<double> d(9);
  f.fill(0), d.fill(0);
  EXPECT_THAT(f.read(), testing::Each(0.0f));
  f.fill(0xff), d.fill(0xff);
  for (const float x : f.read()) EXPECT_TRUE(std::isnan(x));
  for (const double x : d.read()) EXPECT_TRUE(std::isnan(x));
}

TEST(CudaRuntime, EventsTellTheTimeBetweenThem) {
  Event first, second;
  first.record(nullptr);
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  second.record(nullptr);
  EXPECT_GE(second.ms_since(first), 3.0);
  EXPECT_LE(first.ms_since(second), -3.0);
  Event moved(std::move(first));
  EXPECT_GE(second.ms_since(moved), 3.0);
}

TEST(CudaRuntime, RejectsMoreMemoryThanThereIs) {
  EXPECT_THROW(DeviceArray<char>(int64_t{1} << 60), Error);
}

}  // namespace
}  // namespace pref::kernels::cuda
