// SPDX-License-Identifier: Apache-2.0
// The parameter store: where leaves lie, who owns their gradients, and adoption of somebody else's
// tensors.
#include "libpref/nn/parameter_store.h"

#include <ATen/ATen.h>

#include "tests/objectives/objective_test_util.h"

namespace pref::testing {
namespace {

const auto kAll = [](const std::string&) { return true; };

// Whether `view` lies inside the memory of `buffer`.
bool lies_in(const at::Tensor& view, const at::Tensor& buffer) {
  const float *begin = buffer.const_data_ptr<float>(), *data = view.const_data_ptr<float>();
  return data >= begin && data + view.numel() <= begin + buffer.numel();
}

TEST(ParameterStore, LeavesAreViewsOfTheirBlock) {
  ParameterStore store;
  const int64_t norm = store.declare("a", {{"a.norm", {5}}}, false);
  const int64_t matrix = store.declare("a", {{"a.q", {3, 4}}, {"a.k", {2, 4}}}, true);
  const int64_t other = store.declare("b", {{"b.w", {7, 2}}}, true);
  store.allocate(kAll);
  ASSERT_EQ(store.blocks().size(), 2u);
  EXPECT_EQ(store.parameters()[matrix].shape, (std::vector<int64_t>{5, 4}));
  for (const int64_t i : {norm, matrix, other}) {
    const Parameter& p = store.parameters()[i];
    const ParameterBlock& block = store.blocks()[p.block];
    EXPECT_EQ(p.value.sizes().vec(), p.shape);
    EXPECT_TRUE(p.value.is_leaf() && p.value.requires_grad());
    EXPECT_TRUE(lies_in(p.value, block.trainable));
    EXPECT_TRUE(lies_in(p.gradient, block.gradient));
    EXPECT_EQ(p.value.grad().const_data_ptr<float>(), p.gradient.const_data_ptr<float>());
    EXPECT_EQ(p.offset % 128, 0);
    EXPECT_EQ(p.value.const_data_ptr<float>() - block.trainable.const_data_ptr<float>(), p.offset);
    EXPECT_EQ(p.gradient.const_data_ptr<float>() - block.gradient.const_data_ptr<float>(),
              p.offset);
  }
  // Decayed leaves come first although the norm was declared before them.
  EXPECT_EQ(store.parameters()[matrix].offset, 0);
  EXPECT_EQ(store.parameters()[norm].offset, store.blocks()[0].decayed);
  EXPECT_EQ(store.num_trainable(), 5 + 20 + 14);
  store.blocks()[0].gradient.fill_(3);
  EXPECT_EQ(store.weight(matrix).value.grad().sum().item<float>(), 60.0f);
  store.zero_gradients();
  EXPECT_EQ(store.weight(matrix).value.grad().abs().sum().item<float>(), 0.0f);
}

TEST(ParameterStore, FrozenLeavesLieApart) {
  ParameterStore store;
  const int64_t frozen = store.declare("a", {{"a.frozen", {4, 4}}}, true);
  const int64_t trained = store.declare("a", {{"a.trained", {2, 4}}}, true);
  store.allocate([](const std::string& name) { return name != "a.frozen"; });
  EXPECT_FALSE(store.weight(frozen).value.requires_grad());
  EXPECT_FALSE(store.weight(frozen).gradient.defined());
  EXPECT_TRUE(lies_in(store.weight(frozen).value, store.blocks()[0].frozen));
  EXPECT_TRUE(lies_in(store.weight(trained).value, store.blocks()[0].trainable));
  EXPECT_EQ(store.num_trainable(), 8);
  EXPECT_EQ(store.num_elements(), 24);
  const at::Tensor y = at::matmul(store.weight(trained).value, store.weight(frozen).value).sum();
  y.backward();
  EXPECT_FALSE(store.weight(frozen).value.grad().defined());
}

TEST(ParameterStore, AutogradAddsIntoTheFlatGradient) {
  ParameterStore store;
  const int64_t index = store.declare("a", {{"a.w", {3}}}, true);
  store.allocate(kAll);
  const Weight weight = store.weight(index);
  for (int pass = 1; pass <= 2; ++pass) {
    (weight.value * at::tensor({1.0f, 2.0f, 3.0f})).sum().backward();
    // Accumulated in place: still the view of the flat buffer after every pass.
    EXPECT_EQ(weight.value.grad().const_data_ptr<float>(), weight.gradient.const_data_ptr<float>());
    EXPECT_TRUE(at::equal(store.blocks()[0].gradient.narrow(0, 0, 3),
                          pass * at::tensor({1.0f, 2.0f, 3.0f})));
  }
}

TEST(ParameterStore, AdoptsTensorsOfAnotherNetwork) {
  at::Tensor theirs = at::arange(6, at::kFloat).view({2, 3}).requires_grad_();
  const at::Tensor same = theirs;  // another handle of the same tensor, as a module would hold
  ParameterStore store;
  const int64_t index = store.adopt("net", "net.weight", theirs, true);
  store.allocate(kAll);
  EXPECT_TRUE(lies_in(same, store.blocks()[0].trainable));
  EXPECT_TRUE(at::equal(same, at::arange(6, at::kFloat).view({2, 3})));
  same.square().sum().backward();
  EXPECT_TRUE(at::equal(store.weight(index).gradient, 2 * at::arange(6, at::kFloat).view({2, 3})));
  store.blocks()[0].trainable.fill_(5);  // as an optimizer writes
  EXPECT_EQ(same.sum().item<float>(), 30.0f);
}

TEST(ParameterStore, AdoptsFrozenTensors) {
  at::Tensor theirs = at::ones({4}).requires_grad_();
  ParameterStore store;
  store.adopt("net", "net.bias", theirs, false);
  store.allocate([](const std::string&) { return false; });
  EXPECT_FALSE(theirs.requires_grad());
  EXPECT_TRUE(lies_in(theirs, store.blocks()[0].frozen));
  EXPECT_EQ(store.num_trainable(), 0);
}

TEST(ParameterStore, RejectsPartsThatDisagree) {
  ParameterStore store;
  store.declare("a", {{"a.q", {3, 4}}, {"a.k", {2, 4}}}, true);
  const std::string text = error_of(ErrorKind::option, [&] {
    store.allocate([](const std::string& name) { return name == "a.q"; });
  });
  EXPECT_NE(text.find("\"a.q\" and \"a.k\""), std::string::npos) << text;
}

TEST(ParameterStore, RejectsWrongUse) {
  ParameterStore store;
  EXPECT_NE(error_of(ErrorKind::internal,
                     [&] {
                       store.declare("a", {{"q", {3, 4}}, {"k", {2, 5}}}, true);
                     })
                .find("trailing dimensions"),
            std::string::npos);
  error_of(ErrorKind::internal, [&] { store.declare("a", {}, true); });
  error_of(ErrorKind::option, [&] { store.adopt("a", "scalar", at::scalar_tensor(1.0f), true); });
  error_of(ErrorKind::option,
           [&] { store.adopt("a", "inner", at::ones({2}).requires_grad_() * 2, true); });
  ParameterStore other;
  other.adopt("a", "half", at::ones({2}, at::kDouble), true);
  EXPECT_NE(error_of(ErrorKind::option, [&] { other.allocate(kAll); })
                .find("\"half\" must be Float on cpu to be adopted, got Double on cpu"),
            std::string::npos);
  EXPECT_NE(error_of(ErrorKind::option,
                     [&] { ParameterStore().allocate(kAll, {.dtype = at::kBFloat16}); })
                .find("float32, or bfloat16 on a CUDA device"),
            std::string::npos);
  store.allocate(kAll);
  error_of(ErrorKind::internal, [&] { store.allocate(kAll); });
  error_of(ErrorKind::internal, [&] { store.declare("a", {{"late", {2}}}, true); });
}

}  // namespace
}  // namespace pref::testing
