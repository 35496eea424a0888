// SPDX-License-Identifier: Apache-2.0
#include "libpref/nn/parameter_store.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <numeric>

#include "libpref/base/error.h"
#include "libpref/ops/tensor_kernels.h"

namespace pref {
namespace {

constexpr int64_t kAlignment = 128;  // elements: every leaf starts on a 512-byte boundary

int64_t aligned(int64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }
int64_t elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

int64_t ParameterStore::declare(const std::string& block_name, std::vector<ParameterPart> parts,
                                bool decay) {
  require(!allocated_, ErrorKind::internal, "parameters", "declare() must come before allocate().");
  require(!parts.empty(), ErrorKind::internal, "parameters", "a leaf needs at least one part.");
  Parameter leaf;
  leaf.shape = parts[0].shape;
  for (size_t i = 1; i < parts.size(); ++i) {
    const auto& shape = parts[i].shape;
    require(shape.size() == leaf.shape.size() &&
                std::equal(shape.begin() + 1, shape.end(), leaf.shape.begin() + 1),
            ErrorKind::internal, "parameters", parts[i].name, " cannot be joined to ",
            parts[0].name, ": their trailing dimensions differ.");
    leaf.shape[0] += shape[0];
  }
  leaf.parts = std::move(parts);
  leaf.decay = decay;
  int64_t block = 0;
  while (block < static_cast<int64_t>(blocks_.size()) && blocks_[block].name != block_name) ++block;
  if (block == static_cast<int64_t>(blocks_.size())) blocks_.push_back({.name = block_name});
  leaf.block = block;
  parameters_.push_back(std::move(leaf));
  adopted_.emplace_back();
  return static_cast<int64_t>(parameters_.size()) - 1;
}

int64_t ParameterStore::adopt(const std::string& block_name, const std::string& name,
                              at::Tensor tensor, bool decay) {
  require(tensor.defined() && tensor.is_leaf() && tensor.dim() >= 1, ErrorKind::option,
          "parameters", "\"", name,
          "\" must be a leaf tensor of one or more dimensions to be adopted.");
  const int64_t index = declare(block_name, {{name, tensor.sizes().vec()}}, decay);
  adopted_[index] = std::move(tensor);
  return index;
}

void ParameterStore::keep_gradient_wide(int64_t parameter) {
  blocks_[parameters_[parameter].block].wide_gradient = true;
}

void ParameterStore::allocate(const std::function<bool(const std::string&)>& trainable,
                              const Placement& placement) {
  require(!allocated_, ErrorKind::internal, "parameters", "allocate() must be called once.");
  require(placement.dtype == at::kFloat ||
              (placement.dtype == at::kBFloat16 && ops::on_device(placement.device)),
          ErrorKind::option, "parameters",
          "float32, or bfloat16 on a CUDA device, is required, got ", placement.dtype, " on ",
          placement.device.str(), ".");
  allocated_ = true;
  placement_ = placement;
  c10::NoGradGuard no_grad;
  std::vector<int64_t> frozen(blocks_.size(), 0), trained(blocks_.size(), 0);
  for (Parameter& p : parameters_) {
    p.trainable = trainable(p.parts[0].name);
    for (const auto& part : p.parts)
      require(trainable(part.name) == p.trainable, ErrorKind::option, "parameters", "\"",
              p.parts[0].name, "\" and \"", part.name,
              "\" share one matrix and must be trained or frozen together.");
    if (!p.trainable) {
      p.offset = frozen[p.block];
      frozen[p.block] += aligned(elements(p.shape));
    }
  }
  // Leaves with weight decay first, so that the optimizer sees two ranges a block.
  for (const bool decay : {true, false}) {
    for (Parameter& p : parameters_) {
      if (!p.trainable || p.decay != decay) continue;
      p.offset = trained[p.block];
      trained[p.block] += aligned(elements(p.shape));
    }
    if (decay)
      for (size_t b = 0; b < blocks_.size(); ++b) blocks_[b].decayed = trained[b];
  }
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const auto zeros = [&](int64_t count, at::ScalarType type) {
      return at::zeros({count}, at::TensorOptions(type).device(placement.device));
    };
    ParameterBlock& block = blocks_[b];
    block.trainable = zeros(trained[b], placement.dtype);
    block.gradient = zeros(trained[b], block.wide_gradient ? at::kFloat : placement.gradient);
    block.frozen = zeros(frozen[b], placement.dtype);
    if (placement.dtype == at::kBFloat16) {
      block.remainder = zeros(trained[b], at::kShort);
      block.frozen_remainder = zeros(frozen[b], at::kShort);
    }
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& p = parameters_[i];
    const ParameterBlock& block = blocks_[p.block];
    const auto view = [&](const at::Tensor& flat) {
      return flat.narrow(0, p.offset, elements(p.shape)).view(p.shape);
    };
    const at::Tensor place = view(p.trainable ? block.trainable : block.frozen);
    if (adopted_[i].defined()) {
      require(
          adopted_[i].scalar_type() == placement.dtype && adopted_[i].device() == placement.device,
          ErrorKind::option, "parameters", "\"", p.parts[0].name, "\" must be ", placement.dtype,
          " on ", placement.device.str(), " to be adopted, got ", adopted_[i].scalar_type(), " on ",
          adopted_[i].device().str(), ".");
      place.copy_(adopted_[i].detach());
      adopted_[i].set_data(place);
      p.value = adopted_[i];
    } else {
      p.value = place.detach();
    }
    p.value.set_requires_grad(p.trainable);
    if (p.trainable) {
      p.gradient = view(block.gradient);
      if (p.gradient.scalar_type() != p.value.scalar_type())
        p.value.set_grad_dtype(p.gradient.scalar_type());
      p.value.mutable_grad() = p.gradient;
    }
  }
}

namespace {

// The leaf's run of a flat buffer.
at::Tensor run_of(const Parameter& p, const at::Tensor& flat) {
  return flat.narrow(0, p.offset, elements(p.shape));
}

}  // namespace

at::Tensor ParameterStore::values(int64_t parameter) const {
  const Parameter& p = parameters_[parameter];
  const ParameterBlock& block = blocks_[p.block];
  const at::Tensor own = run_of(p, p.trainable ? block.trainable : block.frozen);
  if (own.scalar_type() == at::kFloat) return own.cpu().view(p.shape);
  const at::Tensor remainder = run_of(p, p.trainable ? block.remainder : block.frozen_remainder);
  return ops::joined_master(own, remainder).cpu().view(p.shape);
}

void ParameterStore::set_values(int64_t parameter, const at::Tensor& values) {
  const c10::NoGradGuard no_grad;
  const Parameter& p = parameters_[parameter];
  const ParameterBlock& block = blocks_[p.block];
  const at::Tensor own = run_of(p, p.trainable ? block.trainable : block.frozen);
  if (own.scalar_type() == at::kFloat) {
    own.copy_(values.reshape({-1}));
    return;
  }
  const at::Tensor remainder = run_of(p, p.trainable ? block.remainder : block.frozen_remainder);
  ops::split_master(values.reshape({-1}).to(own.device()), own, remainder);
}

Weight ParameterStore::weight(int64_t parameter) const {
  return {parameters_[parameter].value, parameters_[parameter].gradient};
}

void ParameterStore::zero_gradients() {
  for (auto& block : blocks_) block.gradient.zero_();
}

int64_t ParameterStore::num_trainable() const {
  int64_t n = 0;
  for (const auto& p : parameters_) n += p.trainable ? elements(p.shape) : 0;
  return n;
}

int64_t ParameterStore::num_elements() const {
  int64_t n = 0;
  for (const auto& p : parameters_) n += elements(p.shape);
  return n;
}

}  // namespace pref
