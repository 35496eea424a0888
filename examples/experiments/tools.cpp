// SPDX-License-Identifier: Apache-2.0
#include "examples/experiments/tools.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/objectives/objective_settings.h"

namespace pref::experiments {

Setting option(const char* name, double value) { return {name, json_value(value), {"experiment"}}; }

Setting option(const char* name, const char* value) { return {name, value, {"experiment"}}; }

Objective objective_of(const std::string& loss_type, std::vector<Setting> options, bool weighting) {
  Objective made = make_objective(
      {.loss_type = {loss_type}, .loss_weights = {}, .weighting = weighting}, options);
  require(options.empty(), ErrorKind::option, "experiments", loss_type, " has no option \"",
          options.empty() ? "" : options[0].name, "\".");
  return made;
}

Vector solve(Vector a, Vector b) {
  const size_t n = b.size();
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k + 1; i < n; ++i)
      if (std::abs(a[i * n + k]) > std::abs(a[pivot * n + k])) pivot = i;
    require(a[pivot * n + k] != 0, ErrorKind::internal, "experiments", "the matrix is singular.");
    for (size_t j = 0; j < n; ++j) std::swap(a[k * n + j], a[pivot * n + j]);
    std::swap(b[k], b[pivot]);
    for (size_t i = k + 1; i < n; ++i) {
      const double f = a[i * n + k] / a[k * n + k];
      for (size_t j = k; j < n; ++j) a[i * n + j] -= f * a[k * n + j];
      b[i] -= f * b[k];
    }
  }
  for (size_t k = n; k-- > 0;) {
    for (size_t j = k + 1; j < n; ++j) b[k] -= a[k * n + j] * b[j];
    b[k] /= a[k * n + k];
  }
  return b;
}

Vector stationary_point(const GradientOf& gradient, Vector logits) {
  constexpr double kStep = 1e-4, kLongest = 2;
  const size_t n = logits.size();
  const auto size_of = [](const Vector& v) {
    double most = 0;
    for (const double x : v) most = std::max(most, std::abs(x));
    return most;
  };
  Vector g = gradient(logits);
  for (int iteration = 0; iteration < 200 && size_of(g) > 0; ++iteration) {
    Vector jacobian(n * n);
    double scale = 0;
    for (size_t j = 0; j < n; ++j) {
      Vector up = logits, down = logits;
      up[j] += kStep, down[j] -= kStep;
      const Vector high = gradient(up), low = gradient(down);
      for (size_t i = 0; i < n; ++i) jacobian[i * n + j] = (high[i] - low[i]) / (2 * kStep);
      scale = std::max(scale, std::abs(jacobian[j * n + j]));
    }
    // Along (1, ..., 1) the gradient does not change; the step gets no part in that direction.
    for (double& entry : jacobian) entry += scale;
    Vector step = solve(jacobian, g);
    double by = std::min(1.0, kLongest / size_of(step));
    Vector next, next_g;
    do {
      next = logits;
      for (size_t i = 0; i < n; ++i) next[i] -= by * step[i];
      next_g = gradient(next);
      by /= 2;
    } while (size_of(next_g) > size_of(g) && by > 1e-6);
    if (size_of(next_g) >= size_of(g)) break;  // rounding is all that is left
    logits = next, g = next_g;
    if (size_of(step) < 1e-12) break;  // converged quadratically: what is left is far below
  }
  return logits;
}

void Adam::step(Vector& x, const Vector& gradient) {
  constexpr double kFirst = 0.9, kSecond = 0.999, kEpsilon = 1e-8;
  first_.resize(x.size()), second_.resize(x.size());
  first_power_ *= kFirst, second_power_ *= kSecond;
  for (size_t i = 0; i < x.size(); ++i) {
    first_[i] += (1 - kFirst) * (gradient[i] - first_[i]);
    second_[i] += (1 - kSecond) * (gradient[i] * gradient[i] - second_[i]);
    x[i] -= rate_ * (first_[i] / (1 - first_power_)) /
            (std::sqrt(second_[i] / (1 - second_power_)) + kEpsilon);
  }
}

std::vector<Choice> tally(const std::vector<Choice>& rows) {
  std::map<std::tuple<std::array<int, 3>, int, double>, double> counts;
  for (const Choice& row : rows) counts[{row.arm, row.branches, row.margin}] += row.weight;
  std::vector<Choice> out;
  for (const auto& [key, weight] : counts)
    out.push_back({std::get<0>(key), std::get<1>(key), weight, std::get<2>(key)});
  return out;
}

