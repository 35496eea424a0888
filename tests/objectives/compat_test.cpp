// SPDX-License-Identifier: Apache-2.0
// What presets refuse and write out, and the variants of objectives that exist for them: means for
// sums, and f-divergences with TRL's constants and rewards. The presets' numbers are in
// compat_golden_test.cpp.
#include <gmock/gmock.h>

#include <cmath>

#include "libpref/objectives/compat.h"
#include "tests/objectives/objective_test_util.h"
#include "tests/reference/finite_difference.h"

namespace pref {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::Random;
using testing::random_row;
using testing::randomize;

using Words = std::vector<std::pair<std::string, std::string>>;

std::vector<Setting> settings_of(const Words& words) {
  std::vector<Setting> out;
  for (const auto& [name, text] : words) out.push_back({name, text, {"run.yaml:1:1"}});
  return out;
}

Objective preset(Compat compat, std::vector<std::string> loss_type, const Words& words = {},
                 bool weighting = false) {
  ObjectiveChoice choice{.loss_type = std::move(loss_type), .weighting = weighting};
  std::vector<Setting> settings = settings_of(words);
  apply_compat(compat, CompatTrainer::dpo, choice, settings);
  return make_objective(choice, settings);
}

std::string refusal(Compat compat, std::vector<std::string> loss_type, const Words& words = {}) {
  return error_of(ErrorKind::option, [&] { preset(compat, std::move(loss_type), words); });
}

// h_w = 2 over 8 tokens, h_l = -1 over 4.
Row<double> pair() {
  Row<double> row;
  row.branch[0] = {.logp = -4, .ref_logp = -6, .num_tokens = 8, .collision = -0.75};
  row.branch[1] = {.logp = -9, .ref_logp = -8, .num_tokens = 4, .collision = -0.5};
  return row;
}

double log1p_exp(double x) { return std::log1p(std::exp(x)); }

TEST(CompatTest, ValueOfSmoothedDPOByVersion) {
  const Words words = {{"beta", "0.5"}, {"label_smoothing", "0.2"}};
  const double u = 1.5, expected = 0.8 * log1p_exp(-u) + 0.2 * log1p_exp(u);
  for (const auto compat : {Compat::trl_0_9, Compat::trl_0_28})
    EXPECT_NEAR(preset(compat, {"sigmoid"}, words)(pair(), {}).loss, expected, 1e-15);
  const std::string text = refusal(Compat::trl_1_9, {"sigmoid"}, words);
  EXPECT_THAT(text, HasSubstr("run.yaml:1:1"));
  EXPECT_THAT(text, HasSubstr("reads it in robust, exo_pair, aot, aot_unpaired"));
}

TEST(CompatTest, ValueOfIPOByVersion) {
  // beta 1/2: the target is 1; means 2/8 and -1/4. The older versions show mean rewards.
  const Words words = {{"beta", "0.5"}};
  for (const auto compat : {Compat::trl_0_9, Compat::trl_0_28, Compat::trl_1_9}) {
    const RowLoss<double> out = preset(compat, {"ipo"}, words)(pair(), {});
    EXPECT_NEAR(out.loss, 0.25, 1e-15);
    EXPECT_NEAR(out.d_logp[0], 2 * -0.5 / 8, 1e-15);
    EXPECT_NEAR(out.d_logp[1], -2 * -0.5 / 4, 1e-15);
    EXPECT_NEAR(out.reward[0], compat == Compat::trl_1_9 ? 1 : 0.125, 1e-15);
  }
  // And in a list every pair loss of 0.28 sees means.
  const double u = 0.5 * (0.25 + 0.25);
  EXPECT_NEAR(preset(Compat::trl_0_28, {"sigmoid", "ipo"}, words)(pair(), {}).loss,
              log1p_exp(-u) + 0.25, 1e-15);
  EXPECT_NEAR(preset(Compat::trl_1_9, {"sigmoid", "ipo"}, words)(pair(), {}).loss,
              log1p_exp(-1.5) + 0.25, 1e-15);
}

TEST(CompatTest, ValueOfRPOByVersion) {
  // NLL: 4 nats over 8 tokens.
  const Words words = {{"beta", "0.5"}, {"rpo_alpha", "3"}};
  const double dpo = log1p_exp(-1.5), nll = 0.5;
  EXPECT_NEAR(preset(Compat::trl_0_9, {"sigmoid"}, words)(pair(), {1, 8}).loss, 3 * dpo + nll,
              1e-15);
  EXPECT_NEAR(preset(Compat::trl_0_28, {"sigmoid"}, words)(pair(), {1, 8}).loss, dpo + 3 * nll,
              1e-15);
  EXPECT_THAT(refusal(Compat::trl_1_9, {"sigmoid"}, words), HasSubstr("does not exist"));
}

TEST(CompatTest, ValueOfWPOByVersion) {
  // log w = -1/2 + 3/4 and -9/4 + 1/2; with a flatter policy both above 0.
  Row<double> confident = pair();
  confident.branch[1].collision = -3;
  const double product = std::exp(0.25 + 0.75);
  const Words words = {{"beta", "0.5"}, {"use_weighting", "true"}};
  EXPECT_EQ(preset(Compat::trl_0_28, {"sigmoid"}, words)(confident, {}).pair_weight, 1);
  EXPECT_NEAR(preset(Compat::trl_1_9, {"sigmoid"}, words)(confident, {}).pair_weight, product,
              1e-14);
  EXPECT_NEAR(preset(Compat::trl_1_9, {"sigmoid"}, {}, true)(confident, {}).pair_weight, product,
              1e-14)
      << "trainer: wpo";
  EXPECT_THAT(error_of(ErrorKind::option, [] { preset(Compat::trl_0_9, {"sigmoid"}, {}, true); }),
              HasSubstr("no use_weighting"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [] {
                         preset(Compat::trl_1_9, {"sigmoid"}, {{"use_weighting", "false"}}, true);
                       }),
              HasSubstr("trainer: wpo means it"));
}

TEST(CompatTest, ValueOfAlphaDivergenceByVersion) {
  // 0.9: (e^(-a h_l) - e^(-a h_w)) / a, a = 1 by default; 1.9: 1 - a, 1/2 by default.
  const Words words = {{"beta", "1"}, {"f_divergence_type", "alpha_divergence"}};
  const auto u = [](double a) { return (std::exp(a) - std::exp(-2 * a)) / a; };
  EXPECT_NEAR(preset(Compat::trl_0_9, {"sigmoid"}, words)(pair(), {}).loss, log1p_exp(-u(1)),
              1e-15);
  EXPECT_NEAR(preset(Compat::trl_1_9, {"sigmoid"}, words)(pair(), {}).loss, log1p_exp(-u(0.5)),
              1e-15);
  EXPECT_EQ(preset(Compat::trl_1_9, {"sigmoid"}, words)(pair(), {}).reward[0], 2) << "beta h";
  EXPECT_THAT(refusal(Compat::trl_0_28, {"sigmoid"}, words), HasSubstr("drops it on the way"));
  EXPECT_THAT(refusal(Compat::trl_0_9, {"sigmoid"}, {{"f_divergence_type", "forward_kl"}}),
              HasSubstr("no value forward_kl"));
  Words zero = words;
  zero.push_back({"f_alpha_divergence_coef", "0"});
  EXPECT_THAT(refusal(Compat::trl_0_9, {"sigmoid"}, zero), HasSubstr("divides"));
  EXPECT_THAT(refusal(Compat::trl_1_9, {"sigmoid"}, {{"f_alpha_divergence_coef", "0.3"}}),
              HasSubstr("without alpha_divergence"));
}

TEST(CompatTest, ValueOfSimPOAsCPOHasIt) {
  // beta 2, gamma 1/2: the margin is absolute; cpo_alpha 1 unless given.
  const auto loss = [](const Words& words) {
    ObjectiveChoice choice{.loss_type = {"simpo"}};
    std::vector<Setting> settings = settings_of(words);
    apply_compat(Compat::trl_1_9, CompatTrainer::simpo, choice, settings);
    return make_objective(choice, settings)(pair(), {1, 8}).loss;
  };
  const double u = 2 * (-0.5 + 2.25) - 0.5;
  EXPECT_NEAR(loss({{"beta", "2"}, {"cpo_alpha", "0"}}), log1p_exp(-u), 1e-15);
  EXPECT_NEAR(loss({{"beta", "2"}}), log1p_exp(-u) + 0.5, 1e-15);
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         loss({{"gamma_beta_ratio", "0.3"}});
                       }),
              HasSubstr("simpo_gamma"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         loss({{"truncation_mode", "keep_end"}});
                       }),
              HasSubstr("right end"));
}

