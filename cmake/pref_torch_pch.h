// SPDX-License-Identifier: Apache-2.0
// Precompiled for torch-facing sources: the tensor type, autograd functions and the standard
// library. Operators are included one by one (<ATen/ops/mm.h>) where they are used.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>
