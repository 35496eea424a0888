// SPDX-License-Identifier: Apache-2.0
// The harness itself: correct kernels give their answer under every schedule, and each fault that a
// device would answer with undefined behaviour is reported with the place.
#include <gmock/gmock.h>

#include <vector>

#include "kernels/cuda/device/platform.cuh"
#include "tests/simt/simt_device.h"
#include "tests/simt/simt_test_util.h"

namespace pref::kernels::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class HarnessTest : public SimtTest {
 protected:
  template <class Kernel>
  static std::string fault_of(unsigned threads, const Kernel& kernel, size_t shared_bytes = 0) {
    try {
      simt::run(dim3(1), dim3(threads), shared_bytes, kernel);
    } catch (const simt::Error& error) {
      return error.what();
    }
    return "no fault";
  }
};
PREF_EVERY_SCHEDULE(HarnessTest);

TEST_P(HarnessTest, ValueOfABlockSum) {
  // 1 + ... + 70 in each of 3 blocks, by shared memory, two barriers and a shuffle tree.
  std::vector<int> out(3);
  simt::run(dim3(3), dim3(96), 0, [&] {
    PREF_SHARED_ARRAY(int, part, 3);
    int x = threadIdx.x < 70 ? static_cast<int>(threadIdx.x) + 1 : 0;
    for (int bits = 16; bits; bits /= 2) x += __shfl_xor_sync(~0u, x, bits);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    if (threadIdx.x == 0) out[blockIdx.x] = part[0] + part[1] + part[2];
  });
  EXPECT_EQ(out, (std::vector<int>{2485, 2485, 2485}));
}

TEST_P(HarnessTest, ValueOfShufflesAndVotes) {
  std::vector<int> from(32), down(32);
  std::vector<unsigned> ballot(2);
  std::vector<int> any(64);
  simt::run(dim3(1), dim3(64), 0, [&] {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int a = __shfl_sync(~0u, lane * 10, 7), b = __shfl_down_sync(~0u, lane, 3);
    const unsigned votes = __ballot_sync(~0u, lane % 8 == warp);
    any[threadIdx.x] = __syncthreads_or(threadIdx.x == 63);
    if (warp == 0) from[static_cast<size_t>(lane)] = a, down[static_cast<size_t>(lane)] = b;
    if (lane == 0) ballot[static_cast<size_t>(warp)] = votes;
  });
  EXPECT_THAT(from, testing::Each(70));
  for (int lane = 0; lane < 32; ++lane)
    EXPECT_EQ(down[static_cast<size_t>(lane)], lane < 29 ? lane + 3 : lane);
  EXPECT_EQ(ballot, (std::vector<unsigned>{0x01010101u, 0x02020202u}));
  EXPECT_THAT(any, testing::Each(1));
}

TEST_P(HarnessTest, ValueOfHalfWarps) {
  std::vector<int> out(32);
  simt::run(dim3(1), dim3(32), 0, [&] {
    const unsigned mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
    int x = 1 + static_cast<int>(threadIdx.x) / 16;
    for (int bits = 8; bits; bits /= 2) x += __shfl_xor_sync(mask, x, bits);
    __syncwarp();
    out[threadIdx.x] = x;
  });
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(out[i], i < 16 ? 16 : 32);
}

TEST_P(HarnessTest, ValueOfAtomics) {
  int sum = 0, flags = 0;
  float total = 0;
  simt::run(dim3(4, 2), dim3(33), 0, [&] {
    atomicAdd(&sum, 1);
    atomicAdd(&total, 0.5f);
    atomicOr(&flags, 1 << blockIdx.y);
  });
  EXPECT_EQ(sum, 264);
  EXPECT_EQ(total, 132.0f);
  EXPECT_EQ(flags, 3);
}

TEST_P(HarnessTest, SharedMemoryStartsAsNaN) {
  int numbers = 0;
  simt::run(dim3(2), dim3(8), 64, [&] {
    PREF_SHARED_ARRAY(float, stale, 8);
    PREF_DYNAMIC_SHARED(float, dynamic);
    if (!std::isnan(stale[threadIdx.x]) || !std::isnan(dynamic[threadIdx.x]))
      atomicAdd(&numbers, 1);
    stale[threadIdx.x] = dynamic[threadIdx.x] = 1;  // the next block must not see it
  });
  EXPECT_EQ(numbers, 0);
}

TEST_P(HarnessTest, ReportsDivergentBarriers) {
  const auto kernel = [] {  // outside the macro, which would put both barriers on one line
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  };
  EXPECT_THAT(fault_of(64, kernel),
              AllOf(HasSubstr("divergent barrier"), HasSubstr("harness_test.cpp:")));
}

TEST_P(HarnessTest, ReportsABarrierThatSomeNeverReach) {
  EXPECT_THAT(fault_of(64,
                       [] {
                         if (threadIdx.x < 32) __syncthreads();
                       }),
              AllOf(HasSubstr("barrier"), HasSubstr("returned")));
}

