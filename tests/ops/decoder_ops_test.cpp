// SPDX-License-Identifier: Apache-2.0
// Operators of a decoder block against the same formulas written with ATen operators: values,
// gradients, and where the gradients go.
#include "libpref/ops/decoder_ops.h"

#include <c10/core/GradMode.h>
#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "tests/ops/ops_test_util.h"

namespace pref::ops {
namespace {

using at::Tensor;
using ::testing::HasSubstr;
using namespace testing;  // pref::testing

using Inputs = std::vector<Tensor>;
using Expression = std::function<Tensor(const Inputs&)>;

struct Values {
  Tensor out;
  Inputs gradients;
};

Values evaluate(const Expression& f, const Inputs& inputs, const Tensor& d_out,
                at::ScalarType dtype) {
  Inputs leaves;
  for (const Tensor& x : inputs) leaves.push_back(leaf(x.to(dtype)));
  const Tensor out = f(leaves);
  return {out.detach(), gradients(out, leaves, d_out.to(dtype))};
}

// `ours` and the plain expression in f32 beside the plain expression in f64.
void expect_matches(const Expression& ours, const Expression& plain, const Inputs& inputs,
                    const Tensor& d_out, double roundings = 4) {
  const Values a = evaluate(ours, inputs, d_out, at::kFloat),
               b = evaluate(plain, inputs, d_out, at::kFloat);
  const Values oracle = evaluate(plain, inputs, d_out, at::kDouble);
  EXPECT_TRUE(within_budget(a.out, b.out, oracle.out, roundings));
  for (size_t i = 0; i < inputs.size(); ++i)
    EXPECT_TRUE(within_budget(a.gradients[i], b.gradients[i], oracle.gradients[i], roundings))
        << "gradient " << i;
}

// Weights with a place for their gradient, and the same without: what reaches the place is what
// autograd returns otherwise, and two backward passes add up to twice one.
void expect_gradients_in_place(
    const std::function<Tensor(const Tensor& x, const std::vector<Weight>&)>& f, const Tensor& x,
    const Inputs& weights, const Tensor& d_out) {
  std::vector<Weight> returned, placed;
  for (const Tensor& w : weights) {
    returned.push_back({leaf(w), {}});
    placed.push_back({leaf(w), at::zeros_like(w)});
  }
  const Tensor x1 = leaf(x), x2 = leaf(x);
  f(x1, returned).backward(d_out);
  f(x2, placed).backward(d_out);
  EXPECT_TRUE(at::equal(x1.grad(), x2.grad()));
  Inputs once;
  for (size_t i = 0; i < weights.size(); ++i) {
    SCOPED_TRACE("weight " + std::to_string(i));
    EXPECT_GT(largest(placed[i].gradient), 0);
    EXPECT_TRUE(at::equal(returned[i].value.grad(), placed[i].gradient));
    EXPECT_FALSE(placed[i].value.grad().defined()) << "nothing is returned beside";
    once.push_back(placed[i].gradient.clone());
  }
  f(x1, returned).backward(d_out);
  f(x2, placed).backward(d_out);
  EXPECT_TRUE(at::equal(x1.grad(), x2.grad()));
  for (size_t i = 0; i < weights.size(); ++i) {
    // In place the second share may be added term by term.
    const Tensor twice = 2 * once[i];
    EXPECT_LE(distance(placed[i].gradient, twice), 4e-7 * largest(twice)) << i;
    EXPECT_TRUE(at::equal(returned[i].value.grad(), twice)) << i;
  }
  // A frozen weight receives nothing and stops nothing.
  for (size_t frozen = 0; frozen < weights.size(); ++frozen) {
    std::vector<Weight> mixed;
    for (size_t i = 0; i < weights.size(); ++i)
      mixed.push_back(i == frozen ? Weight{weights[i], {}}
                                  : Weight{leaf(weights[i]), at::zeros_like(weights[i])});
    const Tensor x3 = leaf(x);
    f(x3, mixed).backward(d_out);
    EXPECT_LE(distance(x3.grad(), x1.grad() / 2), 1e-6 * largest(x3.grad()));
    for (size_t i = 0; i < weights.size(); ++i) {
      if (i == frozen) continue;
      EXPECT_LE(distance(mixed[i].gradient, placed[i].gradient / 2),
                1e-6 * largest(placed[i].gradient));
    }
  }
}

TEST(LinearTest, Value) {
  const Tensor x = at::tensor({1.0f, 2.0f}).view({1, 2}),
               w = at::tensor({3.0f, 4.0f, 5.0f, 6.0f}).view({2, 2});
  const Weight bias{at::tensor({0.5f, -0.5f}), {}};
  const Tensor residual = at::tensor({100.0f, 200.0f}).view({1, 2});
  EXPECT_TRUE(at::equal(linear(x, {w, {}}), at::tensor({11.0f, 17.0f}).view({1, 2})));
  EXPECT_TRUE(at::equal(linear(x, {w, {}}, bias), at::tensor({11.5f, 16.5f}).view({1, 2})));
  EXPECT_TRUE(
      at::equal(linear(x, {w, {}}, {}, residual), at::tensor({111.0f, 217.0f}).view({1, 2})));
  EXPECT_TRUE(
      at::equal(linear(x, {w, {}}, bias, residual), at::tensor({111.5f, 216.5f}).view({1, 2})));
}

TEST(LinearTest, MatchesReference) {
  Random random;
  for (const auto& [rows, in, out] :
       std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {7, 5, 9}, {65, 33, 20}}) {
    const Tensor x = normal(random, {rows, in}), w = normal(random, {out, in}),
                 b = normal(random, {out});
    const Tensor r = normal(random, {rows, out}), d = normal(random, {rows, out});
    expect_matches(
        [](const Inputs& i) {
          return linear(i[0], {i[1], {}});
        },
        [](const Inputs& i) { return at::matmul(i[0], i[1].t()); }, {x, w}, d);
    expect_matches(
        [](const Inputs& i) {
          return linear(i[0], {i[1], {}}, {i[2], {}});
        },
        [](const Inputs& i) { return at::matmul(i[0], i[1].t()) + i[2]; }, {x, w, b}, d);
    expect_matches(
        [](const Inputs& i) {
          return linear(i[0], {i[1], {}}, {}, i[2]);
        },
        [](const Inputs& i) { return at::matmul(i[0], i[1].t()) + i[2]; }, {x, w, r}, d);
    expect_matches(
        [](const Inputs& i) {
          return linear(i[0], {i[1], {}}, {i[2], {}}, i[3]);
        },
        [](const Inputs& i) { return at::matmul(i[0], i[1].t()) + i[2] + i[3]; }, {x, w, b, r}, d);
  }
}

TEST(LinearTest, GradientsInPlace) {
  Random random;
  const Tensor x = normal(random, {6, 5}), w = normal(random, {4, 5}), b = normal(random, {4});
  const Tensor r = normal(random, {6, 4}), d = normal(random, {6, 4});
  expect_gradients_in_place(
      [](const Tensor& in, const auto& weights) { return linear(in, weights[0]); }, x, {w}, d);
  expect_gradients_in_place(
      [&](const Tensor& in, const auto& weights) { return linear(in, weights[0], weights[1], r); },
      x, {w, b}, d);
}

TEST(LinearTest, AccumulationIsExactlyTwice) {
  // Small integers, whose sums a float holds exactly.
  const Tensor x = (at::arange(30, at::kFloat) % 7 - 3).view({6, 5});
  const Tensor d = (at::arange(24, at::kFloat) % 5 - 2).view({6, 4});
  const Weight weight{leaf(at::ones({4, 5})), at::zeros({4, 5})},
      bias{leaf(at::ones({4})), at::zeros({4})};
  linear(x, weight, bias).backward(d);
  EXPECT_TRUE(at::equal(weight.gradient, at::matmul(d.t(), x)));
  EXPECT_TRUE(at::equal(bias.gradient, d.sum(0)));
  linear(x, weight, bias).backward(d);
  EXPECT_TRUE(at::equal(weight.gradient, 2 * at::matmul(d.t(), x)));
  EXPECT_TRUE(at::equal(bias.gradient, 2 * d.sum(0)));
}

TEST(LinearTest, ResidualOfTheSameInput) {
  // x + x W^T: both paths reach x.
  Random random;
  const Tensor x = normal(random, {3, 4}), w = normal(random, {4, 4}), d = normal(random, {3, 4});
  expect_matches(
      [](const Inputs& i) {
        return linear(i[0], {i[1], {}}, {}, i[0]);
      },
      [](const Inputs& i) { return i[0] + at::matmul(i[0], i[1].t()); }, {x, w}, d);
}

TEST(LinearTest, Rejects) {
  const Weight w{at::zeros({3, 4}), {}};
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         linear(at::zeros({2, 3}), w);
                       }),
              HasSubstr("[linear] an f32 matrix with 4 columns is required, got [2, 3] Float."));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         linear(at::zeros({2, 4}, at::kDouble), w);
                       }),
              HasSubstr("Double"));
  EXPECT_THAT(error_of(ErrorKind::option, [&] { linear(at::zeros({4}), w); }),
              HasSubstr("got [4]"));
}

