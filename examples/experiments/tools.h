// SPDX-License-Identifier: Apache-2.0
// What the experiments share: policies over a finite set of responses ("arms") as a softmax of one
// logit each, the gradient of an objective's mean loss by those logits, descent in double, and the
// exact quantities beside which a trained policy is judged. Losses come from libpref's objectives
// alone; nothing here knows a formula of one.
#pragma once
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/base/random.h"
#include "libpref/objectives/objective.h"

namespace pref::experiments {

using Vector = std::vector<double>;

/// An option of an objective, for objective_of.
Setting option(const char* name, double value);
Setting option(const char* name, const char* value);

/// The library's objective of that loss_type, as a configuration would make it.
Objective objective_of(const std::string& loss_type, std::vector<Setting> options = {},
                       bool weighting = false);

/// Solves a x = b by elimination with pivots; a is n x n, row by row.
Vector solve(Vector a, Vector b);

using GradientOf = std::function<Vector(const Vector&)>;

/// A zero of a gradient by logits, by Newton's method with a Jacobian of central differences. The
/// gradient must not change when all logits move together; the result keeps their mean.
Vector stationary_point(const GradientOf& gradient, Vector logits);

/// Adam (Kingma and Ba 2015) with its usual 0.9, 0.999 and 1e-8.
class Adam {
 public:
  explicit Adam(double rate) : rate_(rate) {}
  void step(Vector& x, const Vector& gradient);

 private:
  double rate_, first_power_ = 1, second_power_ = 1;
  Vector first_, second_;
};

enum class Descent { gradient, adam };
constexpr std::array<EnumName<Descent>, 2> enum_names(Descent) {
  return {{{Descent::gradient, "gradient"}, {Descent::adam, "adam"}}};
}

// ---- arms -----------------------------------------------------------------------------------

/// What a row of data holds of each arm. Empty members: 1 token, no win probability, score 0.
struct Arms {
  Vector ref_logp;
  Vector num_tokens{}, win_probability{}, score{};
};

/// A row of data: its arms, the chosen one first, and how often it counts.
struct Choice {
  std::array<int, 3> arm{};
  int branches = 2;
  double weight = 1, margin = 0;
};

/// Equal rows as one, their weights added.
std::vector<Choice> tally(const std::vector<Choice>& rows);

/// A pair of arms labelled by Bradley and Terry: the first is chosen with probability
/// sigma(reward[a] - reward[b]).
Choice labelled_pair(int a, int b, const Vector& reward, RandomStream& random);

/// Mean loss over the rows by weight, and its gradient by the logits.
struct LossGradient {
  double loss = 0;
  Vector gradient;
};
LossGradient arms_loss(const Objective& objective, const Arms& arms,
                       const std::vector<Choice>& rows, const Vector& logits);

/// Full-batch descent on the mean loss.
void descend(const Objective& objective, const Arms& arms, const std::vector<Choice>& rows,
             Descent how, double rate, int64_t steps, Vector& logits);

Vector log_softmax(const Vector& logits);
double expected(const Vector& logp, const Vector& value);
double kl(const Vector& logp, const Vector& ref_logp);  ///< KL(pi || pi_ref), nats
double largest(const Vector& values);
int argmax(const Vector& values);
int sample(const Vector& logp, RandomStream& random);
Vector normals(int64_t n, double sd, RandomStream& random);

/// log of pi_ref e^{value / beta} / Z.
Vector tilted(const Vector& ref_logp, const Vector& value, double beta);

/// The largest expected value that a policy at this KL from the reference can have.
double frontier(const Vector& ref_logp, const Vector& value, double at_kl);

/// y where the path first comes to x, between its points by a straight line; NaN when it never
/// does.
double first_at(const Vector& xs, const Vector& ys, double x);

}  // namespace pref::experiments
