// SPDX-License-Identifier: Apache-2.0
#include "libpref/distributed/communicator.h"

namespace pref {
namespace {

class SingleProcess final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce_sum(const at::Tensor&) override {}
  void all_reduce_sum(std::span<double>) override {}
};

}  // namespace

std::shared_ptr<Communicator> single_process() { return std::make_shared<SingleProcess>(); }

}  // namespace pref
