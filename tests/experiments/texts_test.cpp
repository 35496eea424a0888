// SPDX-License-Identifier: Apache-2.0
// The experiments on order-1 language models, and their exact expectations against enumeration.
#include "examples/experiments/order_one.h"
#include "tests/experiments/experiments_test_util.h"

namespace pref::experiments {
namespace {

OrderOne random_model(int symbols, bool ends, uint64_t seed) {
  OrderOne model{.symbols = symbols, .ends = ends};
  RandomStream random(seed, "texts test");
  model.logits = normals(model.states() * model.outputs(), 1, random);
  return model;
}

// Every text of `length` symbols, by brute force.
std::vector<Text> all_texts(const OrderOne& model, int length) {
  std::vector<Text> texts = {{}};
  for (int t = 0; t < length; ++t) {
    std::vector<Text> longer;
    for (const Text& text : texts)
      for (int v = 0; v < model.symbols; ++v) {
        const int state = text.empty() ? 0 : text.back() % model.outputs() + 1;
        longer.push_back(text);
        longer.back().push_back(state * model.outputs() + v);
      }
    texts = longer;
  }
  return texts;
}

TEST(OrderOneModel, MatchesReferenceEnumeration) {
  const OrderOne model = random_model(3, false, 1), other = random_model(3, false, 2);
  const Vector table = log_table(model), other_table = log_table(other);
  TextReward reward;
  RandomStream random(3, "texts test");
  for (int t = 0; t < 4; ++t) reward.position.push_back(normals(3, 1, random));
  reward.bigram = normals(12, 1, random);
  double total = 0, value = 0, divergence = 0;
  for (const Text& text : all_texts(model, 4)) {
    const double logp = text_logp(text, table), p = std::exp(logp);
    total += p, value += p * reward.of(text, 3);
    divergence += p * (logp - text_logp(text, other_table));
  }
  EXPECT_NEAR(total, 1, 1e-12);
  EXPECT_NEAR(expected_reward(model, table, reward), value, 1e-12);
  EXPECT_NEAR(text_kl(model, table, other_table, 4), divergence, 1e-12);
}

TEST(OrderOneModel, MatchesReferenceSamples) {
  const OrderOne model = random_model(4, true, 5);
  const Vector table = log_table(model), quality = {1, 0.3, -0.3, -1};
  RandomStream random(7, "texts test");
  std::vector<double> lengths, qualities;
  for (int i = 0; i < 40000; ++i) {
    const Text text = sample_text(model, table, 10000, random);
    double sum = 0;
    for (const int cell : text)
      if (const int v = cell % model.outputs(); v < 4) sum += quality[static_cast<size_t>(v)];
    lengths.push_back(static_cast<double>(text.size()));
    qualities.push_back(text.size() > 1 ? sum / static_cast<double>(text.size() - 1) : 0);
  }
  const MeanError length = mean_error(lengths), worth = mean_error(qualities);
  EXPECT_NEAR(expected_length(model, table), length.mean, 4 * length.error);
  EXPECT_NEAR(expected_quality(model, table, quality), worth.mean, 4 * worth.error);
}

TEST(OrderOneModel, Gradient) {
  OrderOne model = random_model(3, true, 11);
  const Vector table = log_table(model);
  RandomStream random(13, "texts test");
  std::vector<TextPair> pairs;
  std::vector<int64_t> which;
  for (int i = 0; i < 5; ++i) {
    pairs.push_back({.chosen = sample_text(model, table, 50, random),
                     .rejected = sample_text(model, table, 50, random),
                     .ref_chosen = -3,
                     .ref_rejected = -4});
    which.push_back(i);
  }
  for (const char* loss : {"dpo", "simpo", "sigmoid_norm"}) {
    const Objective objective = objective_of(loss);
    const Vector gradient = text_loss(objective, model, pairs, which).gradient;
    for (size_t i = 0; i < model.logits.size(); ++i) {
      OrderOne up = model, down = model;
      up.logits[i] += 1e-5, down.logits[i] -= 1e-5;
      EXPECT_NEAR(gradient[i],
                  (text_loss(objective, up, pairs, which).loss -
                   text_loss(objective, down, pairs, which).loss) /
                      2e-5,
                  1e-8)
          << loss << " cell " << i;
    }
  }
}

TEST(WpoOffPolicy, InvariantSignsAndOrders) {
  const auto figures = run_experiment("wpo_off_policy", 8);
  const Figure &gain = figure(figures, "wpo_gain"), &steps = figure(figures, "wpo_steps"),
               &line = figure(figures, "wpo_line");
  const double most = parameters(gain, "wpo").back();
  const std::vector<double> nothing(gain.y("wpo", most).size());
  expect_close(gain.y("wpo", 0), nothing, 0.05, "no gain without mismatch");
  expect_above(gain.y("wpo", most), nothing, "a gain with mismatch");
  expect_above(gain.y("wpo", most), gain.y("wpo", 0), "growing with it");
  expect_close(gain.y("rejected only", most), gain.y("wpo", most),
               0.3 * mean_error(gain.y("wpo", most)).mean, "rejected only is like WPO");
  expect_above(nothing, gain.y("chosen only", most), "chosen only is below DPO");
  for (const char* like : {"wpo greedy", "wpo none", "wpo no clamp"})
    expect_close(gain.y(like, most), gain.y("wpo", most),
                 0.3 * mean_error(gain.y("wpo", most)).mean, like);
  // At equal steps WPO has gone less far.
  const double last = parameters(steps, "dpo").back();
  expect_above(line.x("dpo", last), line.x("wpo", last), "KL at equal steps");
  expect_above(steps.y("dpo", last), steps.y("wpo", last), "reward at equal steps");
}

TEST(SimpoLength, InvariantSignsAndOrders) {
  const auto figures = run_experiment("simpo_length", 4);
  const Figure &length = figure(figures, "simpo_length"),
               &quality = figure(figures, "simpo_quality"),
               &ranking = figure(figures, "simpo_ranking"),
               &margin = figure(figures, "simpo_margin");
  const char* by_length[] = {"simpo unnormalised", "dpo",      "dpo by length", "simpo 0",
                             "simpo 0.5",          "simpo 1.5"};
  for (int i = 0; i + 1 < 6; ++i) {
    const std::string shorter = by_length[i + 1], what = by_length[i] + (" against " + shorter);
    expect_above(length.y(by_length[i], 1), length.y(shorter, 1), "length: " + what);
    if (shorter == "simpo 0")  // what divides by the length has the quality, reference or not
      expect_close(quality.y(shorter, 1), quality.y(by_length[i], 1), 0.02, "quality: " + what);
    else
      expect_above(quality.y(shorter, 1), quality.y(by_length[i], 1), "quality: " + what);
  }
  for (const char* name : {"simpo 0", "simpo 0.5"})
    expect_close(length.y(name, 1), length.y("reference", 1), 3, "SimPO stays near the reference");
  expect_above(length.y("dpo", 1), length.y("chosen responses", 1), "DPO beyond chosen responses");
  expect_above(length.y("dpo", 0), length.y("reference", 0), "DPO lengthens without a bias too");
  for (const double bias : {0.0, 1.0}) {
    expect_above(ranking.y("simpo 0.5", bias), ranking.y("dpo", bias), "ranking by mean log-prob");
    expect_above(margin.y("simpo 0.5", bias), margin.y("simpo 0", bias), "gamma widens the margin");
    expect_above(margin.y("simpo 1.5", bias), margin.y("simpo 0.5", bias), "and more of it more");
  }
}

TEST(Loops, InvariantSignsAndOrders) {
  const auto figures = run_experiment("loops", 3);
  const Figure &spin = figure(figures, "loops_spin"), &game = figure(figures, "loops_game");
  const auto iterations = parameters(spin, "spin");
  for (size_t t = 0; t < iterations.size(); ++t) {
    const auto &got = spin.y("spin", iterations[t]), &known = spin.y("analytic", iterations[t]);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], known[i], 1e-9);
      if (t == 0) continue;
      EXPECT_LT(got[i], spin.y("spin", iterations[t - 1])[i]) << "shrinks every time";
    }
  }
  for (const char* loss : {"sppo", "dno"}) {
    const std::string average = std::string(loss) + " average", last = std::string(loss) + " last";
    const double end = parameters(game, average).back();
    for (size_t i = 0; i < game.y(average, end).size(); ++i)
      EXPECT_LT(game.y(average, end)[i], game.y(average, 1)[i] / 2) << loss;
    expect_above(game.y(last, end), game.y(average, end), "the last iterate keeps circling");
  }
}

}  // namespace
}  // namespace pref::experiments