TEST(EmbeddingTest, ValueAndGradientOfRepeatedTokens) {
  Random random;
  const Tensor table = normal(random, {5, 70});
  const std::vector<int64_t> ids = {3, 0, 3, 4, 3, 0};
  const Tensor tokens = at::tensor(at::ArrayRef<int64_t>(ids), at::kLong),
               d = normal(random, {6, 70});
  for (const bool in_place : {false, true}) {
    const Weight weight{leaf(table), in_place ? at::zeros_like(table) : Tensor()};
    const Tensor out = embedding(tokens, weight);
    for (size_t i = 0; i < ids.size(); ++i)
      EXPECT_TRUE(at::equal(out[static_cast<int64_t>(i)], table[ids[i]])) << i;
    out.backward(d);
    const Tensor gradient = in_place ? weight.gradient : weight.value.grad();
    // Sums in the order of the tokens, exactly.
    EXPECT_TRUE(at::equal(gradient[3], d[0] + d[2] + d[4]));
    EXPECT_TRUE(at::equal(gradient[0], d[1] + d[5]));
    EXPECT_TRUE(at::equal(gradient[4], d[3]));
    EXPECT_EQ(largest(gradient.narrow(0, 1, 2)), 0) << "tokens that do not occur";
    EXPECT_EQ(weight.value.grad().defined(), !in_place);
    const Tensor once = gradient.clone();
    embedding(tokens, weight).backward(d);
    EXPECT_LE(distance(gradient, 2 * once), 1e-6 * largest(once));
  }
  EXPECT_FALSE(embedding(tokens, {table, {}}).requires_grad());
  Threads two(2);
  const Weight weight{leaf(table), at::zeros_like(table)};
  embedding(tokens, weight).backward(d);
  EXPECT_TRUE(at::equal(weight.gradient[3], d[0] + d[2] + d[4]))
      << "threads split columns, not sums";
}

