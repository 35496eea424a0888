// SPDX-License-Identifier: Apache-2.0
// Tabular optima known in closed form, reached to 1e-10 by Newton's method on the objectives' own
// gradients: exact expectations over all pairs of a few responses. Each oracle is written from the
// paper's statement of the optimum, never from a loss.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "examples/experiments/tools.h"

namespace pref::experiments {
namespace {

constexpr double kExact = 1e-10;

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
double logit(double p) { return std::log(p / (1 - p)); }

// Six responses with rewards, a reference that favours some, and lengths.
struct World {
  Vector reward{0.9, -0.4, 0.3, 1.6, -1.1, 0.3};
  Arms arms{.ref_logp = log_softmax({0.2, 0.9, -0.7, -1.2, 0.5, 0.1}),
            .num_tokens = {1, 3, 2, 4, 2, 5}};
  int size = 6;
  double wins(int i, int j) const {
    return sigmoid_of(reward[static_cast<size_t>(i)] - reward[static_cast<size_t>(j)]);
  }
};

using Wins = std::function<double(int, int)>;

// Every ordered pair, chosen first, as often as the first wins; `mass` says how often it is drawn.
std::vector<Choice> all_pairs(int n, const Wins& wins, const Vector& mass = {}) {
  std::vector<Choice> rows;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j)
      if (i != j) {
        const double drawn =
            mass.empty() ? 1 : mass[static_cast<size_t>(i)] * mass[static_cast<size_t>(j)];
        rows.push_back({.arm = {i, j}, .weight = drawn * wins(i, j)});
      }
  return rows;
}

Vector optimum(const Objective& objective, const Arms& arms, const std::vector<Choice>& rows) {
  const auto gradient = [&](const Vector& x) {
    return arms_loss(objective, arms, rows, x).gradient;
  };
  // A zero of the gradient is the loss's minimum only if the gradient is the loss's own, and the
  // loss falls on the way.
  const Vector away(arms.ref_logp.size(), 0.0), slope = gradient(away);
  Vector up = away, down = away;
  double square = 0;
  for (size_t i = 0; i < slope.size(); ++i) {
    up[i] += 1e-4 * slope[i], down[i] -= 1e-4 * slope[i];
    square += slope[i] * slope[i];
  }
  const double change =
      arms_loss(objective, arms, rows, up).loss - arms_loss(objective, arms, rows, down).loss;
  EXPECT_NEAR(change, 2e-4 * square, 1e-6 * square + 1e-14) << objective.name();
  const Vector found = log_softmax(stationary_point(gradient, arms.ref_logp));
  EXPECT_LE(arms_loss(objective, arms, rows, found).loss,
            arms_loss(objective, arms, rows, arms.ref_logp).loss + 1e-14);
  return found;
}

void expect_near(const Vector& got, const Vector& want, double tolerance = kExact) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance) << "arm " << i;
}

// c such that sum over arms of pi_ref^(by reference) e^{n (value + c)} is 1, by bisection.
double normalising_constant(const Vector& base, const Vector& n, const Vector& value) {
  double low = -100, high = 100;
  for (int i = 0; i < 200; ++i) {
    const double c = (low + high) / 2;
    double sum = 0;
    for (size_t k = 0; k < n.size(); ++k) sum += std::exp(base[k] + n[k] * (value[k] + c));
    (sum < 1 ? low : high) = c;
  }
  return low;
}

// Two responses of equal reference; the logit v = beta (h_0 - h_1) at the optimum.
double pair_logit(const Objective& objective, double beta, double first_wins, double margin = 0) {
  const Arms arms{.ref_logp = log_softmax({0.3, -0.4})};
  const Vector logp = optimum(objective, arms,
                              {{.arm = {0, 1}, .weight = first_wins, .margin = margin},
                               {.arm = {1, 0}, .weight = 1 - first_wins, .margin = margin}});
  return beta * (logp[0] - arms.ref_logp[0] - logp[1] + arms.ref_logp[1]);
}

TEST(ClosedForm, ValueDpo) {
  const World world;
  const auto rows = all_pairs(world.size, [&](int i, int j) { return world.wins(i, j); });
  for (const double beta : {0.3, 1.0, 2.5}) {
    const Vector logp = optimum(objective_of("dpo", {option("beta", beta)}), world.arms, rows);
    expect_near(logp, tilted(world.arms.ref_logp, world.reward, beta));
  }
}

