// SPDX-License-Identifier: Apache-2.0
#include "libpref/nn/store_tensors.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <functional>
#include <numeric>

#include "libpref/base/error.h"

namespace pref {

StoreTensors::StoreTensors(const ParameterStore& store, TensorType type) : store_(store) {
  const auto& leaves = store.parameters();
  for (size_t i = 0; i < leaves.size(); ++i) {
    int64_t offset = 0;
    for (const ParameterPart& part : leaves[i].parts) {
      entries_.push_back({.name = part.name, .type = type, .shape = part.shape});
      places_.push_back({static_cast<int64_t>(i), offset});
      offset += entries_.back().elements();
    }
  }
}

std::span<const std::byte> StoreTensors::bytes(size_t index) {
  const TensorEntry& entry = entries_[index];
  if (leaf_ != places_[index].leaf) {
    leaf_ = places_[index].leaf;
    values_ = store_.values(leaf_);
  }
  const float* data = values_.const_data_ptr<float>() + places_[index].offset;
  const int64_t count = entry.elements();
  if (entry.type == TensorType::f32) return std::as_bytes(std::span<const float>(data, count));
  converted_.resize(count * tensor_type_bytes(entry.type));
  convert_from_f32(entry.type, data, count, converted_.data());
  return converted_;
}

void fill_store(
    ParameterStore& store,
    const std::function<void(const std::string&, const std::vector<int64_t>&, float*)>& write) {
  for (size_t i = 0; i < store.parameters().size(); ++i) {
    const Parameter& leaf = store.parameters()[i];
    const auto index = static_cast<int64_t>(i);
    const at::Tensor values = store.holds_plain_values() ? store.values(index)  // the leaf itself
                                                         : at::empty(leaf.shape, at::kFloat);
    float* data = values.mutable_data_ptr<float>();
    for (const ParameterPart& part : leaf.parts) {
      write(part.name, part.shape, data);
      data +=
          std::accumulate(part.shape.begin(), part.shape.end(), int64_t{1}, std::multiplies<>());
    }
    if (!store.holds_plain_values()) store.set_values(index, values);
  }
}

void read_store(const SafetensorsFile& file, ParameterStore& store) {
  std::string missing;
  fill_store(store, [&](const std::string& name, const std::vector<int64_t>& shape, float* values) {
    const TensorEntry* found = file.find(name);
    if (found == nullptr || found->shape != shape) {
      missing += (missing.empty() ? "" : ", ") + name;
      return;
    }
    convert_to_f32(found->type, file.bytes(*found).data(), found->elements(), values);
  });
  require(missing.empty(), ErrorKind::data, "model", file.path(),
          ": these tensors are missing or of another shape: ", missing,
          ". The file belongs to another model.");
}

}  // namespace pref
