// SPDX-License-Identifier: Apache-2.0
// Parameters in flat, aligned buffers, one set per block (embedding, each decoder layer, head).
// Within a block trainable and frozen segments lie apart, and every trainable leaf's gradient is a
// view of the block's flat gradient. Optimizer, clipping, checkpoints and sharding work on the flat
// buffers and never see a network. On a device weights may be bf16 beside 16-bit remainders, which
// together are exact f32 values (kernels/cuda/adamw.h).
#pragma once
#include <ATen/core/TensorBody.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "libpref/ops/device.h"
#include "libpref/ops/weight.h"

namespace pref {

/// One tensor of a model folder, or a run of rows of a leaf: leaves such as [q; k; v] hold several.
struct ParameterPart {
  std::string name;  ///< the model folder's name
  std::vector<int64_t> shape;
};

/// A leaf of the network: the concatenation of its parts along dimension 0.
struct Parameter {
  std::vector<ParameterPart> parts;
  std::vector<int64_t> shape;
  int64_t block = 0;
  bool trainable = true;
  bool decay = true;    ///< takes weight decay (matrices do; biases and norms do not)
  int64_t offset = 0;   ///< of the value in the block's trainable or frozen buffer, elements
  at::Tensor value;     ///< the leaf; a view of the flat buffer
  at::Tensor gradient;  ///< a view of the flat gradient; undefined when frozen
};

struct ParameterBlock {
  std::string name;
  at::Tensor trainable, gradient;          ///< [n] f32 or bf16; leaves with weight decay first
  at::Tensor frozen;                       ///< [m]
  at::Tensor remainder, frozen_remainder;  ///< [n], [m] i16 beside bf16, else undefined
  int64_t decayed = 0;                     ///< elements of `trainable` that take weight decay
  bool wide_gradient = false;              ///< its gradient is f32 whatever the placement says
};

class ParameterStore {
 public:
  /// Declares a leaf of block `block_name` (blocks in order of first mention); returns its index.
  /// All parts must agree in their trailing dimensions.
  int64_t declare(const std::string& block_name, std::vector<ParameterPart> parts, bool decay);

  /// Takes a tensor of somebody else's network as a leaf: on allocate() its data moves into the
  /// flat buffer and `tensor` becomes a view of it, with its gradient in place.
  int64_t adopt(const std::string& block_name, const std::string& name, at::Tensor tensor,
                bool decay);

  /// The block of this leaf keeps its gradient in f32: the head's, whose many products are added up.
  void keep_gradient_wide(int64_t parameter);

  /// Allocates the flat buffers (zeros) and makes the leaves. `trainable` is asked per part name; a
  /// leaf whose parts disagree is an error. Call once.
  void allocate(const std::function<bool(const std::string& name)>& trainable,
                const Placement& placement = {});
  const Placement& placement() const { return placement_; }
  /// f32 on the CPU: values() is the leaf itself.
  bool holds_plain_values() const {
    return placement_.device.is_cpu() && placement_.dtype == at::kFloat;
  }

  /// The leaf's exact values, f32 on the CPU: the leaf itself where it is that.
  at::Tensor values(int64_t parameter) const;
  /// Takes them over; `values` f32 on the CPU, of the leaf's shape.
  void set_values(int64_t parameter, const at::Tensor& values);

  Weight weight(int64_t parameter) const;
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<ParameterBlock>& blocks() const { return blocks_; }

  void zero_gradients();
  int64_t num_trainable() const;  ///< elements
  int64_t num_elements() const;   ///< elements, frozen ones included

 private:
  std::vector<Parameter> parameters_;
  std::vector<at::Tensor> adopted_;  // parallel to parameters_, mostly undefined
  std::vector<ParameterBlock> blocks_;
  Placement placement_;
  bool allocated_ = false;
};

}  // namespace pref