// The tilted policy is the best at its KL, and R - beta KL is beta log Z.
TEST(ClosedForm, ValueFrontier) {
  const World world;
  const double beta = 0.7;
  const Vector best = tilted(world.arms.ref_logp, world.reward, beta);
  double z = 0;
  for (size_t i = 0; i < best.size(); ++i)
    z += std::exp(world.arms.ref_logp[i] + world.reward[i] / beta);
  const double at = kl(best, world.arms.ref_logp), value = expected(best, world.reward);
  EXPECT_NEAR(value - beta * at, beta * std::log(z), kExact);
  EXPECT_NEAR(frontier(world.arms.ref_logp, world.reward, at), value, kExact);
  RandomStream random(3, "frontier");
  for (int trial = 0; trial < 200; ++trial) {
    Vector other = best;
    for (double& l : other) l += 0.5 * random.normal();
    other = log_softmax(other);
    EXPECT_LE(expected(other, world.reward) - beta * kl(other, world.arms.ref_logp),
              beta * std::log(z) + 1e-12);
  }
}

TEST(ClosedForm, ValueIpoOfSums) {
  const World world;
  const Wins wins = [&](int i, int j) { return i == j ? 0.5 : world.wins(i, j); };
  const double tau = 0.4;
  const Objective ipo =
      objective_of("ipo", {option("beta", tau), option("ipo_normalization", "sum")});
  // Pairs drawn from mu x mu: the mean of P over mu; uniform over all pairs is one such mu.
  for (const Vector& mu : {Vector(6, 1.0 / 6), Vector{0.1, 0.3, 0.05, 0.2, 0.25, 0.1}}) {
    Vector mean_win(6);
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j)
        mean_win[static_cast<size_t>(i)] += mu[static_cast<size_t>(j)] * wins(i, j);
    expect_near(optimum(ipo, world.arms, all_pairs(6, wins, mu)),
                tilted(world.arms.ref_logp, mean_win, tau));
  }
}

// The default of recipes divides each log-ratio by its length, so that what it fixes is h / n: the
// optimum is pi_ref exp(n (mean P / tau + c)), another policy unless lengths are equal.
TEST(ClosedForm, ValueIpoOfMeans) {
  const World world;
  const Wins wins = [&](int i, int j) { return i == j ? 0.5 : world.wins(i, j); };
  const double tau = 0.4;
  const auto rows = all_pairs(6, wins);
  Vector scaled(6);
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j) scaled[static_cast<size_t>(i)] += wins(i, j) / 6 / tau;
  const Vector& n = world.arms.num_tokens;
  const double c = normalising_constant(world.arms.ref_logp, n, scaled);
  Vector want = world.arms.ref_logp;
  for (size_t i = 0; i < 6; ++i) want[i] += n[i] * (scaled[i] + c);
  const Vector means = optimum(objective_of("ipo", {option("beta", tau)}), world.arms, rows);
  expect_near(means, want);
  const Vector sums =
      optimum(objective_of("ipo", {option("beta", tau), option("ipo_normalization", "sum")}),
              world.arms, rows);
  EXPECT_GT(kl(means, sums), 0.01);
  Arms even = world.arms;
  even.num_tokens.assign(6, 1);
  expect_near(optimum(objective_of("ipo", {option("beta", tau)}), even, rows), sums);
}

TEST(ClosedForm, ValueConservativeDpo) {
  for (const double beta : {0.5, 2.0})
    for (const double e : {0.05, 0.2, 0.4}) {
      const Objective cdpo =
          objective_of("dpo", {option("beta", beta), option("label_smoothing", e)});
      EXPECT_NEAR(pair_logit(cdpo, beta, 1), logit(1 - e), kExact);
      for (const double p : {0.3, 0.8, 0.95})
        EXPECT_NEAR(pair_logit(cdpo, beta, p), logit(p * (1 - e) + (1 - p) * e), kExact);
    }
}

// Labels flipped at the rate that the loss is told: the optimum of the true labels.
TEST(ClosedForm, ValueRobustDpo) {
  const World world;
  const double beta = 0.8;
  for (const double e : {0.1, 0.3}) {
    const Objective robust =
        objective_of("robust", {option("beta", beta), option("label_smoothing", e)});
    const Wins flipped = [&](int i, int j) {
      return (1 - e) * world.wins(i, j) + e * world.wins(j, i);
    };
    expect_near(optimum(robust, world.arms, all_pairs(6, flipped)),
                tilted(world.arms.ref_logp, world.reward, beta));
    for (const double p : {0.3, 0.8})
      EXPECT_NEAR(pair_logit(robust, beta, (1 - e) * p + e * (1 - p)), logit(p), kExact);
  }
}

