// SPDX-License-Identifier: Apache-2.0
// What the operator tests share: random tensors, packed rows, gradients through autograd, and the
// error budget of a float operator beside a plain ATen expression and the same expression in
// double.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "libpref/data/packing.h"
#include "tests/objectives/objective_test_util.h"
#include "tests/reference/budget.h"

namespace pref::testing {

/// Normal numbers that a float holds exactly, so that f32 and f64 programs start from the same
/// values.
inline at::Tensor normal(Random& random, at::IntArrayRef sizes, double deviation = 1,
                         at::ScalarType dtype = at::kFloat) {
  at::Tensor out = at::empty(sizes, at::kFloat);
  float* data = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i)
    data[i] = static_cast<float>(deviation * random.normal());
  return out.to(dtype);
}

inline at::Tensor widened(const at::Tensor& x) { return x.detach().to(at::kDouble); }

/// A copy that autograd watches.
inline at::Tensor leaf(const at::Tensor& x) { return x.detach().clone().requires_grad_(); }

inline double largest(const at::Tensor& x) {
  return x.numel() == 0 ? 0 : x.abs().max().item<double>();
}

/// Largest distance, infinite where one is NaN or the shapes differ.
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return INFINITY;
  const double d = largest(widened(a) - widened(b));
  return std::isnan(d) ? INFINITY : d;
}

/// `ours` is at most twice as far from the oracle as the plain program of the same type, plus a few
/// roundings of the largest value.
inline ::testing::AssertionResult within_budget(const at::Tensor& ours, const at::Tensor& plain,
                                                const at::Tensor& oracle, double roundings = 4) {
  if (!ours.defined() || ours.sizes() != oracle.sizes())
    return ::testing::AssertionFailure() << "not defined, or of another shape than the oracle";
  reference::Budget budget{distance(ours, oracle), distance(plain, oracle)};
  const double floor = roundings * 6e-8 * largest(oracle);
  if (budget.kept(floor)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "error " << budget.kernel << " beside " << budget.plain << " + " << floor;
}

/// d sum(out * d_out) / d inputs; zeros for an input that `out` does not reach.
inline std::vector<at::Tensor> gradients(const at::Tensor& out,
                                         const std::vector<at::Tensor>& inputs,
                                         const at::Tensor& d_out) {
  std::vector<at::Tensor> grads =
      torch::autograd::grad({out}, inputs, {d_out}, std::nullopt, false, /*allow_unused=*/true);
  for (size_t i = 0; i < grads.size(); ++i)
    if (!grads[i].defined()) grads[i] = at::zeros_like(inputs[i]);
  return grads;
}

/// Lengths of a prompt and its branches.
struct RowLengths {
  int64_t prompt;
  std::vector<int64_t> branches;
};

inline TokenizedRow tokenized_row(Random& random, const RowLengths& lengths, int64_t vocab) {
  const auto tokens = [&](int64_t count) {
    std::vector<int32_t> out;
    for (int64_t i = 0; i < count; ++i)
      out.push_back(static_cast<int32_t>(random.integer(0, vocab - 1)));
    return out;
  };
  TokenizedRow row;
  row.prompt = tokens(lengths.prompt);
  for (const int64_t n : lengths.branches) row.branches.push_back(tokens(n));
  return row;
}

inline PackingPlan packed(Random& random, const std::vector<RowLengths>& lengths, int64_t vocab) {
  std::vector<TokenizedRow> rows;
  std::vector<int64_t> indices;
  for (const RowLengths& row : lengths) {
    indices.push_back(std::ssize(rows));
    rows.push_back(tokenized_row(random, row, vocab));
  }
  return pack_rows(rows, indices);
}

/// Sets ATen's threads for the life of the object.
class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace pref::testing
