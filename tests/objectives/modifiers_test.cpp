// SPDX-License-Identifier: Apache-2.0
// WPO's weight and f-divergences: by hand, on every objective of the list, and where refused.
#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <set>

#include "libpref/objectives/objective.h"
#include "tests/objectives/objective_test_util.h"
#include "tests/reference/finite_difference.h"
#include "tests/reference/objective_reference.h"

namespace pref {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::numbers_of;
using testing::Random;
using testing::random_row;
using testing::randomize;
using testing::values_of;

constexpr double kLog15 = 0.20141327798275246, kRest15 = 0.18242552380635635;

// h_w = 2, h_l = -1; log w sampled: -0.5 + 0.75 = 0.25 and -1.5 + 0.5 = -1; greedy: 0.25 less each.
Row<double> pair() {
  Row<double> row;
  row.branch[0] = {
      .logp = -4, .ref_logp = -6, .num_tokens = 8, .collision = -0.75, .max_logp = -0.5};
  row.branch[1] = {
      .logp = -9, .ref_logp = -8, .num_tokens = 6, .collision = -0.5, .max_logp = -0.25};
  return row;
}

Objective weighted(Term term, Weighting weighting) {
  return Objective({{std::move(term), 1}}, {.weighting = weighting});
}
Objective bent(Term term, Divergence divergence) {
  return Objective({{std::move(term), 1}}, {.divergence = divergence});
}

TEST(WeightingTest, Value) {
  EXPECT_NEAR(Weighting{}(pair()), std::exp(-0.75), 1e-15);
  EXPECT_NEAR(Weighting{.alignment = Alignment::greedy}(pair()), std::exp(-1.25), 1e-15);
  EXPECT_NEAR(Weighting{.alignment = Alignment::none}(pair()), std::exp(-2.0), 1e-15);
  // One side alone: the chosen response's weight e^0.25 exceeds 1 and is clamped.
  EXPECT_EQ(Weighting{.weight_side = WeightSide::chosen}(pair()), 1);
  EXPECT_NEAR((Weighting{.clamp = WeightClamp::none, .weight_side = WeightSide::chosen}(pair())),
              std::exp(0.25), 1e-15);
  EXPECT_NEAR(Weighting{.weight_side = WeightSide::rejected}(pair()), std::exp(-1.0), 1e-15);
}

TEST(WeightingTest, ClampsTheProductNotTheFactors) {
  // Factors e^0.25 and e^-1: clamped one by one the product would be e^-1.
  EXPECT_NEAR(Weighting{}(pair()), std::exp(-0.75), 1e-15);
  Row<double> confident = pair();
  confident.branch[1].collision = -2;  // factor e^0.5
  EXPECT_EQ(Weighting{}(confident), 1);
  EXPECT_NEAR(Weighting{.clamp = WeightClamp::none}(confident), std::exp(0.75), 1e-14);
}

TEST(WeightingTest, ValueOfADPOPair) {
  const double w = std::exp(-0.75);
  const RowLoss<double> out = weighted(DPO{.beta = 0.5}, {})(pair(), {});
  EXPECT_NEAR(out.loss, w * kLog15, 1e-15);
  EXPECT_NEAR(out.d_logp[0], -0.5 * w * kRest15, 1e-16) << "the weight carries no gradient";
  EXPECT_EQ(out.d_logp[1], -out.d_logp[0]);
  EXPECT_EQ(out.reward[0], 1) << "rewards are not weighted";
  EXPECT_NEAR(out.pair_weight, w, 1e-16);
  EXPECT_EQ(Objective(DPO{})(pair(), {}).pair_weight, 1);
}

TEST(WeightingTest, WeightsTheSmoothedBranchTooAndLeavesCrossEntropy) {
  const double w = std::exp(-0.75);
  EXPECT_NEAR(weighted(DPO{.beta = 0.5, .label_smoothing = 0.2}, {})(pair(), {}).loss,
              w * (kLog15 + 0.3), 1e-15);
  const Objective rpo({{DPO{.beta = 0.5}, 1}, {SFT{}, 0.5}}, {.weighting = Weighting{}});
  const RowLoss<double> out = rpo(pair(), {1, 8});
  EXPECT_NEAR(out.loss, w * kLog15 + 0.5 * 4 / 8, 1e-15);
  EXPECT_NEAR(out.d_logp[0], -0.5 * w * kRest15 - 0.5 / 8, 1e-16);
}

TEST(WeightingTest, OrderOfTheAlignments) {
  // log sum p^2 <= log max p <= 0, so w_none <= w_greedy <= w_sampled, and only the last exceeds 1.
  // On-policy the mean of log p - log sum p^2 is -(Shannon - collision entropy) <= 0.
  Random random;
  for (int i = 0; i < 200; ++i) {
    std::array<double, 5> p{};
    double total = 0;
    for (double& x : p) total += x = std::exp(2 * random.normal());
    double square = 0, most = 0, shannon = 0, aligned = 0;
    for (double& x : p) {
      x /= total;
      square += x * x;
      most = std::max(most, x);
      shannon -= x * std::log(x);
    }
    for (const double x : p) {
      const Sequence<double> s{
          .logp = std::log(x), .collision = std::log(square), .max_logp = std::log(most)};
      const double none = Weighting{.alignment = Alignment::none}.log_weight(s),
                   greedy = Weighting{.alignment = Alignment::greedy}.log_weight(s),
                   sampled = Weighting{}.log_weight(s);
      EXPECT_LE(none, greedy);
      EXPECT_LE(greedy, sampled);
      EXPECT_LE(greedy, 1e-15);
      aligned += x * sampled;
    }
    EXPECT_NEAR(aligned, -(shannon + std::log(square)), 1e-14);
    EXPECT_LE(aligned, 1e-15);
  }
}

TEST(WeightingTest, NeedsWhatItReads) {
  EXPECT_TRUE(has(weighted(DPO{}, {}).needs(), Needs::collision));
  EXPECT_FALSE(has(weighted(DPO{}, {}).needs(), Needs::max_logp));
  EXPECT_TRUE(has(weighted(DPO{}, {.alignment = Alignment::greedy}).needs(), Needs::max_logp));
  const Needs none = weighted(SimPO{}, {.alignment = Alignment::none}).needs();
  EXPECT_EQ(none, Needs::nothing);
  EXPECT_EQ(weighted(DPO{}, {}).name(), "wpo(dpo)");
}

TEST(WeightingTest, EveryObjectiveTakesOrRefusesIt) {
  Random random;
  int taken = 0, refused = 0;
  for_each_objective([&](auto term) {
    SCOPED_TRACE(term.name);
    if (!has(term.accepts, Accepts::weighting)) {
      const std::string text = error_of(ErrorKind::option, [&] { weighted(term, {}); });
      EXPECT_THAT(text, HasSubstr(term.min_branches < 2 || has(term.needs, Needs::label)
                                      ? "no term compares"
                                      : "has no place"));
      ++refused;
      return;
    }
    ++taken;
    for (int i = 0; i < 50; ++i) {
      Weighting weighting;
      randomize(weighting, random);
      Row<double> row = random_row(random, 2);
      row.margin = 0;
      const RowLoss<double> plain = Objective(term)(row, {3, 1}),
                            out = weighted(term, weighting)(row, {3, 1});
      const double w = weighting(row);
      EXPECT_DOUBLE_EQ(out.loss, w * plain.loss);
      for (int k = 0; k < 2; ++k) EXPECT_DOUBLE_EQ(out.d_logp[k], w * plain.d_logp[k]);
      EXPECT_EQ(out.pair_weight, w);
    }
  });
  EXPECT_GE(taken, 18);
  EXPECT_GE(refused, 6);
}

TEST(WeightingTest, FiniteAtExtremes) {
  Row<double> row = pair();
  for (const double chosen : {0.0, -1e6, 1e6}) {
    for (const double n : {1.0, 1e4}) {
      row.branch[0].logp = chosen;
      row.branch[0].num_tokens = n;
      for (const auto clamp : {WeightClamp::product, WeightClamp::none}) {
        const RowLoss<double> out = weighted(DPO{}, {.clamp = clamp})(row, {});
        EXPECT_TRUE(std::isfinite(out.loss) && std::isfinite(out.d_logp[0])) << chosen;
        EXPECT_GE(out.pair_weight, 0);
      }
    }
  }
}

TEST(DivergenceTest, Value) {
  // At h = log 2 = -log(1/2); all have phi(0) = 0 and slope 1 (js: 1/2) there.
  const double h = std::log(2.0);
  const auto expect = [](ValueSlope<double> f, double value, double slope) {
    EXPECT_NEAR(f.value, value, 1e-15);
    EXPECT_NEAR(f.slope, slope, 1e-15);
  };
  expect(Divergence{}(h), h, 1);
  expect(Divergence{.f_divergence_type = FDivergence::forward_kl}(h), 0.5, 0.5);
  // log 2 + log(2/3), 1/3.
  expect(Divergence{.f_divergence_type = FDivergence::js_divergence}(h), std::log(4.0 / 3),
         1.0 / 3);
  // a = 1/2: (2^-1/2 - 1) / (-1/2), 2^-1/2.
  const auto alpha = FDivergence::alpha_divergence;
  expect(Divergence{.f_divergence_type = alpha}(h), 2 - std::sqrt(2.0), std::sqrt(0.5));
  // a = 3: (4 - 1) / 2, 4; a = 1: reverse KL; a = 0: forward KL.
  expect(Divergence{.f_divergence_type = alpha, .f_alpha_divergence_coef = 3}(h), 1.5, 4);
  expect(Divergence{.f_divergence_type = alpha, .f_alpha_divergence_coef = 1}(h), h, 1);
  expect(Divergence{.f_divergence_type = alpha, .f_alpha_divergence_coef = 0}(h), 0.5, 0.5);
  // The exponent stops at 80.
  expect(Divergence{.f_divergence_type = FDivergence::forward_kl}(-1e6), 1 - std::exp(80.0), 0);
}

TEST(DivergenceTest, ValueOfADPOPair) {
  // forward_kl: phi(2) - phi(-1) = e - e^-2; u half of it; slopes e^-2 and e^1.
  const double u = 0.5 * (std::exp(1.0) - std::exp(-2.0)), rest = 1 / (1 + std::exp(u));
  const Objective objective =
      bent(DPO{.beta = 0.5}, {.f_divergence_type = FDivergence::forward_kl});
  const RowLoss<double> out = objective(pair(), {});
  EXPECT_NEAR(out.loss, std::log1p(std::exp(-u)), 1e-15);
  EXPECT_NEAR(out.d_logp[0], -0.5 * rest * std::exp(-2.0), 1e-15);
  EXPECT_NEAR(out.d_logp[1], 0.5 * rest * std::exp(1.0), 1e-15);
  EXPECT_NEAR(out.reward[0], 0.5 * (1 - std::exp(-2.0)), 1e-15) << "the reward of that divergence";
  EXPECT_EQ(objective.name(), "forward_kl(dpo)");
  EXPECT_TRUE(has(objective.needs(), Needs::reference));
}

TEST(DivergenceTest, MatchesReferenceAndGradient) {
  // Losses of a difference with f'(pi / pi_ref) for h, as the paper writes f'.
  using reference::Real;
  Random random;
  int taken = 0;
  for_each_objective([&](auto term) {
    if (!has(term.accepts, Accepts::divergence)) return;
    SCOPED_TRACE(term.name);
    ++taken;
    for (int i = 0; i < 200; ++i) {
      randomize(term, random);
      Divergence divergence;
      for (const auto type : values_of(divergence.f_divergence_type, any())) {
        divergence.f_divergence_type = type;
        Row<double> row = random_row(random, 2);
        row.weight = 1;
        if (!has(term.accepts, Accepts::margin)) row.margin = 0;
        // Log-ratios of a few nats.
        for (int k = 0; k < 2; ++k)
          row.branch[k].ref_logp = row.branch[k].logp + random.uniform(-2, 2);
        reference::ObjectiveRow plain;
        const auto slope_of_f = [&](Real t) {
          const Real a = divergence.f_alpha_divergence_coef;
          return type == FDivergence::reverse_kl      ? std::log(t) + 1
                 : type == FDivergence::forward_kl    ? -1 / t
                 : type == FDivergence::js_divergence ? std::log(2 * t / (1 + t))
                                                      : (std::pow(t, a - 1) - 1) / (a - 1);
        };
        // Constants of f' cancel in a difference, but not in one of means by length.
        const bool by_length =
            std::string(term.name) == "ipo" || std::string(term.name) == "sigmoid_norm";
        for (int k = 0; k < 2; ++k) {
          const Real t = std::exp(Real(row.branch[k].logp) - row.branch[k].ref_logp);
          plain.logp.push_back(slope_of_f(t) - (by_length ? slope_of_f(1) : 0));
          plain.ref.push_back(0);
          plain.n.push_back(row.branch[k].num_tokens);
          plain.win.push_back(row.branch[k].win_probability);
          plain.score.push_back(0);
        }
        plain.margin = row.margin;
        const Objective objective = bent(term, divergence);
        const double expected = static_cast<double>(
            reference::objective_losses().at(term.name)(numbers_of(term), plain));
        EXPECT_NEAR(objective(row, {}).loss, expected, 1e-11 * (1 + std::abs(expected)));
        const RowLoss<double> out = objective(row, {});
        const auto loss = [&](const std::vector<double>& x) {
          Row<double> moved = row;
          for (int k = 0; k < 2; ++k) moved.branch[k].logp = x[static_cast<size_t>(k)];
          return objective(moved, {}).loss;
        };
        for (int k = 0; k < 2; ++k) {
          const std::vector<double> at = {row.branch[0].logp, row.branch[1].logp};
          std::vector<double> below = at, above = at;
          below[static_cast<size_t>(k)] -= 1e-4;
          above[static_cast<size_t>(k)] += 1e-4;
          if ((loss(below) == 0) != (loss(above) == 0)) continue;  // the hinge's kink
          EXPECT_NEAR(out.d_logp[k],
                      reference::five_point_difference(loss, at, static_cast<size_t>(k), 5e-5),
                      1e-6 * std::abs(out.d_logp[k]) + 2e-11 * (1 + std::abs(out.loss)));
        }
      }
    }
  });
  EXPECT_GE(taken, 8);
}

TEST(DivergenceTest, FiniteAtExtremes) {
  for_each_objective([&](auto term) {
    if (!has(term.accepts, Accepts::divergence)) return;
    for (const auto type : values_of(FDivergence{}, any())) {
      Row<double> row = pair();
      row.branch[0].win_probability = row.branch[1].win_probability = 0.5;
      for (const double chosen : {0.0, -1e6, 1e6}) {
        for (const double rejected : {0.0, -1e6, 1e6}) {
          row.branch[0].logp = chosen;
          row.branch[1].logp = rejected;
          const RowLoss<double> out = bent(term, {.f_divergence_type = type})(row, {});
          EXPECT_TRUE(std::isfinite(out.loss) && std::isfinite(out.d_logp[0]) &&
                      std::isfinite(out.d_logp[1]))
              << term.name << " " << chosen << " " << rejected;
        }
      }
    }
  });
}

TEST(DivergenceTest, RejectsLossesThatAreNoDifference) {
  const Divergence js{.f_divergence_type = FDivergence::js_divergence};
  for (const char* name : {"nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "sppo",
                           "simpo", "orpo", "selm", "pro"})
    EXPECT_THAT(error_of(ErrorKind::option, [&] { bent(make_term(name), js); }),
                HasSubstr("has no place in this loss"))
        << name;
  EXPECT_THAT(error_of(ErrorKind::option, [&] { bent(SFT{}, js); }), HasSubstr("no effect"));
  EXPECT_NO_THROW(bent(APOZero{}, {})) << "reverse_kl is the loss as it is";
  EXPECT_NO_THROW(Objective({{DPO{}, 1}, {SFT{}, 1}}, {.divergence = js}));
}

TEST(DivergenceTest, RejectsACoefficientWithoutEffect) {
  for (const auto type : {FDivergence::reverse_kl, FDivergence::js_divergence})
    EXPECT_THAT(
        error_of(ErrorKind::option,
                 [&] { bent(DPO{}, {.f_divergence_type = type, .f_alpha_divergence_coef = 2}); }),
        HasSubstr("f_alpha_divergence_coef"));
}

TEST(ModifiersTest, ActTogether) {
  const Divergence js{.f_divergence_type = FDivergence::js_divergence};
  const Objective both({{DPO{.beta = 0.5}, 2}, {SFT{}, 1}},
                       {.weighting = Weighting{}, .divergence = js});
  const double w = std::exp(-0.75);
  const RowLoss<double> dpo = bent(DPO{.beta = 0.5}, js)(pair(), {}), out = both(pair(), {1, 8});
  EXPECT_NEAR(out.loss, 2 * w * dpo.loss + 0.5, 1e-15);
  EXPECT_NEAR(out.d_logp[1], 2 * w * dpo.d_logp[1], 1e-16);
  EXPECT_EQ(both.name(), "wpo(js_divergence(dpo+sft))");
}

TEST(ModifiersTest, EveryOptionChangesLossOrGradient) {
  Random random;
  std::vector<Row<double>> rows;
  for (int i = 0; i < 20; ++i) {  // pairs with weights below and above 1
    rows.push_back(random_row(random, 2));
    rows.back().branch[0].collision -= i % 4;
  }
  std::set<std::string> seen;
  const auto walk = [&](auto modifier, const auto& objective_with) {
    const Objective before = objective_with(modifier);
    decltype(modifier)::fields(
        modifier, [&](const char* name, auto& value, const Range& range, const char*) {
          const auto was = value;
          for (const auto other : values_of(value, range)) {
            if (other == was) continue;
            value = other;
            const Objective after = objective_with(modifier);
            bool differs = false;
            for (const auto& row : rows) {
              const RowLoss<double> a = after(row, {}), b = before(row, {});
              differs = differs || a.loss != b.loss || a.reward[0] != b.reward[0];
            }
            EXPECT_TRUE(differs) << name;
          }
          value = was;
          seen.insert(name);
        });
  };
  walk(Weighting{}, [](Weighting w) { return weighted(DPO{}, w); });
  walk(Divergence{.f_divergence_type = FDivergence::alpha_divergence}, [](Divergence d) {
    if (d.f_divergence_type != FDivergence::alpha_divergence)
      d.f_alpha_divergence_coef = Divergence{}.f_alpha_divergence_coef;
    return bent(SigmoidNorm{}, d);  // whose means feel the constant
  });
  walk(Averaging{}, [](Averaging average) {
    return Objective({{DPO{}, 1}}, {.average = average});
  });
  EXPECT_EQ(seen.size(), 8u);
}

}  // namespace
}  // namespace pref
