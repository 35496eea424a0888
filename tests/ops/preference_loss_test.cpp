// SPDX-License-Identifier: Apache-2.0
// The loss as a differentiable call: against plain autograd in double, inside larger graphs, split
// into microbatches.
#include "libpref/ops/preference_loss.h"

#include <c10/core/GradMode.h>
#include <gmock/gmock.h>

#include <cmath>

#include "tests/ops/head_test_util.h"
#include "tests/reference/finite_difference.h"

namespace pref {
namespace {

using at::Tensor;
using ::testing::HasSubstr;
using namespace testing;  // pref::testing

// A batch of pairs (and a triple) with everything a row may carry.
struct LossCase : HeadCase {
  std::vector<double> ref, row_weight, margin;
  RowInputs inputs() const { return {.ref_logp = ref, .weight = row_weight, .margin = margin}; }
};

const std::vector<RowLengths> kRows = {{3, {4, 2}}, {1, {1, 1}}, {2, {7, 5, 3}}, {5, {1, 9}}};

LossCase loss_case(Random& random, int64_t vocab = 30, int64_t width = 12) {
  LossCase c{head_case(random, kRows, vocab, width), {}, {}, {}};
  for (int64_t s = 0; s < c.plan.num_sequences(); ++s)
    c.ref.push_back(-3.0 * static_cast<double>(c.plan.sequence_first_label[s + 1] -
                                               c.plan.sequence_first_label[s]) +
                    random.normal());
  for (int64_t r = 0; r < c.plan.num_rows(); ++r) {
    c.row_weight.push_back(random.uniform(0.1, 3));
    c.margin.push_back(random.uniform(-1, 1));
  }
  return c;
}

// DPO with label noise plus cross-entropy, by ATen operators alone, in the type of `hidden`.
struct PlainLoss {
  double beta = 0.4, label_smoothing = 0.1, dpo = 1, sft = 0.2;
  Objective objective() const {
    return Objective({{DPO{.beta = beta, .label_smoothing = label_smoothing}, dpo}, {SFT{}, sft}});
  }
  Tensor operator()(const LossCase& c, const Tensor& hidden, const Tensor& weight, double rows,
                    double tokens) const {
    const auto like = [&](const std::vector<double>& x) {
      return to_tensor(x).to(hidden.scalar_type());
    };
    const Tensor logp = plain_logp(hidden, weight, c.labels());
    const std::vector<int64_t> first(c.plan.row_first_sequence.begin(),
                                     c.plan.row_first_sequence.end() - 1);
    const Tensor chosen = as_tensor(first), rejected = chosen + 1;
    const Tensor h = logp - like(c.ref);
    const Tensor u =
        beta * (h.index_select(0, chosen) - h.index_select(0, rejected)) - like(c.margin);
    const Tensor dpo_loss =
        -(1 - label_smoothing) * at::log_sigmoid(u) - label_smoothing * at::log_sigmoid(-u);
    const Tensor sft_loss = -logp.index_select(0, chosen);
    return (like(c.row_weight) * (dpo * dpo_loss / rows + sft * sft_loss / tokens)).sum();
  }
};

struct Differentiated {
  double loss;
  Tensor d_hidden, d_weight;
};

Differentiated differentiate(const Tensor& loss, const Tensor& hidden, const Tensor& weight,
                             double upstream = 1) {
  const auto d = gradients(loss, {hidden, weight}, at::full({}, upstream, loss.options()));
  return {loss.item<double>(), d[0], d[1]};
}

Differentiated run_ours(const LossCase& c, const Objective& objective, HeadOptions options = {},
                        double upstream = 1) {
  const Tensor h = leaf(c.hidden), w = leaf(c.weight);
  return differentiate(preference_loss(h, w, c.labels(), objective, c.inputs(), options).loss, h, w,
                       upstream);
}

TEST(PreferenceLossTest, MatchesReference) {
  Random random;
  for (int i = 0; i < 8; ++i) {
    const LossCase c = loss_case(random, i % 2 == 0 ? 30 : 257);
    const PlainLoss plain{.beta = random.uniform(0.05, 1),
                          .label_smoothing = random.uniform(0, 0.49)};
    const double rows = 4, tokens = 4 + 1 + 7 + 1;
    const Tensor h = leaf(c.hidden), w = leaf(c.weight);
    const Tensor h64 = leaf(widened(c.hidden)), w64 = leaf(widened(c.weight));
    const Differentiated narrow = differentiate(plain(c, h, w, rows, tokens), h, w);
    const Differentiated oracle = differentiate(plain(c, h64, w64, rows, tokens), h64, w64);
    for (const int64_t budget : {3, 100}) {
      const Differentiated ours =
          run_ours(c, plain.objective(), {.logits_bytes = c.logits_bytes(budget)});
      EXPECT_NEAR(ours.loss, oracle.loss, 3e-7 * (1 + std::abs(oracle.loss)));
      EXPECT_TRUE(within_budget(ours.d_hidden, narrow.d_hidden, oracle.d_hidden, 8));
      EXPECT_TRUE(within_budget(ours.d_weight, narrow.d_weight, oracle.d_weight, 8));
    }
  }
}

TEST(PreferenceLossTest, Gradient) {
  // The whole call in float, by differences wide enough for its rounding.
  Random random;
  const LossCase c = loss_case(random, 11, 6);
  const Objective objective = PlainLoss{}.objective();
  const Differentiated ours = run_ours(c, objective);
  const auto loss = [&](const Tensor& hidden, const Tensor& weight) {
    c10::NoGradGuard no_grad;
    return preference_loss(hidden, weight, c.labels(), objective, c.inputs()).loss.item<double>();
  };
  const double step = 1.0 / 128;
  const auto check = [&](const Tensor& x, const Tensor& d, const auto& loss_at) {
    for (int64_t i = 0; i < x.numel(); i += 7) {
      Tensor up = x.clone(), down = x.clone();
      up.view(-1)[i] += step;
      down.view(-1)[i] -= step;
      EXPECT_NEAR(d.reshape(-1)[i].item<double>(), (loss_at(up) - loss_at(down)) / (2 * step), 2e-4)
          << i;
    }
  };
  check(c.hidden, ours.d_hidden, [&](const Tensor& x) { return loss(x, c.weight); });
  check(c.weight, ours.d_weight, [&](const Tensor& x) { return loss(c.hidden, x); });
  EXPECT_GT(largest(ours.d_hidden), 2e-2) << "a hundred times the tolerance";
  EXPECT_GT(largest(ours.d_weight), 2e-2);
}

TEST(PreferenceLossTest, GradientTimesTheUpstreamFactor) {
  Random random;
  const LossCase c = loss_case(random);
  const Differentiated one = run_ours(c, DPO{}), scaled = run_ours(c, DPO{}, {}, -2.5);
  EXPECT_TRUE(at::equal(scaled.d_hidden, one.d_hidden * -2.5));
  EXPECT_TRUE(at::equal(scaled.d_weight, one.d_weight * -2.5));
  EXPECT_EQ(scaled.loss, one.loss);
}

TEST(PreferenceLossTest, GradientInsideALargerGraph) {
  // A network before, another term after, backward() into .grad of the leaves.
  Random random;
  const LossCase c = loss_case(random);
  const Differentiated one = run_ours(c, DPO{});
  const Tensor x = leaf(c.hidden / 2), w = leaf(c.weight);
  const auto loss = [&] {
    return preference_loss(2 * x, w, c.labels(), Objective(DPO{}), c.inputs()).loss;
  };
  (3 * loss() + w.sum()).backward();
  EXPECT_LE(distance(x.grad(), 6 * one.d_hidden), 1e-6 * largest(one.d_hidden));
  EXPECT_LE(distance(w.grad(), 3 * one.d_weight + 1), 1e-6);
  // Gradients of a second call accumulate.
  const Tensor before = x.grad().clone();
  (3 * loss()).backward();
  EXPECT_TRUE(at::equal(x.grad(), 2 * before));
}

TEST(PreferenceLossTest, FrozenSides) {
  Random random;
  const LossCase c = loss_case(random);
  const Differentiated both = run_ours(c, DPO{});
  const Tensor h = leaf(c.hidden), w = leaf(c.weight);
  const Tensor only_hidden =
      preference_loss(h, c.weight, c.labels(), Objective(DPO{}), c.inputs()).loss;
  EXPECT_TRUE(at::equal(gradients(only_hidden, {h}, at::ones({}))[0], both.d_hidden));
  const Tensor only_weight =
      preference_loss(c.hidden, w, c.labels(), Objective(DPO{}), c.inputs()).loss;
  EXPECT_TRUE(at::equal(gradients(only_weight, {w}, at::ones({}))[0], both.d_weight));
  const Tensor neither =
      preference_loss(c.hidden, c.weight, c.labels(), Objective(DPO{}), c.inputs()).loss;
  EXPECT_FALSE(neither.requires_grad());
}

TEST(PreferenceLossTest, NoGradGivesTheSameValues) {
  Random random;
  const LossCase c = loss_case(random);
  const Objective objective = PlainLoss{}.objective();
  const Tensor h = leaf(c.hidden), w = leaf(c.weight);
  const PreferenceLoss trained = preference_loss(h, w, c.labels(), objective, c.inputs());
  c10::NoGradGuard no_grad;
  const PreferenceLoss evaluated = preference_loss(h, w, c.labels(), objective, c.inputs());
  EXPECT_TRUE(trained.loss.requires_grad());
  EXPECT_FALSE(evaluated.loss.requires_grad());
  EXPECT_EQ(evaluated.loss.dim(), 0);
  EXPECT_EQ(evaluated.loss.item<double>(), trained.loss.item<double>());
  EXPECT_TRUE(same_bits(evaluated.statistics, trained.statistics));
  EXPECT_EQ(evaluated.rewards, trained.rewards);
  const std::vector<double>& logp = trained.statistics.logp;
  for (size_t s = 0; s < logp.size(); ++s)
    EXPECT_DOUBLE_EQ(trained.rewards[s], 0.4 * (logp[s] - c.ref[s]));
}

TEST(PreferenceLossTest, NonContiguousInputs) {
  Random random;
  const LossCase c = loss_case(random);
  const Differentiated expected = run_ours(c, DPO{});
  const Tensor h = leaf(c.hidden.t().contiguous()), w = leaf(c.weight.t().contiguous());
  const Tensor loss = preference_loss(h.t(), w.t(), c.labels(), Objective(DPO{}), c.inputs()).loss;
  const Differentiated ours = differentiate(loss, h, w);
  EXPECT_EQ(ours.loss, expected.loss);
  EXPECT_TRUE(at::equal(ours.d_hidden, expected.d_hidden.t()));
  EXPECT_TRUE(at::equal(ours.d_weight, expected.d_weight.t()));
  // Every second row of a larger matrix.
  const Tensor wide = leaf(at::stack({c.hidden, at::full_like(c.hidden, 7)}, 1).view({-1, 12}));
  const Tensor strided = preference_loss(wide.slice(0, 0, std::nullopt, 2), c.weight, c.labels(),
                                         Objective(DPO{}), c.inputs())
                             .loss;
  EXPECT_EQ(strided.item<double>(), expected.loss);
  EXPECT_TRUE(at::equal(gradients(strided, {wide}, at::ones({}))[0].slice(0, 0, std::nullopt, 2),
                        expected.d_hidden));
}

TEST(PreferenceLossTest, OptionsOfTheHeadReachIt) {
  Random random;
  const LossCase c = loss_case(random);
  const Differentiated base = run_ours(c, DPO{});
  for (const HeadOptions& other :
       {HeadOptions{.logit_scale = 0.5}, HeadOptions{.logit_soft_cap = 3}}) {
    const Differentiated changed = run_ours(c, DPO{}, other);
    EXPECT_GT(std::abs(changed.loss - base.loss), 1e-4);
    EXPECT_GT(distance(changed.d_hidden, base.d_hidden), 1e-4);
  }
}

TEST(PreferenceLossTest, InvariantToMicrobatches) {
  // Unequal pairs and tokens per microbatch: with the batch's normalizers, losses and gradients add
  // up to the whole.
  Random random;
  std::vector<TokenizedRow> rows;
  for (const RowLengths& lengths :
       std::vector<RowLengths>{{3, {4, 2}}, {1, {1, 1}}, {2, {7, 5}}, {5, {1, 9}}})
    rows.push_back(tokenized_row(random, lengths, 30));
  const Tensor embedding = normal(random, {30, 12});
  const Objective objective = PlainLoss{.sft = 0.5}.objective();
  const std::vector<double> row_weight = {0.3, 1, 2.5, 0.7};
  const auto run = [&](const std::vector<std::vector<int64_t>>& microbatches) {
    Differentiated sum{0, at::zeros_like(embedding), at::zeros_like(embedding)};
    for (const auto& indices : microbatches) {
      const PackingPlan plan = pack_rows(rows, indices);
      std::vector<double> ref, weight;
      for (const int64_t i : indices) {
        ref.insert(ref.end(), {-4.0 - static_cast<double>(i), -6.0});
        weight.push_back(row_weight[static_cast<size_t>(i)]);
      }
      const Tensor table = leaf(embedding), lm_head = leaf(embedding);
      const Tensor hidden = table.index_select(0, as_tensor(plan.tokens));
      const Tensor loss =
          preference_loss(hidden, lm_head, labels_of(plan), objective,
                          {.ref_logp = ref, .weight = weight}, {}, Normalizers{4, 13})
              .loss;
      const Differentiated one = differentiate(loss, table, lm_head);
      sum.loss += one.loss;
      sum.d_hidden += one.d_hidden;
      sum.d_weight += one.d_weight;
    }
    return sum;
  };
  const Differentiated whole = run({{0, 1, 2, 3}});
  using Split = std::vector<std::vector<int64_t>>;
  for (const Split& split :
       {Split{{0}, {1}, {2}, {3}}, Split{{0, 1, 2}, {3}}, Split{{3}, {1, 0}, {2}}}) {
    const Differentiated parts = run(split);
    EXPECT_NEAR(parts.loss, whole.loss, 1e-6);
    EXPECT_LE(distance(parts.d_hidden, whole.d_hidden), 1e-6 * largest(whole.d_hidden));
    EXPECT_LE(distance(parts.d_weight, whole.d_weight), 1e-6 * largest(whole.d_weight));
  }
}

TEST(PreferenceLossTest, StepZeroIsLogTwo) {
  // The reference is the policy: every log-ratio is exactly 0 and the loss is ln 2 to the last bit
  // of f32.
  Random random;
  LossCase c = loss_case(random);
  const Tensor h = leaf(c.hidden), w = leaf(c.weight);
  c.ref = preference_loss(h, w, c.labels(), Objective(DPO{}), c.inputs()).statistics.logp;
  const PreferenceLoss out =
      preference_loss(h, w, c.labels(), Objective(DPO{}), {.ref_logp = c.ref});
  EXPECT_EQ(out.loss.item<float>(), std::log(2.0f));
  for (const double reward : out.rewards) EXPECT_EQ(reward, 0);
}

TEST(PreferenceLossTest, DefaultNormalizersAreTheCallsOwn) {
  Random random;
  const LossCase c = loss_case(random);
  const Normalizers n = normalizers_of(c.labels());
  EXPECT_EQ(n.rows, 4);
  EXPECT_EQ(n.chosen_tokens, 4 + 1 + 7 + 1);
  const Objective objective = PlainLoss{}.objective();
  const auto loss = [&](std::optional<Normalizers> normalizers) {
    return preference_loss(c.hidden, c.weight, c.labels(), objective, c.inputs(), {}, normalizers)
        .loss.item<double>();
  };
  EXPECT_EQ(loss(std::nullopt), loss(n));
  EXPECT_NE(loss(std::nullopt), loss(Normalizers{8, n.chosen_tokens}));
  EXPECT_NE(loss(std::nullopt), loss(Normalizers{4, 26}));
}

TEST(PreferenceLossTest, Rejects) {
  Random random;
  const LossCase c = loss_case(random);
  const Objective dpo{DPO{}};
  const auto rejected = [&](ErrorKind kind, const Tensor& hidden, const Tensor& weight,
                            const Labels& labels, const RowInputs& inputs,
                            HeadOptions options = {}) {
    return error_of(kind, [&] { preference_loss(hidden, weight, labels, dpo, inputs, options); });
  };
  const auto option = [&](const Tensor& hidden, const Tensor& weight) {
    return rejected(ErrorKind::option, hidden, weight, c.labels(), c.inputs());
  };
  const std::string shapes =
      "[preference_loss] hidden [T, D] and lm_head [V, D] in f32 are required, got ";
  EXPECT_THAT(option(c.hidden.narrow(1, 0, 11), c.weight), HasSubstr(shapes));
  EXPECT_THAT(option(c.hidden.view(-1), c.weight), HasSubstr(shapes));
  EXPECT_THAT(option(c.hidden, c.weight.unsqueeze(0)), HasSubstr(shapes));
  EXPECT_THAT(option(c.hidden.to(at::kDouble), c.weight), HasSubstr(shapes));
  EXPECT_THAT(option(c.hidden, c.weight.to(at::kBFloat16)), HasSubstr("f32"));
  EXPECT_THAT(option(c.hidden.narrow(0, 0, 5), c.weight), HasSubstr("which is outside [0, 5)"));
  PackingPlan plan = c.plan;
  plan.label_token[6] = 30;
  for (const Tensor& hidden : {c.hidden, leaf(c.hidden)})
    EXPECT_THAT(rejected(ErrorKind::data, hidden, c.weight, labels_of(plan), c.inputs()),
                HasSubstr("token[6] = 30 is outside [0, 30)"));
  plan = c.plan;
  plan.sequence_first_label.clear();
  EXPECT_THAT(rejected(ErrorKind::option, c.hidden, c.weight, labels_of(plan), c.inputs()),
              HasSubstr("sequence offsets must rise"));
  plan = c.plan;
  plan.row_first_sequence[1] = 50;
  EXPECT_THAT(rejected(ErrorKind::option, c.hidden, c.weight, labels_of(plan), c.inputs()),
              HasSubstr("row offsets must rise"));
  EXPECT_THAT(rejected(ErrorKind::option, c.hidden, c.weight, c.labels(), {}),
              HasSubstr("[dpo] reference log-probs are required"));
  EXPECT_THAT(
      rejected(ErrorKind::option, c.hidden, c.weight, c.labels(), c.inputs(),
               {.logits_bytes = 119}),
      HasSubstr("the logits budget must hold one row of the vocabulary (120 bytes), got 119"));
}

}  // namespace
}  // namespace pref