TEST(EmbeddingTest, RejectsTokensOutsideTheVocabulary) {
  const Weight table{at::zeros({5, 3}), {}};
  for (const int64_t bad : {5, -1})
    EXPECT_THAT(error_of(ErrorKind::data,
                         [&] {
                           embedding(at::tensor({int64_t{1}, int64_t{4}, bad}), table);
                         }),
                HasSubstr("[embedding] token[2] = " + std::to_string(bad) +
                          " is outside [0, 5). Was the tokenizer built for another model?"));
}

Tensor plain_rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  return x * at::rsqrt(x.pow(2).mean(-1, true) + eps) * weight;
}

TEST(RmsNormTest, MatchesReference) {
  // Around the rows that one partial sum of the weight's gradient holds.
  Random random;
  for (const int64_t rows : {1, 127, 128, 129, 300}) {
    for (const auto& [width, eps] :
         std::vector<std::pair<int64_t, double>>{{1, 1e-2}, {24, 1e-6}, {33, 0.5}}) {
      SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(width));
      const Tensor x = normal(random, {rows, width}), w = normal(random, {width}),
                   d = normal(random, {rows, width});
      expect_matches(
          [&](const Inputs& i) {
            return rms_norm(i[0], {i[1], {}}, eps);
          },
          [&](const Inputs& i) { return plain_rms_norm(i[0], i[1], eps); }, {x, w}, d, 8);
    }
  }
}

