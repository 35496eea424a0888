// SPDX-License-Identifier: Apache-2.0
// WPO on off-policy data: most pairs come from another order-1 model than the reference. Rewards by
// place and by bigram, so that the optimum lies outside the class and it matters where a policy is
// right. Judged at equal KL; at equal steps WPO has gone less far, because its weights are below 1.
#include <algorithm>
#include <cmath>

#include "examples/experiments/experiments.h"
#include "examples/experiments/order_one.h"

namespace pref::experiments {
namespace {

struct Options {
  int64_t symbols = 8, length = 6, pairs = 2000, epochs = 24, batch = 64, every = 8;
  double off_policy = 0.75, spread = 2, reward_scale = 0.5, beta = 0.1, rate = 0.005;
  Vector strengths = {0, 1, 2}, kls = {0.5, 1, 2};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("symbols", self.symbols, at_least(2), "size of the vocabulary");
    visit("length", self.length, at_least(1), "symbols of a text");
    visit("pairs", self.pairs, at_least(1), "training pairs");
    visit("epochs", self.epochs, at_least(1), "passes over them");
    visit("batch", self.batch, at_least(1), "pairs a step");
    visit("every", self.every, at_least(1), "steps between measurements");
    visit("off_policy", self.off_policy, between(0, 1), "share of pairs from the other model");
    visit("spread", self.spread, at_least(0),
          "its logits: the reference's + strength spread N(0,1)");
    visit("reward_scale", self.reward_scale, above(0), "standard deviation of each reward entry");
    visit("beta", self.beta, above(0), "of DPO");
    visit("rate", self.rate, above(0), "Adam's learning rate");
    visit("strengths", self.strengths, at_least(0), "of the mismatch");
    visit("kls", self.kls, above(0), "KL at which methods are compared, nats");
  }
};

struct Method {
  const char* name;
  std::vector<Setting> options;
  bool weighting = true;
};

std::vector<Method> methods() {
  return {{"dpo", {}, false},
          {"wpo", {}},
          {"wpo greedy", {option("alignment", "greedy")}},
          {"wpo none", {option("alignment", "none")}},
          {"wpo no clamp", {option("clamp", "none")}},
          {"chosen only", {option("weight_side", "chosen")}},
          {"rejected only", {option("weight_side", "rejected")}}};
}

struct World {
  OrderOne model;
  Vector ref_table;
  TextReward reward;
  std::vector<TextPair> pairs;
};

World make_world(const Options& options, double strength, uint64_t seed) {
  RandomStream random(seed, "wpo world");
  World world{.model = {.symbols = static_cast<int>(options.symbols)}};
  const int64_t cells = (options.symbols + 1) * options.symbols;
  world.model.logits = normals(cells, 1, random);
  world.ref_table = log_table(world.model);
  for (int64_t t = 0; t < options.length; ++t)
    world.reward.position.push_back(normals(options.symbols, options.reward_scale, random));
  world.reward.bigram = normals(cells, options.reward_scale, random);
  OrderOne other = world.model;
  const Vector shift = normals(cells, options.spread, random);
  for (size_t i = 0; i < shift.size(); ++i) other.logits[i] += strength * shift[i];
  const Vector other_table = log_table(other);
  const auto longest = static_cast<int>(options.length);
  for (int64_t i = 0; i < options.pairs; ++i) {
    const bool off = random.bernoulli(options.off_policy);
    TextPair pair;
    pair.chosen = sample_text(world.model, off ? other_table : world.ref_table, longest, random);
    pair.rejected = sample_text(world.model, off ? other_table : world.ref_table, longest, random);
    const int outputs = world.model.outputs();
    const double gap =
        world.reward.of(pair.chosen, outputs) - world.reward.of(pair.rejected, outputs);
    if (!random.bernoulli(1 / (1 + std::exp(-gap)))) std::swap(pair.chosen, pair.rejected);
    pair.ref_chosen = text_logp(pair.chosen, world.ref_table);
    pair.ref_rejected = text_logp(pair.rejected, world.ref_table);
    world.pairs.push_back(std::move(pair));
  }
  return world;
}

}  // namespace