TEST(CompatTest, RejectsWhatTheVersionHasNot) {
  EXPECT_THAT(refusal(Compat::trl_0_9, {"apo_zero"}), HasSubstr("no loss_type \"apo_zero\""));
  EXPECT_THAT(refusal(Compat::trl_0_28, {"sigmoid_norm"}), HasSubstr("no loss_type"));
  EXPECT_THAT(refusal(Compat::trl_1_9, {"aot_pair"}), HasSubstr("aot_unpaired"));
  EXPECT_THAT(refusal(Compat::trl_1_9, {"simpo"}), HasSubstr("no loss_type"));
  EXPECT_THAT(refusal(Compat::trl_0_9, {"sigmoid", "ipo"}), HasSubstr("lists came later"));
  EXPECT_THAT(refusal(Compat::trl_1_9, {"exo_pair"}), HasSubstr("above 0"));
  // libpref's own options have no place either.
  EXPECT_THAT(refusal(Compat::trl_1_9, {"ipo"}, {{"ipo_normalization", "sum"}}),
              HasSubstr("does not exist"));
  EXPECT_THAT(refusal(Compat::trl_1_9, {"bco_pair"}, {{"reward_shift", "running_mean"}}),
              HasSubstr("does not exist"));
}

TEST(CompatTest, RejectsWhatIsNotReproduced) {
  EXPECT_THAT(refusal(Compat::trl_0_28, {"sigmoid"}, {{"ld_alpha", "0.5"}}),
              HasSubstr("from the row's start"));
  for (const auto compat : {Compat::trl_0_28, Compat::trl_1_9})
    EXPECT_THAT(refusal(compat, {"sigmoid", "sft"}, {{"use_weighting", "true"}}),
                HasSubstr("beside a likelihood term"));
  EXPECT_THAT(refusal(Compat::trl_1_9, {"hinge"}, {{"use_weighting", "true"}}),
              HasSubstr("backward"));
  EXPECT_THAT(refusal(Compat::trl_1_9, {"apo_down"}, {{"f_divergence_type", "js_divergence"}}),
              HasSubstr("one half"));
}

