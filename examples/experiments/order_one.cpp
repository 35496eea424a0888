// SPDX-License-Identifier: Apache-2.0
#include "examples/experiments/order_one.h"

#include <cmath>

namespace pref::experiments {
namespace {

size_t index(int state, int symbol, int outputs) {
  return static_cast<size_t>(state) * static_cast<size_t>(outputs) + static_cast<size_t>(symbol);
}

// log sum p^2 and log max p of each state.
struct StateStatistics {
  Vector collision, max_logp;
  StateStatistics(const OrderOne& model, const Vector& table)
      : collision(static_cast<size_t>(model.states())), max_logp(collision) {
    for (int s = 0; s < model.states(); ++s) {
      double sum = 0, most = -INFINITY;
      for (int v = 0; v < model.outputs(); ++v) {
        const double l = table[index(s, v, model.outputs())];
        sum += std::exp(2 * l), most = std::max(most, l);
      }
      collision[static_cast<size_t>(s)] = std::log(sum), max_logp[static_cast<size_t>(s)] = most;
    }
  }
};

Sequence<double> sequence_of(const OrderOne& model, const Text& text, double ref_logp,
                             const Vector& table, const StateStatistics& statistics) {
  Sequence<double> out;
  out.logp = text_logp(text, table), out.ref_logp = ref_logp;
  out.num_tokens = static_cast<double>(text.size());
  for (const int cell : text) {
    const auto state = static_cast<size_t>(cell / model.outputs());
    out.collision += statistics.collision[state] / out.num_tokens;
    out.max_logp += statistics.max_logp[state] / out.num_tokens;
  }
  return out;
}

// Probabilities of the states before each symbol, one step on.
Vector step_states(const OrderOne& model, const Vector& table, const Vector& states) {
  Vector next(states.size());
  for (int s = 0; s < model.states(); ++s)
    for (int v = 0; v < model.symbols; ++v)
      next[static_cast<size_t>(v) + 1] +=
          states[static_cast<size_t>(s)] * std::exp(table[index(s, v, model.outputs())]);
  return next;
}

Vector start_state(const OrderOne& model) {
  Vector states(static_cast<size_t>(model.states()));
  states[0] = 1;
  return states;
}

}  // namespace

Vector log_table(const OrderOne& model) {
  Vector out;
  const auto width = static_cast<std::ptrdiff_t>(model.outputs());
  for (auto row = model.logits.begin(); row != model.logits.end(); row += width) {
    const Vector logp = log_softmax(Vector(row, row + width));
    out.insert(out.end(), logp.begin(), logp.end());
  }
  return out;
}

double text_logp(const Text& text, const Vector& table) {
  double sum = 0;
  for (const int cell : text) sum += table[static_cast<size_t>(cell)];
  return sum;
}

Text sample_text(const OrderOne& model, const Vector& table, int longest, RandomStream& random) {
  Text text;
  const int outputs = model.outputs();
  for (int state = 0; static_cast<int>(text.size()) < longest;) {
    double left = random.uniform();
    int symbol = 0;
    while (symbol + 1 < outputs && (left -= std::exp(table[index(state, symbol, outputs)])) >= 0)
      ++symbol;
    text.push_back(state * outputs + symbol);
    if (symbol == model.symbols) break;  // EOS
    state = symbol + 1;
  }
  return text;
}

Row<double> text_row(const OrderOne& model, const TextPair& pair, const Vector& table) {
  const StateStatistics statistics(model, table);
  Row<double> row;
  row.branch[0] = sequence_of(model, pair.chosen, pair.ref_chosen, table, statistics);
  row.branch[1] = sequence_of(model, pair.rejected, pair.ref_rejected, table, statistics);
  return row;
}

LossGradient text_loss(const Objective& objective, const OrderOne& model,
                       const std::vector<TextPair>& pairs, std::span<const int64_t> which) {
  const Vector table = log_table(model);
  const StateStatistics statistics(model, table);
  LossGradient out{.loss = 0, .gradient = Vector(table.size())};
  const Normalizers normalizers{.rows = static_cast<double>(which.size())};
  Row<double> row;
  for (const int64_t i : which) {
    const TextPair& pair = pairs[static_cast<size_t>(i)];
    row.branch[0] = sequence_of(model, pair.chosen, pair.ref_chosen, table, statistics);
    row.branch[1] = sequence_of(model, pair.rejected, pair.ref_rejected, table, statistics);
    const RowLoss<double> one = objective(row, normalizers);
    out.loss += one.loss;
    for (const int cell : pair.chosen) out.gradient[static_cast<size_t>(cell)] += one.d_logp[0];
    for (const int cell : pair.rejected) out.gradient[static_cast<size_t>(cell)] += one.d_logp[1];
  }
  // From log-probs to logits, state by state.
  const int outputs = model.outputs();
  for (int s = 0; s < model.states(); ++s) {
    double pull = 0;
    for (int v = 0; v < outputs; ++v) pull += out.gradient[index(s, v, outputs)];
    for (int v = 0; v < outputs; ++v)
      out.gradient[index(s, v, outputs)] -= pull * std::exp(table[index(s, v, outputs)]);
  }
  return out;
}

void train_texts(const Objective& objective, const std::vector<TextPair>& pairs,
                 const TextTraining& how, uint64_t seed, OrderOne& model,
                 const std::function<void(int64_t)>& each) {
  Adam adam(how.rate);
  const auto size = static_cast<int64_t>(pairs.size());
  const int64_t batches = std::max<int64_t>(1, size / how.batch);
  std::vector<int64_t> order;
  each(0);
  for (int64_t step = 0; step < how.steps; ++step) {
    const int64_t at = step % batches;
    if (at == 0)
      order =
          RandomStream(seed, "text order", static_cast<uint64_t>(step / batches)).permutation(size);
    const auto first = order.begin() + at * how.batch;
    const auto count = static_cast<size_t>(std::min(how.batch, size));
    adam.step(model.logits, text_loss(objective, model, pairs, {first, count}).gradient);
    each(step + 1);
  }
}

double TextReward::of(const Text& text, int outputs) const {
  double sum = 0;
  for (size_t t = 0; t < text.size(); ++t)
    sum +=
        position[t][static_cast<size_t>(text[t] % outputs)] + bigram[static_cast<size_t>(text[t])];
  return sum;
}

double expected_reward(const OrderOne& model, const Vector& table, const TextReward& reward) {
  Vector states = start_state(model);
  double sum = 0;
  for (const Vector& here : reward.position) {
    for (int s = 0; s < model.states(); ++s)
      for (int v = 0; v < model.symbols; ++v) {
        const size_t cell = index(s, v, model.outputs());
        sum += states[static_cast<size_t>(s)] * std::exp(table[cell]) *
               (here[static_cast<size_t>(v)] + reward.bigram[cell]);
      }
    states = step_states(model, table, states);
  }
  return sum;
}

double text_kl(const OrderOne& model, const Vector& table, const Vector& ref_table, int length) {
  Vector states = start_state(model);
  double sum = 0;
  for (int t = 0; t < length; ++t) {
    for (int s = 0; s < model.states(); ++s)
      for (int v = 0; v < model.outputs(); ++v) {
        const size_t cell = index(s, v, model.outputs());
        sum += states[static_cast<size_t>(s)] * std::exp(table[cell]) *
               (table[cell] - ref_table[cell]);
      }
    states = step_states(model, table, states);
  }
  return sum;
}

// (I - Q) visits = 1 for the symbols expected from each state on, EOS included.
double expected_length(const OrderOne& model, const Vector& table) {
  const auto n = static_cast<size_t>(model.states());
  Vector a(n * n);
  for (int s = 0; s < model.states(); ++s) {
    a[static_cast<size_t>(s) * n + static_cast<size_t>(s)] += 1;
    for (int v = 0; v < model.symbols; ++v)
      a[static_cast<size_t>(s) * n + static_cast<size_t>(v) + 1] -=
          std::exp(table[index(s, v, model.outputs())]);
  }
  return solve(a, Vector(n, 1.0))[0];
}

double expected_quality(const OrderOne& model, const Vector& table, const Vector& quality) {
  constexpr int kLongest = 5000;
  constexpr double kNothing = 1e-9;
  // For each state: probability to be there after t symbols, and the expected sum of qualities then.
  Vector states = start_state(model), sums(states.size());
  double out = 0, left = 1;
  for (int t = 0; t < kLongest && left > kNothing; ++t) {
    Vector next_sums(sums.size());
    for (int s = 0; s < model.states(); ++s) {
      const double end = std::exp(table[index(s, model.symbols, model.outputs())]);
      if (t > 0) out += sums[static_cast<size_t>(s)] * end / t;
      left -= states[static_cast<size_t>(s)] * end;
      for (int v = 0; v < model.symbols; ++v)
        next_sums[static_cast<size_t>(v) + 1] +=
            std::exp(table[index(s, v, model.outputs())]) *
            (sums[static_cast<size_t>(s)] +
             states[static_cast<size_t>(s)] * quality[static_cast<size_t>(v)]);
    }
    states = step_states(model, table, states);
    sums = next_sums;
  }
  return out;
}

}  // namespace pref::experiments