Choice labelled_pair(int a, int b, const Vector& reward, RandomStream& random) {
  const double gap = reward[static_cast<size_t>(a)] - reward[static_cast<size_t>(b)];
  return random.bernoulli(1 / (1 + std::exp(-gap))) ? Choice{.arm = {a, b}} : Choice{.arm = {b, a}};
}

LossGradient arms_loss(const Objective& objective, const Arms& arms,
                       const std::vector<Choice>& rows, const Vector& logits) {
  const Vector logp = log_softmax(logits);
  double total = 0, collision = 0, most = -INFINITY, pull = 0;
  for (const Choice& choice : rows) total += choice.weight;
  for (const double l : logp) collision += std::exp(2 * l), most = std::max(most, l);
  collision = std::log(collision);

  LossGradient out{.loss = 0, .gradient = Vector(logits.size())};
  const Normalizers normalizers{.rows = total, .chosen_tokens = total};
  Row<double> row;
  for (const Choice& choice : rows) {
    row.branches = choice.branches, row.weight = choice.weight, row.margin = choice.margin;
    for (int k = 0; k < choice.branches; ++k) {
      const auto arm = static_cast<size_t>(choice.arm[static_cast<size_t>(k)]);
      auto& branch = row.branch[k];
      branch.logp = logp[arm], branch.ref_logp = arms.ref_logp[arm];
      branch.collision = collision, branch.max_logp = most;
      if (!arms.num_tokens.empty()) branch.num_tokens = arms.num_tokens[arm];
      if (!arms.win_probability.empty()) branch.win_probability = arms.win_probability[arm];
      if (!arms.score.empty()) branch.score = arms.score[arm];
    }
    const RowLoss<double> one = objective(row, normalizers);
    out.loss += one.loss;
    for (int k = 0; k < choice.branches; ++k) {
      out.gradient[static_cast<size_t>(choice.arm[static_cast<size_t>(k)])] += one.d_logp[k];
      pull += one.d_logp[k];
    }
  }
  for (size_t i = 0; i < logits.size(); ++i) out.gradient[i] -= pull * std::exp(logp[i]);
  return out;
}

void descend(const Objective& objective, const Arms& arms, const std::vector<Choice>& rows,
             Descent how, double rate, int64_t steps, Vector& logits) {
  Adam adam(rate);
  for (int64_t step = 0; step < steps; ++step) {
    const LossGradient now = arms_loss(objective, arms, rows, logits);
    if (how == Descent::adam)
      adam.step(logits, now.gradient);
    else
      for (size_t i = 0; i < logits.size(); ++i) logits[i] -= rate * now.gradient[i];
  }
}

Vector log_softmax(const Vector& logits) {
  const double most = largest(logits);
  double sum = 0;
  for (const double l : logits) sum += std::exp(l - most);
  Vector out(logits);
  for (double& l : out) l -= most + std::log(sum);
  return out;
}

double expected(const Vector& logp, const Vector& value) {
  double sum = 0;
  for (size_t i = 0; i < logp.size(); ++i) sum += std::exp(logp[i]) * value[i];
  return sum;
}

double kl(const Vector& logp, const Vector& ref_logp) {
  double sum = 0;
  for (size_t i = 0; i < logp.size(); ++i) sum += std::exp(logp[i]) * (logp[i] - ref_logp[i]);
  return sum;
}

double largest(const Vector& values) { return *std::max_element(values.begin(), values.end()); }

int argmax(const Vector& values) {
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

int sample(const Vector& logp, RandomStream& random) {
  double left = random.uniform();
  for (size_t i = 0; i + 1 < logp.size(); ++i) {
    left -= std::exp(logp[i]);
    if (left < 0) return static_cast<int>(i);
  }
  return static_cast<int>(logp.size()) - 1;
}

Vector normals(int64_t n, double sd, RandomStream& random) {
  Vector out(static_cast<size_t>(n));
  for (double& x : out) x = sd * random.normal();
  return out;
}

Vector tilted(const Vector& ref_logp, const Vector& value, double beta) {
  Vector logits(ref_logp);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] += value[i] / beta;
  return log_softmax(logits);
}

double frontier(const Vector& ref_logp, const Vector& value, double at_kl) {
  double low = -10, high = 10;  // log beta: KL falls as it rises
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (kl(tilted(ref_logp, value, std::exp(middle)), ref_logp) > at_kl ? low : high) = middle;
  }
  return expected(tilted(ref_logp, value, std::exp(low)), value);
}

double first_at(const Vector& xs, const Vector& ys, double x) {
  for (size_t i = 1; i < xs.size(); ++i)
    if ((xs[i - 1] - x) * (xs[i] - x) <= 0 && xs[i - 1] != xs[i])
      return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1]);
  return std::nan("");
}

}  // namespace pref::experiments