struct Limits {
  std::optional<int64_t> max_length, max_prompt_length;
  std::string truncation_mode;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("max_length", self.max_length, any(), "");
    visit("max_prompt_length", self.max_prompt_length, any(), "");
    visit("truncation_mode", self.truncation_mode, any(), "");
  }
};

Limits limits(Compat compat, const Words& words) {
  ObjectiveChoice choice{.loss_type = {"sigmoid"}};
  std::vector<Setting> settings = settings_of(words);
  apply_compat(compat, CompatTrainer::dpo, choice, settings);
  make_objective(choice, settings);
  Limits out;
  apply_settings(out, settings);
  return out;
}

TEST(CompatTest, DataDefaultsGiveWayToTheUsersOwn) {
  EXPECT_EQ(limits(Compat::trl_0_9, {}).max_length, 512);
  EXPECT_EQ(limits(Compat::trl_0_9, {}).max_prompt_length, 128);
  EXPECT_EQ(limits(Compat::trl_0_28, {}).max_prompt_length, 512);
  EXPECT_EQ(limits(Compat::trl_0_28, {}).truncation_mode, "keep_end");
  EXPECT_EQ(limits(Compat::trl_1_9, {}).max_prompt_length, std::nullopt);
  const Limits own = limits(Compat::trl_0_28, {{"max_length", "300"}});
  EXPECT_EQ(own.max_length, 300);
  EXPECT_EQ(own.max_prompt_length, 512);
  // 0.9's keep_end is about the prompt, which max_prompt_length cuts on the left anyway.
  EXPECT_EQ(limits(Compat::trl_0_9, {{"truncation_mode", "keep_end"}}).truncation_mode,
            "keep_start");
  EXPECT_THAT(error_of(ErrorKind::option,
                       [] {
                         limits(Compat::trl_0_9, {{"truncation_mode", "keep_start"}});
                       }),
              HasSubstr("keep_end alone"));
}