TEST_P(HarnessTest, AllowsReturnedThreadsOnRequest) {
  simt::WithOptions options({GetParam().order, GetParam().seed, true});
  EXPECT_EQ(fault_of(64,
                     [] {
                       if (threadIdx.x < 32) __syncthreads();
                     }),
            "no fault");
}

TEST_P(HarnessTest, ReportsReadsOfInactiveLanes) {
  EXPECT_THAT(fault_of(32,
                       [] {
                         if (threadIdx.x < 16) __shfl_xor_sync(0x0000ffffu, 1, 16);
                       }),
              AllOf(HasSubstr("reads inactive lane"), HasSubstr("harness_test.cpp:")));
}

TEST_P(HarnessTest, ReportsCallersOutsideTheMask) {
  EXPECT_THAT(fault_of(32, [] { __shfl_xor_sync(0x0000ffffu, 1, 1); }),
              AllOf(HasSubstr("is not in the mask"), HasSubstr("harness_test.cpp:")));
}

TEST_P(HarnessTest, ReportsMasksWithMissingLanes) {
  EXPECT_THAT(fault_of(24, [] { __syncwarp(); }), HasSubstr("have returned or do not exist"));
  EXPECT_THAT(fault_of(32,
                       [] {
                         if (threadIdx.x < 20) __syncwarp();
                       }),
              testing::AnyOf(HasSubstr("have returned or do not exist"),
                             HasSubstr("waiting in __syncwarp")));
}

TEST_P(HarnessTest, ReportsShufflesThatMeetFromDifferentPlaces) {
  const auto kernel = [] {
    if (threadIdx.x < 16) {
      __shfl_xor_sync(~0u, 1, 1);
    } else {
      __shfl_xor_sync(~0u, 1, 1);
    }
  };
  EXPECT_THAT(fault_of(32, kernel),
              AllOf(HasSubstr("while others wait for this lane"), HasSubstr("harness_test.cpp:")));
}

TEST_P(HarnessTest, ReportsSharedMemoryOutOfBounds) {
  EXPECT_THAT(fault_of(8,
                       [] {
                         PREF_SHARED_ARRAY(float, x, 4);
                         x[threadIdx.x] = 0;
                       }),
              AllOf(HasSubstr("index"), HasSubstr("of 4"), HasSubstr("harness_test.cpp:")));
  EXPECT_THAT(fault_of(
                  8,
                  [] {
                    PREF_DYNAMIC_SHARED(float, x);
                    x[static_cast<int>(threadIdx.x) - 1] = 0;
                  },
                  32),
              HasSubstr("is negative"));
}

#if !defined(__SANITIZE_ADDRESS__)  // which stops at the write itself
TEST_P(HarnessTest, ReportsWritesBesideSharedMemory) {
  EXPECT_THAT(fault_of(1,
                       [] {
                         PREF_SHARED_ARRAY(float, x, 4);
                         volatile float* beside = &x[3];
                         beside[1] = 0;
                       }),
              AllOf(HasSubstr("written beside"), HasSubstr("harness_test.cpp:")));
}
#endif

TEST_P(HarnessTest, ReportsTooMuchSharedMemory) {
  EXPECT_THAT(fault_of(
                  1, [] {}, simt::kMaxSharedBytes + 1),
              HasSubstr("too many"));
}

TEST_P(HarnessTest, ReportsImpossibleLaunches) {
  EXPECT_THAT(fault_of(1025, [] {}), HasSubstr("not possible"));
}

TEST_P(HarnessTest, WorksAfterAFault) {
  fault_of(64, [] {
    if (threadIdx.x < 32) __syncthreads();
  });
  int threads = 0;
  EXPECT_EQ(fault_of(64,
                     [&] {
                       __syncthreads();
                       atomicAdd(&threads, 1);
                     }),
            "no fault");
  EXPECT_EQ(threads, 64);
}

TEST(HarnessOrder, SchedulesDifferAndRepeat) {
  const auto trace = [](simt::Options options) {
    simt::WithOptions with(options);
    std::vector<unsigned> order(40);
    int next = 0;
    simt::run(dim3(1), dim3(20), 0, [&] {
      order[static_cast<size_t>(atomicAdd(&next, 1))] = threadIdx.x;
      __syncthreads();
      order[static_cast<size_t>(atomicAdd(&next, 1))] = threadIdx.x;
    });
    return order;
  };
  const auto forward = trace({simt::Order::forward}), reverse = trace({simt::Order::reverse});
  const auto one = trace({simt::Order::random, 1}), two = trace({simt::Order::random, 2});
  EXPECT_EQ(forward.front(), 0u);
  EXPECT_EQ(reverse.front(), 19u);
  EXPECT_NE(one, two);
  EXPECT_EQ(one, trace({simt::Order::random, 1}));
}

}  // namespace
}  // namespace pref::kernels::cuda