TEST(RmsNormTest, GradientsInPlace) {
  Random random;
  expect_gradients_in_place([](const Tensor& x, const auto& w) { return rms_norm(x, w[0], 1e-5); },
                            normal(random, {200, 12}), {normal(random, {12})},
                            normal(random, {200, 12}));
}

TEST(RmsNormTest, InvariantToThreadsAndLayout) {
  Random random;
  const Tensor x = normal(random, {500, 12}), w = normal(random, {12}),
               d = normal(random, {500, 12});
  const Expression f = [](const Inputs& i) { return rms_norm(i[0], {i[1], {}}, 1e-5); };
  const Values one = evaluate(f, {x, w}, d, at::kFloat);
  Threads two(2);
  const Values out = evaluate(f, {x, w}, d, at::kFloat);
  EXPECT_TRUE(at::equal(out.out, one.out));
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(at::equal(out.gradients[i], one.gradients[i])) << i;
  EXPECT_TRUE(at::equal(rms_norm(x.t().contiguous().t(), {w, {}}, 1e-5), one.out));
  EXPECT_TRUE(at::equal(evaluate(f, {x, w}, d.t().contiguous().t(), at::kFloat).gradients[0],
                        one.gradients[0]));
}

TEST(RmsNormTest, Rejects) {
  EXPECT_THAT(error_of(ErrorKind::option,
                       [] {
                         rms_norm(at::zeros({2, 3}), {at::zeros({4}), {}}, 1e-5);
                       }),
              HasSubstr("[rms_norm] an f32 matrix with 4 columns is required, got [2, 3] Float."));
}

TEST(HeadNormTest, MatchesReference) {
  Random random;
  for (const auto& [heads, keys, dim] :
       std::vector<std::array<int64_t, 3>>{{1, 1, 4}, {4, 2, 8}, {3, 1, 6}}) {
    const int64_t rows = 19, width = (heads + 2 * keys) * dim;
    const Tensor x = normal(random, {rows, width}), q = normal(random, {dim}),
                 k = normal(random, {dim});
    const Tensor d = normal(random, {rows, width});
    const auto plain = [&](const Inputs& i) {
      const auto part = [&](int64_t first, int64_t count) {
        return i[0].narrow(1, first * dim, count * dim).reshape({rows, count, dim});
      };
      return at::cat({plain_rms_norm(part(0, heads), i[1], 1e-5),
                      plain_rms_norm(part(heads, keys), i[2], 1e-5), part(heads + keys, keys)},
                     1)
          .reshape({rows, width});
    };
    const auto ours = [&](const Inputs& i) {
      return head_norm(i[0], {i[1], {}}, {i[2], {}}, heads, keys, dim, 1e-5);
    };
    SCOPED_TRACE(std::to_string(heads) + "/" + std::to_string(keys) + " heads of " +
                 std::to_string(dim));
    expect_matches(ours, plain, {x, q, k}, d, 8);
    const Tensor v = ours({x, q, k}).narrow(1, (heads + keys) * dim, keys * dim);
    EXPECT_TRUE(at::equal(v, x.narrow(1, (heads + keys) * dim, keys * dim)))
        << "values are untouched";
  }
}

TEST(HeadNormTest, GradientsInPlace) {
  Random random;
  expect_gradients_in_place(
      [](const Tensor& x, const auto& w) { return head_norm(x, w[0], w[1], 4, 2, 6, 1e-5); },
      normal(random, {9, 48}), {normal(random, {6}), normal(random, {6})}, normal(random, {9, 48}));
}

TEST(HeadNormTest, Rejects) {
  const Weight w{at::zeros({4}), {}};
  EXPECT_THAT(
      error_of(ErrorKind::option,
               [&] {
                 head_norm(at::zeros({2, 12}), w, w, 2, 1, 4, 1e-5);
               }),
      HasSubstr("[head_norm] an f32 matrix with 16 columns is required, got [2, 12] Float."));
}