TEST(CompatTest, NoneChangesNothing) {
  ObjectiveChoice choice{.loss_type = {"ipo"}};
  std::vector<Setting> settings = settings_of({{"ipo_normalization", "sum"}});
  apply_compat(Compat::none, CompatTrainer::dpo, choice, settings);
  EXPECT_EQ(settings.size(), 1u);
  EXPECT_EQ(choice.loss_type, std::vector<std::string>{"ipo"});
  EXPECT_TRUE(compat_data_defaults(Compat::none, CompatTrainer::dpo).empty());
}

// ---- means for sums

Objective averaged(Term term) {
  return Objective({{std::move(term), 1}}, {.average = Averaging{.average_log_prob = true}});
}

TEST(AverageTest, IsTheLossOfMeansOnEveryObjectiveThatTakesIt) {
  Random random;
  int taken = 0, refused = 0;
  for_each_objective([&]<class T>(T term) {
    SCOPED_TRACE(term.name);
    if (!has(T::accepts, Accepts::average)) {
      error_of(ErrorKind::option, [&] { averaged(term); });
      ++refused;
      return;
    }
    ++taken;
    for (int i = 0; i < 50; ++i) {
      randomize(term, random);
      if constexpr (requires { term.ipo_normalization; }) term.ipo_normalization = {};
      Row<double> row = random_row(random, 2);
      row.margin = 0;
      Row<double> means = row;
      for (int k = 0; k < 2; ++k) {
        means.branch[k].logp /= row.branch[k].num_tokens;
        means.branch[k].ref_logp /= row.branch[k].num_tokens;
        means.branch[k].num_tokens = 1;
      }
      const RowLoss<double> out = averaged(term)(row, {}), expected = Objective(term)(means, {});
      EXPECT_NEAR(out.loss, expected.loss, 1e-13 * (1 + std::abs(expected.loss)));
      for (int k = 0; k < 2; ++k) {
        EXPECT_NEAR(out.d_logp[k], expected.d_logp[k] / row.branch[k].num_tokens,
                    1e-13 * (1 + std::abs(out.d_logp[k])));
        EXPECT_NEAR(out.reward[k], expected.reward[k], 1e-13);
      }
    }
  });
  EXPECT_GE(taken, 13);
  EXPECT_GE(refused, 10);
  EXPECT_EQ(averaged(DPO{}).name(), "mean(dpo)");
}

TEST(AverageTest, CouplesMeans) {
  // The running mean of bco_pair and the sort of aot are those of means, too.
  Random random;
  std::vector<Row<double>> rows, means;
  for (int i = 0; i < 6; ++i) {
    rows.push_back(random_row(random, 2));
    rows.back().margin = 0;
    means.push_back(rows.back());
    for (int k = 0; k < 2; ++k) {
      means.back().branch[k].logp /= rows.back().branch[k].num_tokens;
      means.back().branch[k].ref_logp /= rows.back().branch[k].num_tokens;
    }
  }
  for (const Term& term : {Term(AOT{}), Term(AOTUnpaired{}),
                           Term(BCOPair{.reward_shift = RewardShift::running_mean})}) {
    CouplingState a, b;
    averaged(term).couple(rows, a);
    Objective({{term, 1}}).couple(means, b);
    for (size_t i = 0; i < rows.size(); ++i)
      for (int k = 0; k < 2; ++k)
        EXPECT_NEAR(rows[i].branch[k].coupled, means[i].branch[k].coupled, 1e-14);
    EXPECT_NEAR(a.mean, b.mean, 1e-14);
  }
}

TEST(AverageTest, RejectsTheOptionThatItMakesIdle) {
  EXPECT_THAT(error_of(ErrorKind::option,
                       [] { averaged(IPO{.ipo_normalization = IPONormalization::sum}); }),
              HasSubstr("ipo_normalization"));
}

// ---- TRL's constants and rewards

Objective bent(Term term, Divergence divergence) {
  return Objective({{std::move(term), 1}}, {.divergence = divergence});
}

Divergence dropped(FDivergence type, double coefficient = 0.5) {
  return {.f_divergence_type = type,
          .f_alpha_divergence_coef = coefficient,
          .f_divergence_constant = DivergenceConstant::dropped};
}

