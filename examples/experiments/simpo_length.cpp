// SPDX-License-Identifier: Apache-2.0
// Length: an order-1 model with EOS whose symbols have a quality; labels follow the mean quality and,
// with bias 1, also the length. What each loss does to the length and the quality of its texts.
#include <cmath>

#include "examples/experiments/experiments.h"
#include "examples/experiments/order_one.h"

namespace pref::experiments {
namespace {

struct Options {
  int64_t symbols = 6, pairs = 4000, held_out = 1000, steps = 600, batch = 128, every = 50;
  double mean_length = 10.5, logit_spread = 0.5, quality_weight = 8, rate = 0.005;
  Vector biases = {0, 1};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("symbols", self.symbols, at_least(2), "beside EOS; qualities from 1 down to -1");
    visit("pairs", self.pairs, at_least(1), "training pairs from the reference");
    visit("held_out", self.held_out, at_least(1), "pairs for the ranking accuracy");
    visit("steps", self.steps, at_least(1), "Adam steps");
    visit("batch", self.batch, at_least(1), "pairs a step");
    visit("every", self.every, at_least(1), "steps between measurements");
    visit("mean_length", self.mean_length, above(1), "of the reference's texts, EOS included");
    visit("logit_spread", self.logit_spread, at_least(0), "of the reference's logits");
    visit("quality_weight", self.quality_weight, above(0),
          "of the mean quality in a label's logit");
    visit("rate", self.rate, above(0), "Adam's learning rate");
    visit("biases", self.biases, any(), "label logit of ten more symbols");
  }
};

struct Method {
  const char* name;
  const char* loss_type;
  std::vector<Setting> options;
};

std::vector<Method> methods() {
  const auto simpo = [](const char* name, double ratio) {
    return Method{name, "simpo", {option("beta", 2), option("gamma_beta_ratio", ratio)}};
  };
  return {{"dpo", "sigmoid", {option("beta", 0.1)}},
          {"dpo by length", "sigmoid_norm", {option("beta", 2)}},
          simpo("simpo 0", 0),
          simpo("simpo 0.5", 0.5),
          simpo("simpo 1.5", 1.5),
          {"simpo unnormalised", "cpo", {option("beta", 2)}}};
}

struct World {
  OrderOne model{};
  Vector ref_table{}, quality{};
  std::vector<TextPair> train{}, held_out{};
  double chosen_length = 0;
};

World make_world(const Options& options, double bias, uint64_t seed) {
  RandomStream random(seed, "simpo world");
  World world;
  world.model = {.symbols = static_cast<int>(options.symbols), .ends = true};
  const double end = 1 / options.mean_length;
  for (int s = 0; s < world.model.states(); ++s) {
    const Vector row = log_softmax(normals(options.symbols, options.logit_spread, random));
    for (const double logp : row) world.model.logits.push_back(logp + std::log1p(-end));
    world.model.logits.push_back(std::log(end));
  }
  world.ref_table = log_table(world.model);
  for (int64_t v = 0; v < options.symbols; ++v)
    world.quality.push_back(1 -
                            2 * static_cast<double>(v) / static_cast<double>(options.symbols - 1));
  const auto worth = [&](const Text& text) {
    double sum = 0;
    for (const int cell : text)
      if (const int v = cell % world.model.outputs(); v < world.model.symbols)
        sum += world.quality[static_cast<size_t>(v)];
    const double length = static_cast<double>(text.size());
    return options.quality_weight * (length > 1 ? sum / (length - 1) : 0) + bias * length / 10;
  };
  for (int64_t i = 0; i < options.pairs + options.held_out; ++i) {
    TextPair pair;
    pair.chosen = sample_text(world.model, world.ref_table, 1000, random);
    pair.rejected = sample_text(world.model, world.ref_table, 1000, random);
    if (!random.bernoulli(1 / (1 + std::exp(worth(pair.rejected) - worth(pair.chosen)))))
      std::swap(pair.chosen, pair.rejected);
    pair.ref_chosen = text_logp(pair.chosen, world.ref_table);
    pair.ref_rejected = text_logp(pair.rejected, world.ref_table);
    if (i < options.pairs)
      world.chosen_length +=
          static_cast<double>(pair.chosen.size()) / static_cast<double>(options.pairs);
    (i < options.pairs ? world.train : world.held_out).push_back(std::move(pair));
  }
  return world;
}

// Share of held-out pairs whose chosen text has the larger mean log-prob, and the mean difference.
struct Ranking {
  double accuracy = 0, margin = 0;
};
Ranking ranking(const World& world, const Vector& table) {
  Ranking out;
  const auto n = static_cast<double>(world.held_out.size());
  const auto mean = [&](const Text& text) {
    return text_logp(text, table) / static_cast<double>(text.size());
  };
  for (const TextPair& pair : world.held_out) {
    const double margin = mean(pair.chosen) - mean(pair.rejected);
    out.accuracy += (margin > 0 ? 1 : margin == 0 ? 0.5 : 0) / n;
    out.margin += margin / n;
  }
  return out;
}

}  // namespace

