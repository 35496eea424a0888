// SPDX-License-Identifier: Apache-2.0
// Packed attention over shared prompts against dense attention of every prompt + branch run alone.
#include "libpref/ops/attention.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/ops/ops_test_util.h"

namespace pref::ops {
namespace {

using at::Tensor;
using testing::distance;
using testing::error_of;
using testing::gradients;
using ::testing::HasSubstr;
using testing::largest;
using testing::leaf;
using testing::normal;
using testing::packed;
using testing::Random;
using testing::RowLengths;
using testing::Threads;
using testing::within_budget;

using Attend = Tensor (*)(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& hidden,
                          double scale);

// By its definition: q, k, v [H, n, d], hidden [n, n] bool; [H, n, d].
Tensor attend_by_definition(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& hidden,
                            double scale) {
  const Tensor scores = (at::matmul(q, k.transpose(1, 2)) * scale).masked_fill(hidden, -INFINITY);
  return at::matmul(at::softmax(scores, -1), v);
}

// What a plain program calls. It too keeps log-sum-exp instead of the scores, whose rounding the
// backward pass feels.
Tensor attend_by_aten(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& hidden,
                      double scale) {
  const Tensor mask = at::zeros(hidden.sizes(), q.options()).masked_fill(hidden, -INFINITY);
  return at::scaled_dot_product_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), mask, 0.0,
                                          false, scale)[0];
}

// One sequence [n, (H + 2 K) d] alone; [n, H d].
Tensor dense_attention(const Tensor& qkv, const AttentionShape& s, Attend attend) {
  const int64_t n = qkv.size(0), d = s.head_dim, group = s.query_heads / s.key_heads;
  const auto heads = [&](int64_t first, int64_t count) {  // [count, n, d]
    return qkv.narrow(1, first * d, count * d).reshape({n, count, d}).transpose(0, 1);
  };
  const Tensor q = heads(0, s.query_heads);
  const Tensor k = heads(s.query_heads, s.key_heads).repeat_interleave(group, 0);
  const Tensor v = heads(s.query_heads + s.key_heads, s.key_heads).repeat_interleave(group, 0);
  const double scale = s.scale != 0 ? s.scale : 1 / std::sqrt(static_cast<double>(d));
  const Tensor back = at::arange(n).unsqueeze(1) - at::arange(n).unsqueeze(0);
  Tensor hidden = back < 0;
  if (s.window > 0) hidden = hidden.logical_or(back >= s.window);
  return attend(q, k, v, hidden, scale).transpose(0, 1).reshape({n, s.query_heads * d});
}

// Packed rows, each branch after a copy of its prompt; the prompt's outputs are those of branch 0.
Tensor reference_attention(const Tensor& qkv, const std::vector<RowLengths>& rows,
                           const AttentionShape& shape, Attend attend) {
  std::vector<Tensor> out;
  int64_t start = 0;
  for (const RowLengths& row : rows) {
    const Tensor prompt = qkv.narrow(0, start, row.prompt);
    start += row.prompt;
    for (size_t b = 0; b < row.branches.size(); ++b) {
      const Tensor branch = qkv.narrow(0, start, row.branches[b]);
      start += row.branches[b];
      const Tensor alone = dense_attention(at::cat({prompt, branch}), shape, attend);
      out.push_back(b == 0 ? alone : alone.narrow(0, row.prompt, row.branches[b]));
    }
  }
  return at::cat(out);
}

struct Attended {
  Tensor out, d_qkv;
};

Attended run_packed(const Tensor& qkv, const Tensor& d_out, const std::vector<Segment>& segments,
                    AttentionShape shape) {
  const Tensor x = leaf(qkv);
  const Tensor out = packed_attention(x, make_attention_plan(segments, shape, qkv.scalar_type()));
  return {out.detach(), gradients(out, {x}, d_out)[0]};
}

Attended run_reference(const Tensor& qkv, const Tensor& d_out, const std::vector<RowLengths>& rows,
                       const AttentionShape& shape, Attend attend) {
  const Tensor x = leaf(qkv);
  const Tensor out = reference_attention(x, rows, shape, attend);
  return {out.detach(), gradients(out, {x}, d_out)[0]};
}

