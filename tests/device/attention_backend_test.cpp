// SPDX-License-Identifier: Apache-2.0
// Attention of ragged entries and its plan: against the CPU's tiles over shared prompts and windows,
// and a soft cap against differences.
#include "tests/device/device_test_util.h"

#include "libpref/ops/flops.h"
#include "libpref/ops/varlen_attention.h"

namespace pref::testing {
namespace {

using VarlenAttention = DeviceTest;
using UploaderTest = DeviceTest;

std::shared_ptr<ops::VarlenPlan> plan_of(const PackingPlan& packed) {
  const ops::VarlenOffsets offsets = ops::varlen_offsets(packed.segments, packed.num_tokens());
  const auto tensor = [](const std::vector<int64_t>& values) {
    return values.empty() ? at::Tensor()
                          : on_test_device(at::tensor(at::ArrayRef<int64_t>(values), at::kLong));
  };
  auto plan = std::make_shared<ops::VarlenPlan>();
  plan->entries = {.cu_q = offsets.cu_q,
                   .cu_k = offsets.cu_k,
                   .max_q = offsets.max_q,
                   .max_k = offsets.max_k,
                   .dense = offsets.dense};
  plan->expand = tensor(offsets.expand);
  plan->fold = {{}, tensor(offsets.fold_begin), tensor(offsets.fold_source)};
  return plan;
}

PackingPlan packed_rows(int64_t min_branches, int64_t max_branches, uint64_t seed) {
  const auto rows = random_rows(5, min_branches, max_branches, 23, seed);
  return pack_rows(rows, all_indices(rows.size()));
}

at::Tensor made(at::IntArrayRef shape, double phase) {
  return (at::arange(c10::multiply_integers(shape), at::kDouble) * 0.77 + phase)
      .sin()
      .to(at::kFloat)
      .view(shape);
}

TEST_F(VarlenAttention, MatchesTheTilesOfTheCpu) {
  const std::vector<std::pair<int64_t, int64_t>> kHeads = {{4, 4}, {4, 2}, {6, 1}};
  for (const int64_t branches : {1, 2, 4})
    for (const int64_t window : {0, 1, 3})
      for (const std::pair<int64_t, int64_t>& counts : kHeads) {
        const int64_t heads = counts.first, keys = counts.second;
        const PackingPlan packed = packed_rows(1, branches, 11);
        const ops::AttentionShape shape{heads, keys, 8, window};
        const at::Tensor values = made({packed.num_tokens(), (heads + 2 * keys) * 8}, 0.2),
                         d_out = made({packed.num_tokens(), heads * 8}, 1.9);
        const auto run = [&](const auto& attend) {
          const at::Tensor qkv = values.clone().requires_grad_(true);
          const double before = flop_count().attention;
          const at::Tensor out = attend(qkv);
          out.backward(d_out);
          return std::tuple(out.detach(), qkv.grad(), flop_count().attention - before);
        };
        const auto [want, want_grad, want_flops] = run([&](const at::Tensor& qkv) {
          return ops::packed_attention(
              qkv, ops::make_attention_plan(packed.segments, shape, at::kFloat));
        });
        const TestDevice device;
        const auto [got, got_grad, got_flops] = run([&](const at::Tensor& qkv) {
          return ops::varlen_attention(on_test_device(qkv), shape, plan_of(packed)).cpu();
        });
        EXPECT_LE((got - want).abs().max().item<double>(), 2e-6);
        EXPECT_LE((got_grad - want_grad).abs().max().item<double>(), 5e-6);
        EXPECT_EQ(got_flops, want_flops);
      }
}

TEST_F(VarlenAttention, SoftCapMatchesAutograd) {
  const PackingPlan packed = packed_rows(2, 3, 12);
  ops::AttentionShape shape{4, 2, 8};
  shape.soft_cap = 1.5;
  shape.scale = 0.9;
  const at::Tensor values = made({packed.num_tokens(), 8 * 8}, 0.2) * 2,
                   d_out = made({packed.num_tokens(), 4 * 8}, 1.9);
  // Written out over the whole batch with one mask, in double.
  const at::Tensor all = values.to(at::kDouble).requires_grad_(true);
  at::Tensor visible = at::zeros({packed.num_tokens(), packed.num_tokens()}, at::kBool);
  for (const Segment& s : packed.segments)
    for (int64_t i = 0; i < s.length; ++i) {
      visible[s.start + i].narrow(0, s.prefix_start, s.prefix_length).fill_(true);
      visible[s.start + i].narrow(0, s.start, i + 1).fill_(true);
    }
  const auto heads = [&](int64_t first, int64_t count) {
    return all.narrow(1, first * 8, count * 8).view({-1, count, 8}).transpose(0, 1);
  };
  const at::Tensor k = heads(4, 2).repeat_interleave(2, 0), v = heads(6, 2).repeat_interleave(2, 0);
  const at::Tensor scores = at::tanh(at::matmul(heads(0, 4), k.transpose(1, 2)) * 0.9 / 1.5) * 1.5;
  const at::Tensor want =
      at::matmul(at::softmax(scores.masked_fill(visible.logical_not(), -1e300), -1), v)
          .transpose(0, 1)
          .reshape({-1, 32});
  want.backward(d_out.to(at::kDouble));
  const TestDevice device;
  const at::Tensor qkv = values.clone().requires_grad_(true);
  const at::Tensor got = ops::varlen_attention(on_test_device(qkv), shape, plan_of(packed)).cpu();
  got.backward(d_out);
  EXPECT_LE((got - want).abs().max().item<double>(), 2e-6);
  EXPECT_LE((qkv.grad() - all.grad()).abs().max().item<double>(), 5e-6);
}

TEST_F(VarlenAttention, ValueOfOffsets) {
  const std::vector<Segment> segments = {
      {.start = 0, .length = 5},
      {.start = 5, .length = 2, .prefix_start = 0, .prefix_length = 3},
      {.start = 7, .length = 4}};
  const ops::VarlenOffsets offsets = ops::varlen_offsets(segments, 11);
  EXPECT_EQ(offsets.cu_q, (std::vector<int64_t>{0, 5, 7, 11}));
  EXPECT_EQ(offsets.cu_k, (std::vector<int64_t>{0, 5, 10, 14}));
  EXPECT_EQ(offsets.expand, (std::vector<int64_t>{0, 1, 2, 3, 4, 0, 1, 2, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(offsets.max_q, 5);
  EXPECT_EQ(offsets.max_k, 5);
  EXPECT_FALSE(offsets.dense);
  // Token 1 is read at 1 and 6.
  EXPECT_EQ(offsets.fold_begin[1], 2);
  EXPECT_EQ(offsets.fold_source[2], 1);
  EXPECT_EQ(offsets.fold_source[3], 6);
  const ops::VarlenOffsets alone =
      ops::varlen_offsets({{.start = 0, .length = 4}, {.start = 4, .length = 4}}, 8);
  EXPECT_TRUE(alone.dense);
  EXPECT_TRUE(alone.expand.empty());
  EXPECT_FALSE(ops::varlen_offsets({{.start = 0, .length = 4}}, 4).dense) << "one entry";
  EXPECT_THROW(ops::varlen_offsets({{.start = 1, .length = 4}}, 5), Error);
  EXPECT_THROW(ops::varlen_offsets({{.start = 0, .length = 4}}, 5), Error);
}

// What a device would read is what was laid down, each array on its boundary.
TEST_F(UploaderTest, RoundTrip) {
  ops::WordBuffer buffer;
  const std::vector<int64_t> integers = {1, -2, 3};
  const std::vector<double> doubles = {0.5, -1e300};
  const std::vector<int32_t> narrow = {7, 8, -9};
  const auto a = buffer.add(integers);
  const auto b = buffer.add(narrow);
  const auto c = buffer.add(doubles);
  const auto none = buffer.add(std::vector<int64_t>());
  ops::Uploader uploader(at::kCPU);
  const at::Tensor words = uploader.upload(buffer.words());
  EXPECT_TRUE(at::equal(take(words, a), at::tensor(integers)));
  EXPECT_TRUE(at::equal(take(words, b, at::kInt), at::tensor(narrow)));
  EXPECT_TRUE(at::equal(take(words, c, at::kDouble), at::tensor(doubles)));
  EXPECT_FALSE(take(words, none).defined());
  for (const auto& range : {a, b, c}) EXPECT_EQ(range.first % 2, 0);
}

}  // namespace
}  // namespace pref::testing
