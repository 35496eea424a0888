// SPDX-License-Identifier: Apache-2.0
// A parameter store seen as the named tensors of a model folder: for saving, checkpoints and
// digests.
#pragma once
#include <span>
#include <vector>

#include "libpref/data/model_folder/safetensors.h"
#include "libpref/nn/parameter_store.h"

namespace pref {

/// Every part of every leaf, in store order, handed out as bytes of `type` (converted one tensor at
/// a time).
class StoreTensors : public TensorSource {
 public:
  explicit StoreTensors(const ParameterStore& store, TensorType type = TensorType::f32);
  const std::vector<TensorEntry>& entries() const { return entries_; }
  std::span<const std::byte> bytes(size_t index) override;
  float* data(size_t index) const {
    return data_[index];
  }  ///< where the values live, contiguous f32

 private:
  std::vector<TensorEntry> entries_;
  std::vector<float*> data_;
  std::vector<std::byte> converted_;
};

/// Reads every tensor of the store from `file`; missing or ill-shaped ones are one error that lists
/// them.
void read_store(const SafetensorsFile& file, ParameterStore& store);

}  // namespace pref