TEST(ClosedForm, ValueMargin) {
  for (const double beta : {0.5, 2.0})
    for (const double gamma : {0.0, 0.5, 1.5})
      for (const double p : {0.2, 0.6, 0.9}) {
        const double a = (2 * p - 1) * std::exp(gamma);
        const double want = std::log((a + std::sqrt(a * a + 4 * p * (1 - p))) / (2 * (1 - p)));
        EXPECT_NEAR(pair_logit(objective_of("dpo", {option("beta", beta)}), beta, p, gamma), want,
                    kExact);
        // CPO without a reference term sees the same logit where the reference is flat.
        const Arms flat{.ref_logp = log_softmax({0, 0})};
        const Vector logp = optimum(objective_of("cpo", {option("beta", beta)}), flat,
                                    {{.arm = {0, 1}, .weight = p, .margin = gamma},
                                     {.arm = {1, 0}, .weight = 1 - p, .margin = gamma}});
        EXPECT_NEAR(beta * (logp[0] - logp[1]), want, kExact);
      }
}

TEST(ClosedForm, ValueSimpoWithoutMargin) {
  const World world;
  const auto rows = all_pairs(6, [&](int i, int j) { return world.wins(i, j); });
  for (const double beta : {1.0, 2.0}) {
    Vector scaled = world.reward;
    for (double& r : scaled) r /= beta;
    const Vector& n = world.arms.num_tokens;
    const double c = normalising_constant(Vector(6), n, scaled);
    Vector want(6);
    for (size_t i = 0; i < 6; ++i) want[i] = n[i] * (scaled[i] + c);
    const Vector logp =
        optimum(objective_of("simpo", {option("beta", beta), option("gamma_beta_ratio", 0.0)}),
                world.arms, rows);
    expect_near(logp, want);
    EXPECT_LT(logp[5], logp[2]) << "equal reward, 5 tokens against 2: longer is less probable";
  }
}

TEST(ClosedForm, InvariantWpoWeightsDoNotMoveTheOptimum) {
  const World world;
  const Arms arms{.ref_logp = world.arms.ref_logp};  // one token each: collision is log sum pi^2
  const auto rows = all_pairs(6, [&](int i, int j) { return world.wins(i, j); });
  const Vector want = tilted(arms.ref_logp, world.reward, 1);
  for (const char* alignment : {"sampled", "greedy", "none"})
    for (const char* clamp : {"product", "none"}) {
      const Objective wpo = objective_of(
          "dpo", {option("beta", 1.0), option("alignment", alignment), option("clamp", clamp)},
          true);
      // Far away the weights vanish and the field with them, so descent leads into the basin.
      Vector near = arms.ref_logp;
      descend(wpo, arms, rows, Descent::adam, 0.02, 1000, near);
      const auto field = [&](const Vector& x) { return arms_loss(wpo, arms, rows, x).gradient; };
      expect_near(log_softmax(stationary_point(field, near)), want);
    }
  // The weights are there: away from the optimum the gradient is another.
  const Vector plain = arms_loss(objective_of("dpo"), arms, rows, arms.ref_logp).gradient,
               weighted =
                   arms_loss(objective_of("dpo", {}, true), arms, rows, arms.ref_logp).gradient;
  EXPECT_GT(std::abs(plain[3] - weighted[3]), 1e-4);
}

// On-policy the mean of log w is minus (Shannon minus collision entropy), 0 for uniform policies.
TEST(ClosedForm, ValueWpoOnPolicyIdentity) {
  for (const Vector& logits : {Vector{0.2, 0.9, -0.7, -1.2}, Vector{0, 0, 0, 0}}) {
    const Vector logp = log_softmax(logits);
    double shannon = 0, squares = 0, mean = 0;
    for (const double l : logp) shannon -= std::exp(l) * l, squares += std::exp(2 * l);
    const Weighting weighting;
    for (const double l : logp)
      mean += std::exp(l) *
              weighting.log_weight(Sequence<double>{.logp = l, .collision = std::log(squares)});
    EXPECT_NEAR(mean, -(shannon + std::log(squares)), kExact);
    EXPECT_LE(mean, 1e-15);
    if (logits[0] == 0) {
      EXPECT_NEAR(mean, 0, kExact);
    }
  }
}