TEST(DivergenceConstantTest, Value) {
  const double h = std::log(2.0);
  EXPECT_NEAR(dropped(FDivergence::forward_kl)(h).value, -0.5, 1e-15);
  EXPECT_NEAR(dropped(FDivergence::js_divergence)(h).value, std::log(2.0 / 3), 1e-15);
  EXPECT_NEAR(dropped(FDivergence::alpha_divergence)(h).value, -std::sqrt(2.0), 1e-15);
  EXPECT_EQ(dropped(FDivergence::alpha_divergence, 1 + 1e-7)(h).value, h);
  Random random;
  for (const auto type :
       {FDivergence::forward_kl, FDivergence::js_divergence, FDivergence::alpha_divergence}) {
    const Divergence without = dropped(type);
    Divergence with = without;
    with.f_divergence_constant = DivergenceConstant::zero_at_start;
    const double constant = with(0.0).value - without(0.0).value;
    EXPECT_EQ(with(0.0).value, 0);
    for (int i = 0; i < 50; ++i) {
      const double x = random.uniform(-3, 3);
      EXPECT_NEAR(with(x).value - without(x).value, constant, 1e-13);
      EXPECT_EQ(with(x).slope, without(x).slope);
    }
  }
}

TEST(DivergenceConstantTest, GradientOfTheLossesThatFeelIt) {
  Random random;
  int taken = 0;
  for_each_objective([&]<class T>(T term) {
    if (!has(T::accepts, Accepts::divergence_constant)) return;
    SCOPED_TRACE(term.name);
    ++taken;
    for (const auto type :
         {FDivergence::forward_kl, FDivergence::js_divergence, FDivergence::alpha_divergence}) {
      const Objective objective = bent(term, dropped(type));
      Row<double> row = random_row(random, 2);
      row.margin = 0;
      for (int k = 0; k < 2; ++k)
        row.branch[k].ref_logp = row.branch[k].logp + random.uniform(-2, 2);
      const auto loss = [&](const std::vector<double>& x) {
        Row<double> moved = row;
        for (int k = 0; k < 2; ++k) moved.branch[k].logp = x[static_cast<size_t>(k)];
        return objective(moved, {}).loss;
      };
      const std::vector<double> at = {row.branch[0].logp, row.branch[1].logp};
      const RowLoss<double> out = objective(row, {});
      for (int k = 0; k < 2; ++k)
        EXPECT_NEAR(out.d_logp[k],
                    reference::five_point_difference(loss, at, static_cast<size_t>(k), 5e-5),
                    1e-6 * std::abs(out.d_logp[k]) + 2e-11 * (1 + std::abs(out.loss)));
    }
  });
  EXPECT_EQ(taken, 5);
}

TEST(DivergenceConstantTest, RejectsWhereItDoesNothing) {
  const Divergence js = dropped(FDivergence::js_divergence);
  EXPECT_THAT(error_of(ErrorKind::option, [&] { bent(DPO{}, js); }), HasSubstr("cancel"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] { bent(IPO{.ipo_normalization = IPONormalization::sum}, js); }),
              HasSubstr("cancel"));
  EXPECT_THAT(error_of(ErrorKind::option, [&] { bent(APOZero{}, js); }), HasSubstr("no place"));
  EXPECT_THAT(error_of(ErrorKind::option, [&] { bent(IPO{}, dropped(FDivergence::reverse_kl)); }),
              HasSubstr("f_divergence_constant"));
  EXPECT_NO_THROW(bent(IPO{}, js));
}

TEST(DivergenceRewardTest, ShowsTheLogRatio) {
  Divergence js{.f_divergence_type = FDivergence::js_divergence};
  js.f_divergence_reward = DivergenceReward::log_ratio;
  const RowLoss<double> out = bent(DPO{.beta = 0.5}, js)(pair(), {});
  EXPECT_EQ(out.reward[0], 1);
  EXPECT_EQ(out.reward[1], -0.5);
  js.f_divergence_reward = DivergenceReward::divergence;
  EXPECT_EQ(bent(DPO{.beta = 0.5}, js)(pair(), {}).loss, out.loss);
  EXPECT_THAT(error_of(ErrorKind::option,
                       [] { bent(DPO{}, {.f_divergence_reward = DivergenceReward::log_ratio}); }),
              HasSubstr("f_divergence_reward"));
}

}  // namespace
}  // namespace pref
