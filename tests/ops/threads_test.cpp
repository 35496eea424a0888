// SPDX-License-Identifier: Apache-2.0
// at::parallel_for is a template: in a source compiled without OpenMP it runs on the caller alone,
// and nothing says so.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

namespace {

TEST(ThreadsTest, LoopsOfTorchFacingSourcesRunOnAllThreads) {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  at::parallel_for(0, 2, 1, [&](int64_t, int64_t) {
    const std::scoped_lock lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  at::set_num_threads(before);
  EXPECT_EQ(seen.size(), 2u);
}

}  // namespace
