// SPDX-License-Identifier: Apache-2.0
// What a training step asks of its process group. The step is written for any size; one process is
// the group that exists.
#pragma once
#include <ATen/core/TensorBody.h>

#include <memory>
#include <span>

namespace pref {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void all_reduce_sum(
      const at::Tensor& tensor) = 0;  ///< in place, the same bits on every rank
  virtual void all_reduce_sum(std::span<double> values) = 0;  ///< losses, counts, norms
};

/// A group of one: every reduction is the identity.
std::shared_ptr<Communicator> single_process();

}  // namespace pref
