// SPDX-License-Identifier: Apache-2.0
#include "libpref/nn/store_tensors.h"

#include <ATen/core/Tensor.h>

#include "libpref/base/error.h"

namespace pref {

StoreTensors::StoreTensors(const ParameterStore& store, TensorType type) {
  for (const Parameter& p : store.parameters()) {
    float* data = p.value.mutable_data_ptr<float>();
    for (const ParameterPart& part : p.parts) {
      entries_.push_back({.name = part.name, .type = type, .shape = part.shape});
      data_.push_back(data);
      data += entries_.back().elements();
    }
  }
}

std::span<const std::byte> StoreTensors::bytes(size_t index) {
  const TensorEntry& entry = entries_[index];
  const int64_t count = entry.elements();
  if (entry.type == TensorType::f32)
    return std::as_bytes(std::span<const float>(data_[index], count));
  converted_.resize(count * tensor_type_bytes(entry.type));
  convert_from_f32(entry.type, data_[index], count, converted_.data());
  return converted_;
}

void read_store(const SafetensorsFile& file, ParameterStore& store) {
  const StoreTensors tensors(store);
  std::string missing;
  for (size_t i = 0; i < tensors.entries().size(); ++i) {
    const TensorEntry& wanted = tensors.entries()[i];
    const TensorEntry* found = file.find(wanted.name);
    if (found == nullptr || found->shape != wanted.shape) {
      missing += (missing.empty() ? "" : ", ") + wanted.name;
      continue;
    }
    convert_to_f32(found->type, file.bytes(*found).data(), found->elements(), tensors.data(i));
  }
  require(missing.empty(), ErrorKind::data, "model", file.path(),
          ": these tensors are missing or of another shape: ", missing,
          ". The file belongs to another model.");
}

}  // namespace pref
