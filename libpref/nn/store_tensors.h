// SPDX-License-Identifier: Apache-2.0
// A parameter store seen as the named tensors of a model folder: for saving, checkpoints and
// digests.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "libpref/data/model_folder/safetensors.h"
#include "libpref/nn/parameter_store.h"

namespace pref {

/// Every part of every leaf, in store order, handed out as bytes of `type` (read from the device and
/// converted one leaf at a time).
class StoreTensors : public TensorSource {
 public:
  explicit StoreTensors(const ParameterStore& store, TensorType type = TensorType::f32);
  const std::vector<TensorEntry>& entries() const { return entries_; }
  std::span<const std::byte> bytes(size_t index) override;

 private:
  struct Place {
    int64_t leaf, offset;  // elements into the leaf
  };
  const ParameterStore& store_;
  std::vector<TensorEntry> entries_;
  std::vector<Place> places_;
  int64_t leaf_ = -1;  // whose values are at hand
  at::Tensor values_;
  std::vector<std::byte> converted_;
};

/// Overwrites every leaf: write(name, shape, values) fills each part, contiguous f32, in store
/// order.
void fill_store(ParameterStore& store,
                const std::function<void(const std::string& name, const std::vector<int64_t>& shape,
                                         float* values)>& write);

/// Reads every tensor of the store from `file`; missing or ill-shaped ones are one error that lists
/// them.
void read_store(const SafetensorsFile& file, ParameterStore& store);

}  // namespace pref