// Both number types of one batch.
void expect_matches_reference(Random& random, const std::vector<RowLengths>& rows,
                              const AttentionShape& shape) {
  const PackingPlan plan = packed(random, rows, 100);
  const int64_t width = (shape.query_heads + 2 * shape.key_heads) * shape.head_dim;
  const Tensor qkv = normal(random, {plan.num_tokens(), width});
  const Tensor d_out = normal(random, {plan.num_tokens(), shape.query_heads * shape.head_dim});
  const Attended plain = run_reference(qkv, d_out, rows, shape, attend_by_aten);
  const Attended oracle =
      run_reference(qkv.to(at::kDouble), d_out.to(at::kDouble), rows, shape, attend_by_definition);
  const Attended wide =
      run_packed(qkv.to(at::kDouble), d_out.to(at::kDouble), plan.segments, shape);
  EXPECT_LE(distance(wide.out, oracle.out), 1e-13 * largest(oracle.out));
  EXPECT_LE(distance(wide.d_qkv, oracle.d_qkv), 1e-13 * largest(oracle.d_qkv));
  const Attended ours = run_packed(qkv, d_out, plan.segments, shape);
  // The floor: tiles are merged by log-sum-exp, which rounds once more than the plain program.
  EXPECT_TRUE(within_budget(ours.out, plain.out, oracle.out, 8));
  EXPECT_TRUE(within_budget(ours.d_qkv, plain.d_qkv, oracle.d_qkv, 8));
}

std::string text(const std::vector<RowLengths>& rows, const AttentionShape& s) {
  std::string out = "heads " + std::to_string(s.query_heads) + "/" + std::to_string(s.key_heads) +
                    " x " + std::to_string(s.head_dim) + ", window " + std::to_string(s.window) +
                    ", rows";
  for (const RowLengths& row : rows) {
    out += " " + std::to_string(row.prompt) + ":";
    for (const int64_t n : row.branches) out += std::to_string(n) + ",";
  }
  return out;
}

const std::vector<AttentionShape> kShapes = {
    {.query_heads = 2, .key_heads = 2, .head_dim = 8},
    {.query_heads = 4, .key_heads = 2, .head_dim = 5},
    {.query_heads = 3, .key_heads = 1, .head_dim = 16},
    {.query_heads = 1, .key_heads = 1, .head_dim = 1},
    {.query_heads = 2, .key_heads = 1, .head_dim = 4, .scale = 0.9},
};

TEST(PackedAttentionTest, Value) {
  // One head of one dimension, scale 1, every query 1: a key of log w weighs w.
  //   prompt (w 1, v 8); branch 0 (w 3, v 4): (8 + 12) / 4 = 5; branch 1 (w 7, v 0): 8 / 8 = 1,
  //   blind to branch 0.
  Random random;
  const std::vector<RowLengths> rows = {{1, {1, 1}}};
  const Tensor qkv =
      at::tensor({1.0, std::log(1.0), 8.0, 1.0, std::log(3.0), 4.0, 1.0, std::log(7.0), 0.0})
          .view({3, 3});
  const AttentionShape shape{.query_heads = 1, .key_heads = 1, .head_dim = 1, .scale = 1};
  const auto plan = make_attention_plan(packed(random, rows, 9).segments, shape, at::kDouble);
  const Tensor expected = at::tensor({8.0, 5.0, 1.0}).view({3, 1});
  EXPECT_LE(distance(packed_attention(qkv, plan), expected), 1e-14);
  // A window of one key: every token reads itself.
  AttentionShape narrow = shape;
  narrow.window = 1;
  const auto own = make_attention_plan(packed(random, rows, 9).segments, narrow, at::kDouble);
  EXPECT_LE(distance(packed_attention(qkv, own), at::tensor({8.0, 4.0, 0.0}).view({3, 1})), 1e-14);
}

TEST(PackedAttentionTest, MatchesReference) {
  Random random;
  for (const AttentionShape& shape : kShapes) {
    for (int64_t prompt = 1; prompt <= 40; prompt += 3) {
      std::vector<RowLengths> rows;
      for (const int branches : {1, 2, 3}) {
        rows.push_back({prompt, {}});
        for (int b = 0; b < branches; ++b) rows.back().branches.push_back(random.integer(1, 30));
      }
      SCOPED_TRACE(text(rows, shape));
      expect_matches_reference(random, rows, shape);
    }
  }
}