TEST(RopeTest, MatchesReference) {
  // Rotation by half-heads as Hugging Face decoders write it: x cos + rotate_half(x) sin.
  Random random;
  for (const auto& [heads, others, dim] :
       std::vector<std::array<int64_t, 3>>{{1, 0, 2}, {3, 1, 8}, {2, 2, 6}}) {
    const int64_t rows = 21, width = (heads + others) * dim, half = dim / 2;
    const Tensor angle =
        at::arange(40, at::kDouble).unsqueeze(1) * normal(random, {1, half}, 1, at::kDouble);
    const Tensor cosine = angle.cos().to(at::kFloat), sine = angle.sin().to(at::kFloat);
    std::vector<int64_t> at_position;
    for (int64_t i = 0; i < rows; ++i) at_position.push_back(random.integer(0, 39));
    const Tensor positions = at::tensor(at::ArrayRef<int64_t>(at_position), at::kLong);
    const Tensor x = normal(random, {rows, width}), d = normal(random, {rows, width});
    const auto plain = [&](const Inputs& i) {
      const auto table = [&](const Tensor& t) {
        const Tensor row = t.to(i[0].scalar_type()).index_select(0, positions);
        return at::cat({row, row}, 1).unsqueeze(1);
      };
      const Tensor turned = i[0].narrow(1, 0, heads * dim).reshape({rows, heads, dim});
      const Tensor rotated_half =
          at::cat({-turned.narrow(2, half, half), turned.narrow(2, 0, half)}, 2);
      return at::cat(
          {(turned * table(cosine) + rotated_half * table(sine)).reshape({rows, heads * dim}),
           i[0].narrow(1, heads * dim, others * dim)},
          1);
    };
    const auto ours = [&](const Inputs& i) {
      return rope(i[0], positions, cosine, sine, heads, dim);
    };
    SCOPED_TRACE(std::to_string(heads) + " heads of " + std::to_string(dim));
    expect_matches(ours, plain, {x}, d);
    const Tensor untouched = x.clone();
    ours({x});
    EXPECT_TRUE(at::equal(x, untouched)) << "not in place";
    EXPECT_TRUE(at::equal(evaluate(ours, {x}, d.t().contiguous().t(), at::kFloat).gradients[0],
                          evaluate(ours, {x}, d, at::kFloat).gradients[0]));
  }
}

TEST(SwigluTest, Value) {
  // silu(0) = 0, silu(log 3) = 3/4 log 3.
  const Tensor out = swiglu(at::tensor({0.0f, std::log(3.0f), 5.0f, -2.0f}).view({1, 4}));
  EXPECT_EQ(out[0][0].item<double>(), 0);
  EXPECT_NEAR(out[0][1].item<double>(), -1.5 * std::log(3.0), 2e-7);
}

TEST(SwigluTest, MatchesReference) {
  Random random;
  for (const auto& [rows, width] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {17, 33}, {40, 64}}) {
    const Tensor x = normal(random, {rows, 2 * width}, 3), d = normal(random, {rows, width});
    const auto plain = [width = width](const Inputs& i) {
      return at::silu(i[0].narrow(1, 0, width)) * i[0].narrow(1, width, width);
    };
    const auto ours = [](const Inputs& i) { return swiglu(i[0]); };
    expect_matches(ours, plain, {x}, d);
    EXPECT_TRUE(at::equal(
        evaluate(ours, {x.t().contiguous().t()}, d.t().contiguous().t(), at::kFloat).gradients[0],
        evaluate(ours, {x}, d, at::kFloat).gradients[0]));
  }
}

TEST(DecoderOpsTest, NothingIsRecordedUnderNoGrad) {
  Random random;
  c10::NoGradGuard no_grad;
  const Tensor x = leaf(normal(random, {4, 8})), w = leaf(normal(random, {8, 8})),
               n = leaf(normal(random, {8}));
  EXPECT_FALSE(linear(x, {w, {}}).requires_grad());
  EXPECT_FALSE(rms_norm(x, {n, {}}, 1e-5).requires_grad());
  EXPECT_FALSE(swiglu(x).requires_grad());
  EXPECT_FALSE(embedding(at::tensor({int64_t{1}}), {w, {}}).requires_grad());
}

}  // namespace
}  // namespace pref::ops
