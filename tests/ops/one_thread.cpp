// SPDX-License-Identifier: Apache-2.0
// Operators run on one thread unless a test asks for more: on a busy machine the barriers of small
// products cost far more than the products.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace {

class OneThread : public testing::Environment {
 public:
  void SetUp() override { at::set_num_threads(1); }
};

const testing::Environment* const kOneThread = testing::AddGlobalTestEnvironment(new OneThread);

}  // namespace