TEST(PackedAttentionTest, MatchesReferenceWithAWindow) {
  Random random;
  for (const int64_t window : {1, 2, 3, 7, 12, 20, 33, 64}) {
    for (int i = 0; i < 6; ++i) {
      AttentionShape shape = kShapes[static_cast<size_t>(i) % kShapes.size()];
      shape.window = window;
      std::vector<RowLengths> rows;
      // Prompts shorter, as long and longer than the window.
      for (const int64_t prompt : {int64_t{1}, window, window + 1, random.integer(1, 40)})
        rows.push_back({prompt, {random.integer(1, 30), random.integer(1, 30), window}});
      SCOPED_TRACE(text(rows, shape));
      expect_matches_reference(random, rows, shape);
    }
  }
}

TEST(PackedAttentionTest, MatchesReferenceBeyondABlock) {
  // Windowed segments are cut into blocks of 256 queries: at, before and after that border, and
  // where a later block sees nothing of the prompt.
  Random random;
  for (const int64_t window : {1, 5, 100, 256, 300, 530}) {
    AttentionShape shape{.query_heads = 2, .key_heads = 1, .head_dim = 4, .window = window};
    for (const auto& rows : std::vector<std::vector<RowLengths>>{
             {{3, {253, 256}}}, {{20, {300, 255, 257}}}, {{300, {10, 520}}, {1, {2, 3}}}}) {
      SCOPED_TRACE(text(rows, shape));
      expect_matches_reference(random, rows, shape);
    }
  }
}

TEST(PackedAttentionTest, GradientOfThePromptSumsOverBranches) {
  // With d_out on branch b alone the prompt receives b's share; the shares add up.
  Random random;
  const std::vector<RowLengths> rows = {{6, {5, 4, 7}}};
  for (const int64_t window : {0, 4, 9}) {
    const AttentionShape shape{.query_heads = 4, .key_heads = 2, .head_dim = 8, .window = window};
    const PackingPlan plan = packed(random, rows, 100);
    const Tensor qkv = normal(random, {plan.num_tokens(), 64}, 1, at::kDouble);
    const Tensor d_out = normal(random, {plan.num_tokens(), 32}, 1, at::kDouble);
    const Tensor all = run_packed(qkv, d_out, plan.segments, shape).d_qkv;
    Tensor sum = at::zeros_like(all);
    const std::vector<std::pair<int64_t, int64_t>> runs = {{0, 6}, {6, 5}, {11, 4}, {15, 7}};
    for (const auto& [start, count] : runs) {
      Tensor part = at::zeros_like(d_out);
      part.narrow(0, start, count).copy_(d_out.narrow(0, start, count));
      const Tensor share = run_packed(qkv, part, plan.segments, shape).d_qkv;
      if (start > 0) {
        EXPECT_GT(largest(share.narrow(0, 0, 6)), 0)
            << "branch at " << start << " reads the prompt";
        for (const auto& [other, length] : runs) {
          if (other == 0 || other == start) continue;
          EXPECT_EQ(largest(share.narrow(0, other, length)), 0)
              << "branches are blind to each other";
        }
      }
      sum += share;
    }
    EXPECT_LE(distance(all, sum), 1e-14 * largest(all));
  }
}