TEST(ClosedForm, ValueSelmCoefficients) {
  const double beta = 0.3, alpha = 0.2;
  const Objective selm = objective_of("selm", {option("beta", beta), option("alpha", alpha)});
  const Vector ref = log_softmax({0.2, 0.9, -0.7});
  Row<double> row;
  row.branches = 3;
  for (int k = 0; k < 3; ++k)
    row.branch[k].logp = row.branch[k].ref_logp = ref[static_cast<size_t>(k)];
  const RowLoss<double> out = selm(row, {});
  EXPECT_NEAR(out.d_logp[2], alpha * beta, 1e-15);
  EXPECT_NEAR(out.d_logp[0], -beta / 2, 1e-15);
  EXPECT_NEAR(out.d_logp[1], beta / 2, 1e-15);
  // y is the chosen response: the two pulls meet in its logit.
  const Arms arms{.ref_logp = ref};
  const Vector gradient = arms_loss(selm, arms, {{.arm = {0, 1, 0}, .branches = 3}}, ref).gradient;
  const double pull = -beta / 2 + alpha * beta, push = beta / 2;
  for (size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(gradient[i],
                (i == 0   ? pull
                 : i == 1 ? push
                          : 0) -
                    (pull + push) * std::exp(ref[i]),
                1e-15);
  // y ~ pi_ref, in expectation: alpha beta (pi_ref - pi), nothing at the reference.
  const Vector logp = log_softmax({1, 0, 0.5});
  std::vector<Choice> rows;
  for (int y = 0; y < 3; ++y)
    rows.push_back(
        {.arm = {1, 1, y}, .branches = 3, .weight = std::exp(ref[static_cast<size_t>(y)])});
  const Vector away = arms_loss(selm, arms, rows, logp).gradient,
               at = arms_loss(selm, arms, rows, ref).gradient;
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(away[i], alpha * beta * (std::exp(ref[i]) - std::exp(logp[i])), 1e-15);
    EXPECT_NEAR(at[i], 0, 1e-15);
  }
}

// One step of SPPO with all responses of pi_t as data: log pi' / pi_t = eta (P - 1/2) + const, up to
// eta^2.
TEST(ClosedForm, ValueSppoSmallStep) {
  const World world;
  Vector wins(6);
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j)
      wins[static_cast<size_t>(i)] +=
          std::exp(world.arms.ref_logp[static_cast<size_t>(j)]) * (i == j ? 0.5 : world.wins(i, j));
  const Arms arms{.ref_logp = world.arms.ref_logp, .win_probability = wins};
  const auto rows = all_pairs(6, [](int, int) { return 1.0; });
  const auto deviation = [&](double eta) {
    const Vector logp = optimum(objective_of("sppo", {option("beta", 1 / eta)}), arms, rows);
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < 6; ++i) {
      const double rest = logp[i] - arms.ref_logp[i] - eta * (wins[i] - 0.5);
      low = std::min(low, rest), high = std::max(high, rest);
    }
    return high - low;
  };
  EXPECT_LT(deviation(1e-3), 1e-7);
  EXPECT_NEAR(deviation(2e-3) / deviation(1e-3), 4, 0.05) << "the rest falls with the square";
  EXPECT_LT(deviation(1e-5), kExact);
}

TEST(ClosedForm, ValueProOfTwo) {
  const double scores = 1.3;
  Arms arms{.ref_logp = log_softmax({0.3, -0.2}), .num_tokens = {3, 2}, .score = {scores, 0}};
  const std::vector<Choice> rows = {{.arm = {0, 1}}};
  const Objective pro = objective_of("pro", {option("nll_weight", 0.0)});
  for (const Vector& logits : {Vector{0, 0}, Vector{1.5, -0.5}, Vector{-2, 1}}) {
    const Vector logp = log_softmax(logits);
    const double u = scores * (logp[0] / 3 - logp[1] / 2);
    const LossGradient got = arms_loss(pro, arms, rows, logits);
    EXPECT_NEAR(got.loss, std::log1p(std::exp(-u)), kExact);
    const double slope = -sigmoid_of(-u) * scores;
    const double pull = slope / 3 - slope / 2;
    EXPECT_NEAR(got.gradient[0], slope / 3 - pull * std::exp(logp[0]), kExact);
  }
}