std::vector<Figure> wpo_off_policy(const RunSize& size) {
  Options options;
  if (size.brief) options.strengths = {0, 2}, options.kls = {1};
  const std::string config = config_json("wpo_off_policy", options, size);
  const double strongest = options.strengths.back();
  Figure gain{.name = "wpo_gain",
              .title = "Reward above DPO at KL 1",
              .parameter = "strength",
              .x_label = "strength of the mismatch",
              .y_label = "reward - DPO's, at KL 1",
              .config = config},
      by_kl{.name = "wpo_gain_by_kl",
            .title = "Reward above DPO by KL, strength " + json_value(strongest),
            .parameter = "kl",
            .x_label = "KL to the reference (nats)",
            .y_label = "reward - DPO's, at equal KL",
            .config = config},
      line{.name = "wpo_line",
           .title = "Reward against KL, strength " + json_value(strongest),
           .parameter = "step",
           .x_label = "KL to the reference (nats)",
           .y_label = "expected reward",
           .config = config},
      steps{.name = "wpo_steps",
            .title = "The same at equal steps, strength " + json_value(strongest),
            .parameter = "step",
            .x_label = "step",
            .y_label = "expected reward",
            .config = config},
      histogram{
          .name = "wpo_weights",
          .title = "Weights w_w w_l before training, unclamped, strength " + json_value(strongest),
          .parameter = "weight",
          .x_label = "weight",
          .y_label = "share of pairs per bin of 0.1",
          .config = config},
      spread{.name = "wpo_weight_spread",
             .title = "Standard deviation of the weight over its mean, before training",
             .parameter = "strength",
             .x_label = "strength of the mismatch",
             .y_label = "sd / mean",
             .config = config};
  for (const double strength : options.strengths)
    for (int seed = 0; seed < size.seeds; ++seed) {
      const World world = make_world(options, strength, static_cast<uint64_t>(seed));
      Vector dpo_at;
      for (const Method& method : methods()) {
        std::vector<Setting> settings = method.options;
        settings.push_back(option("beta", options.beta));
        const Objective objective = objective_of("dpo", settings, method.weighting);
        OrderOne model = world.model;
        Vector kls, rewards;
        const TextTraining how{.rate = options.rate,
                               .steps = options.epochs * (options.pairs / options.batch),
                               .batch = options.batch};
        train_texts(objective, world.pairs, how, static_cast<uint64_t>(seed), model,
                    [&](int64_t step) {
                      if (step % options.every != 0) return;
                      const Vector table = log_table(model);
                      kls.push_back(
                          text_kl(model, table, world.ref_table, static_cast<int>(options.length)));
                      rewards.push_back(expected_reward(model, table, world.reward));
                      const std::string name = method.name;
                      const bool drawn = name == "dpo" || name == "wpo";
                      if (strength != strongest || !drawn || step % (6 * options.every)) return;
                      Point& at = line.point(name, static_cast<double>(step));
                      at.x.push_back(kls.back()), at.y.push_back(rewards.back());
                      steps.point(name, static_cast<double>(step)).y.push_back(rewards.back());
                    });
        Vector at;
        for (const double target : options.kls) at.push_back(first_at(kls, rewards, target));
        if (!method.weighting) {
          dpo_at = at;
          continue;
        }
        for (size_t k = 0; k < at.size(); ++k) {
          if (options.kls[k] == 1) gain.point(method.name, strength).y.push_back(at[k] - dpo_at[k]);
          if (strength == strongest)
            by_kl.point(method.name, options.kls[k]).y.push_back(at[k] - dpo_at[k]);
        }
      }
      for (const auto& entry : enum_names(Alignment{})) {
        const Weighting weighting{.alignment = entry.value, .clamp = WeightClamp::none};
        constexpr int kBins = 20;
        Vector weights, share(kBins);
        for (const TextPair& pair : world.pairs) {
          weights.push_back(weighting(text_row(world.model, pair, world.ref_table)));
          const int bin = std::min(kBins - 1, static_cast<int>(weights.back() * 10));
          share[static_cast<size_t>(bin)] += 1 / static_cast<double>(options.pairs);
        }
        const MeanError summary = mean_error(weights);
        const std::string name(entry.name);
        spread.point(name, strength)
            .y.push_back(summary.error * std::sqrt(summary.n) / summary.mean);
        if (strength == strongest)
          for (int bin = 0; bin < kBins; ++bin)
            histogram.point(name, bin * 0.1 + 0.05).y.push_back(share[static_cast<size_t>(bin)]);
      }
    }
  return {gain, by_kl, line, steps, histogram, spread};
}

}  // namespace pref::experiments