TEST(PackedAttentionTest, InvariantToBatchMatesAndThreads) {
  // Many rows run side by side; one row alone uses the threads inside its operators. Equal to the
  // rounding of the matrix products, and bit for bit when repeated.
  Random random;
  const auto expect_equal = [](const Attended& a, const Attended& b) {
    EXPECT_LE(distance(a.out, b.out), 4e-7 * largest(b.out));
    EXPECT_LE(distance(a.d_qkv, b.d_qkv), 4e-7 * largest(b.d_qkv));
  };
  for (const int64_t window : {0, 6}) {
    const AttentionShape shape{.query_heads = 4, .key_heads = 2, .head_dim = 8, .window = window};
    std::vector<RowLengths> rows;
    for (int i = 0; i < 20; ++i)
      rows.push_back({random.integer(1, 20), {random.integer(1, 20), random.integer(1, 20)}});
    const PackingPlan plan = packed(random, rows, 100);
    const Tensor qkv = normal(random, {plan.num_tokens(), 64}),
                 d_out = normal(random, {plan.num_tokens(), 32});
    const auto run = [&] { return run_packed(qkv, d_out, plan.segments, shape); };
    const Attended serial = run();
    Threads two(2);
    ASSERT_GE(rows.size(), 4u * 2) << "the parallel path needs more rows";
    const Attended parallel = run(), again = run();
    expect_equal(parallel, serial);
    EXPECT_TRUE(at::equal(parallel.out, again.out));
    EXPECT_TRUE(at::equal(parallel.d_qkv, again.d_qkv));
    int64_t start = 0;
    for (const RowLengths& row : rows) {
      SCOPED_TRACE("row at " + std::to_string(start));
      const PackingPlan alone = packed(random, {row}, 100);
      const int64_t n = alone.num_tokens();
      expect_equal(
          run_packed(qkv.narrow(0, start, n), d_out.narrow(0, start, n), alone.segments, shape),
          {parallel.out.narrow(0, start, n), parallel.d_qkv.narrow(0, start, n)});
      start += n;
    }
  }
}

TEST(PackedAttentionTest, InvariantToWhatIsNotSeen) {
  // A token disturbed reaches neither earlier tokens, nor other branches and rows, nor those beyond
  // the window.
  Random random;
  const std::vector<RowLengths> rows = {{4, {6, 5}}, {3, {4, 2}}};
  const PackingPlan plan = packed(random, rows, 100);
  const AttentionShape shape{.query_heads = 2, .key_heads = 2, .head_dim = 4, .window = 5};
  const Tensor qkv = normal(random, {plan.num_tokens(), 24});
  const auto attention = make_attention_plan(plan.segments, shape, at::kFloat);
  const Tensor before = packed_attention(qkv, attention);
  // Token 2 of the first prompt is seen from positions 2 to 6: packed 2..6 (prompt, branch
  // 0), 10..12 (branch 1).
  Tensor disturbed = qkv.clone();
  disturbed[2] += 1;
  const Tensor changed = (packed_attention(disturbed, attention) != before).any(1);
  for (int64_t i = 0; i < plan.num_tokens(); ++i) {
    const bool sees = (i >= 2 && i <= 6) || (i >= 10 && i <= 12);
    EXPECT_EQ(changed[i].item<bool>(), sees) << i;
  }
}

TEST(PackedAttentionTest, GradientOfANonContiguousInput) {
  Random random;
  const std::vector<RowLengths> rows = {{4, {3, 2}}};
  const AttentionShape shape{.query_heads = 2, .key_heads = 1, .head_dim = 4};
  const PackingPlan plan = packed(random, rows, 100);
  const Tensor qkv = normal(random, {plan.num_tokens(), 16}),
               d_out = normal(random, {8, plan.num_tokens()}).t();
  const Attended expected = run_packed(qkv, d_out.contiguous(), plan.segments, shape);
  const Tensor x = leaf(qkv.t().contiguous());
  const Tensor out = packed_attention(x.t(), make_attention_plan(plan.segments, shape, at::kFloat));
  EXPECT_TRUE(at::equal(out, expected.out));
  EXPECT_TRUE(at::equal(gradients(out, {x}, d_out)[0], expected.d_qkv.t()));
}

TEST(PackedAttentionTest, RejectsShapes) {
  Random random;
  const PackingPlan plan = packed(random, {{2, {1, 1}}}, 9);
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         make_attention_plan(plan.segments,
                                             {.query_heads = 3, .key_heads = 2, .head_dim = 4},
                                             at::kFloat);
                       }),
              HasSubstr("[attention] query heads must be a multiple of key heads, got 3 and 2."));
  const auto good = make_attention_plan(
      plan.segments, {.query_heads = 2, .key_heads = 1, .head_dim = 4}, at::kFloat);
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         packed_attention(at::zeros({4, 12}), good);
                       }),
              HasSubstr("[attention] qkv [T, 16] is required, got [4, 12]."));
  EXPECT_THAT(error_of(ErrorKind::option, [&] { packed_attention(at::zeros({16}), good); }),
              HasSubstr("got [16]."));
}

}  // namespace
}  // namespace pref::ops