// Objectives that become another one, over a whole data set, loss and gradient.
TEST(ClosedForm, InvariantReductions) {
  const World world;
  const auto rows = all_pairs(6, [&](int i, int j) { return world.wins(i, j); });
  const Vector logits = {0.4, -0.3, 0.8, 0.1, -0.9, 0.2};
  const auto same = [&](const Objective& a, const Objective& b) {
    const LossGradient x = arms_loss(a, world.arms, rows, logits),
                       y = arms_loss(b, world.arms, rows, logits);
    EXPECT_NEAR(x.loss, y.loss, 1e-14) << a.name() << " and " << b.name();
    expect_near(x.gradient, y.gradient, 1e-14);
  };
  const Objective dpo = objective_of("dpo", {option("beta", 0.4)});
  same(objective_of("robust", {option("beta", 0.4), option("label_smoothing", 0.0)}), dpo);
  same(objective_of("dpo", {option("beta", 0.4), option("label_smoothing", 0.0)}), dpo);
  same(objective_of("r_dpo", {option("beta", 0.4), option("alpha", 0.0)}), dpo);
  same(objective_of("logo", {option("beta", 2.0), option("gamma_beta_ratio", 0.3)}),
       objective_of("simpo", {option("beta", 2.0), option("gamma_beta_ratio", 0.3)}));
  // LongPO where the long prompt is the short one: lambda DPO + NLL. SFT is a token mean.
  const Objective sum(std::vector<WeightedTerm>{{make_term("dpo"), 0.01}, {make_term("sft"), 1}});
  const LossGradient both = arms_loss(sum, world.arms, rows, logits),
                     pair = arms_loss(objective_of("dpo"), world.arms, rows, logits),
                     nll = arms_loss(objective_of("sft"), world.arms, rows, logits);
  for (size_t i = 0; i < 6; ++i)
    EXPECT_NEAR(both.gradient[i], 0.01 * pair.gradient[i] + nll.gradient[i], 1e-14);
}

// Rock, paper, scissors: no reward explains it. DPO's best is the reference, at the loss of a coin;
// SPPO's average iterate approaches the even strategy while its last one keeps circling.
TEST(ClosedForm, ValueRockPaperScissors) {
  const Wins beats = [](int i, int j) { return i == j ? 0.5 : (i - j + 3) % 3 == 1 ? 0.9 : 0.1; };
  const Arms flat{.ref_logp = log_softmax({std::log(0.8), std::log(0.1), std::log(0.1)})};
  const Objective dpo = objective_of("dpo", {option("beta", 0.5)});
  const auto rows = all_pairs(3, beats);
  expect_near(optimum(dpo, flat, rows), flat.ref_logp);
  EXPECT_NEAR(arms_loss(dpo, flat, rows, flat.ref_logp).loss, std::log(2.0), kExact);

  const auto exploitability = [&](const Vector& pi) {
    double most = 0;
    for (int i = 0; i < 3; ++i) {
      double win = 0;
      for (int j = 0; j < 3; ++j) win += pi[static_cast<size_t>(j)] * beats(i, j);
      most = std::max(most, win - 0.5);
    }
    return most;
  };
  const Objective sppo = objective_of("sppo", {option("beta", 1 / 0.2)});
  Vector pi = {0.8, 0.1, 0.1}, sum(3);
  double early_average = 0, late_last = 0;
  constexpr int kIterations = 1500;
  for (int t = 1; t <= kIterations; ++t) {
    Arms arms{.ref_logp = {std::log(pi[0]), std::log(pi[1]), std::log(pi[2])},
              .win_probability = Vector(3)};
    std::vector<Choice> drawn;
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) {
        arms.win_probability[static_cast<size_t>(i)] += pi[static_cast<size_t>(j)] * beats(i, j);
        drawn.push_back(
            {.arm = {i, j}, .weight = pi[static_cast<size_t>(i)] * pi[static_cast<size_t>(j)]});
      }
    const Vector next = optimum(sppo, arms, drawn);
    for (size_t i = 0; i < 3; ++i) pi[i] = std::exp(next[i]), sum[i] += pi[i];
    Vector average = sum;
    for (double& x : average) x /= t;
    if (t == 20) early_average = exploitability(average);
    if (t > kIterations - 100) late_last = std::max(late_last, exploitability(pi));
    if (t == kIterations) {
      EXPECT_LT(exploitability(average), 0.02);
      EXPECT_LT(exploitability(average), early_average / 4);
    }
  }
  EXPECT_GT(late_last, 0.2);
}

}  // namespace
}  // namespace pref::experiments