std::vector<Figure> simpo_length(const RunSize& size) {
  Options options;
  if (size.brief) options.every = options.steps;
  const std::string config = config_json("simpo_length", options, size);
  const auto by_bias = [&](const char* name, const char* title, const char* y_label) {
    return Figure{.name = name,
                  .title = title,
                  .parameter = "bias",
                  .x_label = "length bias of the labels",
                  .y_label = y_label,
                  .config = config};
  };
  Figure length = by_bias("simpo_length", "Mean length after training", "symbols, EOS included"),
         quality = by_bias("simpo_quality", "Mean quality after training", "mean quality"),
         accuracy = by_bias("simpo_ranking", "Held-out pairs ranked by mean log-prob",
                            "share ranked as labelled"),
         margin = by_bias("simpo_margin", "Held-out margin of mean log-probs", "nats per symbol"),
         path{.name = "simpo_length_path",
              .title = "Length by step, labels with length bias 1",
              .parameter = "step",
              .x_label = "step",
              .y_label = "symbols, EOS included",
              .config = config},
         trade{.name = "simpo_trade",
               .title = "Quality against length during training, length bias 1",
               .parameter = "step",
               .x_label = "mean length",
               .y_label = "mean quality",
               .config = config};
  for (const double bias : options.biases)
    for (int seed = 0; seed < size.seeds; ++seed) {
      const World world = make_world(options, bias, static_cast<uint64_t>(seed));
      length.point("reference", bias).y.push_back(expected_length(world.model, world.ref_table));
      length.point("chosen responses", bias).y.push_back(world.chosen_length);
      for (const Method& method : methods()) {
        OrderOne model = world.model;
        const Objective objective = objective_of(method.loss_type, method.options);
        const TextTraining how{
            .rate = options.rate, .steps = options.steps, .batch = options.batch};
        train_texts(objective, world.train, how, static_cast<uint64_t>(seed), model,
                    [&](int64_t step) {
                      if (bias == 0 || step % options.every != 0) return;
                      const Vector table = log_table(model);
                      const double symbols = expected_length(model, table);
                      const auto at = static_cast<double>(step);
                      path.point(method.name, at).y.push_back(symbols);
                      Point& both = trade.point(method.name, at);
                      both.x.push_back(symbols);
                      both.y.push_back(expected_quality(model, table, world.quality));
                    });
        const Vector table = log_table(model);
        length.point(method.name, bias).y.push_back(expected_length(model, table));
        quality.point(method.name, bias).y.push_back(expected_quality(model, table, world.quality));
        const Ranking ranked = ranking(world, table);
        accuracy.point(method.name, bias).y.push_back(ranked.accuracy);
        margin.point(method.name, bias).y.push_back(ranked.margin);
      }
    }
  return {length, quality, path, trade, accuracy, margin};
}

}  // namespace pref::experiments
