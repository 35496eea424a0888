// SPDX-License-Identifier: Apache-2.0
// What holds for every objective in the list: the paper's value, gradients, finiteness, the start
// of training, symmetries, options that do something.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "tests/objectives/known_properties.h"
#include "tests/objectives/objective_test_util.h"
#include "tests/reference/finite_difference.h"
#include "tests/reference/objective_reference.h"

namespace pref {
namespace {

using testing::known_properties;
using testing::KnownProperties;
using testing::numbers_of;
using testing::Random;
using testing::random_row;
using testing::randomize;
using testing::uncoupled_row;
using testing::values_of;

constexpr int kMostTested = 4;

// Calls f(objective, branches) for every objective, for its fewest branches and for rows with more.
template <class F>
void for_each_case(const F& f) {
  for_each_objective([&](const auto& objective) {
    for (int branches = objective.min_branches; branches <= kMostTested; ++branches) {
      SCOPED_TRACE(std::string(objective.name) + ", " + std::to_string(branches) + " branches");
      f(objective, branches);
    }
  });
}

// The sums that a loss may depend on by way of the policy, and its slopes by them.
struct PolicySum {
  const char* name;
  double Sequence<double>::*value;
  double (RowLoss<double>::*slope)[kMaxBranches];
};
constexpr std::array<PolicySum, 3> kPolicySums = {
    {{"logp", &Sequence<double>::logp, &RowLoss<double>::d_logp},
     {"marked", &Sequence<double>::marked, &RowLoss<double>::d_marked},
     {"unlikely", &Sequence<double>::unlikely, &RowLoss<double>::d_unlikely}}};

template <class T>
bool finite(const RowLoss<T>& out) {
  bool all = std::isfinite(out.loss);
  for (int k = 0; k < kMaxBranches; ++k)
    all = all && std::isfinite(out.d_logp[k]) && std::isfinite(out.d_marked[k]) &&
          std::isfinite(out.d_unlikely[k]) && std::isfinite(out.reward[k]);
  return all;
}

bool same(const RowLoss<double>& a, const RowLoss<double>& b) {
  bool all = a.loss == b.loss;
  for (int k = 0; k < kMaxBranches; ++k)
    all = all && a.d_logp[k] == b.d_logp[k] && a.d_marked[k] == b.d_marked[k] &&
          a.d_unlikely[k] == b.d_unlikely[k];
  return all;
}

// A default as the docs write it: 2.0 and 1e-3 for 2 and 0.001.
std::string documented(const std::string& value) {
  const std::map<std::string, std::string> other = {
      {"2", "2(\\.0)?"}, {"0.001", "1e-3"}, {"1e-05", "1e-5"}};
  return other.contains(value) ? other.at(value) : value;
}

// The row as the reference formulas take it.
reference::ObjectiveRow plain(const Row<double>& row) {
  reference::ObjectiveRow out;
  for (int k = 0; k < row.branches; ++k) {
    out.logp.push_back(row.branch[k].logp);
    out.ref.push_back(row.branch[k].ref_logp);
    out.n.push_back(row.branch[k].num_tokens);
    out.win.push_back(row.branch[k].win_probability);
    out.score.push_back(row.branch[k].score);
    out.marked.push_back(row.branch[k].marked);
    out.unlikely.push_back(row.branch[k].unlikely);
    out.coupled.push_back(row.branch[k].coupled);
  }
  out.margin = row.margin;
  out.label = row.label;
  return out;
}

template <class T>
const KnownProperties& known(const T& objective) {
  return known_properties().at(objective.name);
}

// Calls f(objective with random options, known properties) 50 times for every objective of which
// `property` is stated, and returns for how many.
template <class Has, class F>
int for_each_with(Random& random, const Has& property, const F& f) {
  int objectives = 0;
  for_each_objective([&](auto objective) {
    if (!property(known(objective))) return;
    SCOPED_TRACE(objective.name);
    ++objectives;
    for (int i = 0; i < 50; ++i) {
      randomize(objective, random);
      f(objective, known(objective));
    }
  });
  return objectives;
}

TEST(EveryObjectiveTest, HasAReferenceAndKnownProperties) {
  for (const std::string& name : objective_names()) {
    EXPECT_TRUE(reference::objective_losses().contains(name)) << name;
    EXPECT_TRUE(known_properties().contains(name)) << name;
  }
  EXPECT_EQ(reference::objective_losses().size(), objective_names().size());
  EXPECT_EQ(known_properties().size(), objective_names().size());
}

TEST(EveryObjectiveTest, HasADocsRowThatNamesItsOptions) {
  std::ifstream file(PREF_SOURCE_DIR "/docs/objectives.md");
  ASSERT_TRUE(file.is_open());
  std::map<std::string, std::string> rows;  // by the name that a row begins with
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("| `")) rows[line.substr(3, line.find('`', 3) - 3)] = line;
  for_each_objective([&](const auto& objective) {
    ASSERT_TRUE(rows.contains(objective.name)) << objective.name;
    const std::string& row = rows.at(objective.name);
    for (const auto& option : describe_options(objective)) {
      EXPECT_THAT(row, ::testing::HasSubstr("`" + option.name + "`")) << objective.name;
      EXPECT_TRUE(std::regex_search(
          row, std::regex("`" + option.name + "`( \\(t\\))? " + documented(option.value))))
          << objective.name << ": " << option.name << " " << option.value;
    }
  });
}

TEST(EveryObjectiveTest, MatchesReference) {
  Random random;
  for_each_case([&](auto objective, int branches) {
    const auto& loss = reference::objective_losses().at(objective.name);
    for (int i = 0; i < 200; ++i) {
      randomize(objective, random);
      const Row<double> row = random_row(random, branches);
      const double expected = static_cast<double>(loss(numbers_of(objective), plain(row)));
      EXPECT_NEAR(objective(row).loss, expected, 1e-12 * (1 + std::abs(expected))) << "row " << i;
    }
  });
}

TEST(EveryObjectiveTest, Gradient) {
  constexpr double kStep = 1e-4;
  Random random;
  for_each_case([&](auto objective, int branches) {
    for (int i = 0; i < 200; ++i) {
      randomize(objective, random);
      const Row<double> row = random_row(random, branches);
      const RowLoss<double> out = objective(row);
      for (const PolicySum& sum : kPolicySums) {
        if (known(objective).detached && std::string(sum.name) == "logp") continue;
        std::vector<double> values;
        for (int k = 0; k < branches; ++k) values.push_back(row.branch[k].*sum.value);
        const auto loss = [&](const std::vector<double>& x) {
          Row<double> moved = row;
          for (int k = 0; k < branches; ++k) moved.branch[k].*sum.value = x[static_cast<size_t>(k)];
          return objective(moved).loss;
        };
        for (int k = 0; k < branches; ++k) {
          const double expected =
              reference::five_point_difference(loss, values, static_cast<size_t>(k), kStep);
          const double slope = (out.*sum.slope)[k];
          // Relative 1e-6; the second term is the rounding of the difference itself.
          EXPECT_NEAR(slope, expected,
                      1e-6 * std::abs(slope) + 1e-15 * (1 + std::abs(out.loss)) / kStep)
              << "row " << i << ", branch " << k << ", " << sum.name;
        }
      }
    }
  });
}

TEST(EveryObjectiveTest, AbsentBranchesCarryNothing) {
  Random random;
  for_each_case([&](const auto& objective, int branches) {
    Row<double> row = random_row(random, branches);
    for (int k = branches; k < kMaxBranches; ++k) row.branch[k].logp = -5;
    const RowLoss<double> out = objective(row);
    for (int k = branches; k < kMaxBranches; ++k) {
      EXPECT_EQ(out.d_logp[k], 0);
      EXPECT_EQ(out.reward[k], 0);
      row.branch[k].logp = row.branch[k].ref_logp = std::nan("");
    }
    EXPECT_TRUE(same(objective(row), out)) << "reads a branch that the row does not have";
  });
}

Row<float> narrowed(const Row<double>& row) {
  Row<float> out;
  out.branches = row.branches;
  out.weight = static_cast<float>(row.weight);
  out.margin = static_cast<float>(row.margin);
  out.label = row.label;
  for (int k = 0; k < row.branches; ++k) {
    const auto& s = row.branch[k];
    out.branch[k] = {.logp = static_cast<float>(s.logp),
                     .ref_logp = static_cast<float>(s.ref_logp),
                     .num_tokens = static_cast<float>(s.num_tokens),
                     .collision = static_cast<float>(s.collision),
                     .max_logp = static_cast<float>(s.max_logp),
                     .win_probability = static_cast<float>(s.win_probability),
                     .score = static_cast<float>(s.score),
                     .marked = static_cast<float>(s.marked),
                     .ref_marked = static_cast<float>(s.ref_marked),
                     .unlikely = static_cast<float>(s.unlikely),
                     .coupled = static_cast<float>(s.coupled)};
  }
  return out;
}

TEST(EveryObjectiveTest, FiniteAtExtremes) {
  // Log-probs far outside of what a model gives, too: 0 and above, and 1e6 nats below.
  const std::vector<double> extremes = {0, -1e-12, -1, -700, -745, -1e3, -1e6, 1e6};
  Random random;
  for_each_case([&](auto objective, int branches) {
    Row<double> row = random_row(random, branches);
    row.branch[branches - 1].logp = -1e6;
    for (const double n : {1.0, 1e4}) {
      for (const double chosen : extremes) {
        for (const double rejected : extremes) {
          for (const double reference : {0.0, -1e6, 1e6}) {
            row.branch[0].logp = chosen;
            row.branch[0].ref_logp = reference;
            row.branch[0].num_tokens = n;
            if (branches > 1) row.branch[1].logp = rejected;
            randomize(objective, random);
            EXPECT_TRUE(finite(objective(row)))
                << chosen << " " << rejected << " " << reference << " over " << n;
            // What a float device computes.
            EXPECT_TRUE(finite(objective(narrowed(row))))
                << "float, " << chosen << " " << rejected << " " << reference << " over " << n;
          }
        }
      }
    }
  });
}

TEST(EveryObjectiveTest, FloatMatchesDouble) {
  Random random;
  for_each_case([&](auto objective, int branches) {
    for (int i = 0; i < 100; ++i) {
      randomize(objective, random);
      const Row<double> row = random_row(random, branches);
      const RowLoss<double> wide = objective(row);
      const RowLoss<float> out = objective(narrowed(row));
      // What a few roundings of the logps (20 stands for targets such as 1 / (2 beta)) move in
      // double is what float may be off, beside a few roundings of the result.
      double size = 20;
      for (int k = 0; k < branches; ++k)
        size = std::max({size, std::abs(row.branch[k].logp), std::abs(row.branch[k].ref_logp)});
      const double rounding = 6e-8;
      double loss = 20 * rounding * (1 + std::abs(wide.loss));
      std::vector<double> slope, reward;
      for (int k = 0; k < branches; ++k) {
        slope.push_back(20 * rounding * (1 + std::abs(wide.d_logp[k])));
        reward.push_back(20 * rounding * (1 + std::abs(wide.reward[k])));
      }
      for (int moved = 0; moved < branches; ++moved) {
        for (const double step : {-8 * rounding * size, 8 * rounding * size}) {
          Row<double> near = row;
          near.branch[moved].logp += step;
          const RowLoss<double> other = objective(near);
          loss += std::abs(other.loss - wide.loss);
          for (int k = 0; k < branches; ++k) {
            slope[static_cast<size_t>(k)] += std::abs(other.d_logp[k] - wide.d_logp[k]);
            reward[static_cast<size_t>(k)] += std::abs(other.reward[k] - wide.reward[k]);
          }
        }
      }
      EXPECT_NEAR(out.loss, wide.loss, loss);
      for (int k = 0; k < branches; ++k) {
        EXPECT_NEAR(out.d_logp[k], wide.d_logp[k], slope[static_cast<size_t>(k)]);
        EXPECT_NEAR(out.reward[k], wide.reward[k], reward[static_cast<size_t>(k)]);
      }
    }
  });
}

TEST(EveryObjectiveTest, IdenticalPairsPullAsStated) {
  // What pulls the shared tokens of the chosen branch up pulls those of the rejected one down by as
  // much, where an objective is one of order alone; the others have their closed form.
  Random random;
  const int seen = for_each_with(
      random, [](const auto& p) { return static_cast<bool>(p.identical_pull); },
      [&](const auto& objective, const KnownProperties& p) {
        Row<double> row = uncoupled_row(random, objective.min_branches);
        row.branch[1] = row.branch[0];
        const RowLoss<double> out = objective(row);
        const double expected = p.identical_pull(numbers_of(objective), row);
        EXPECT_NEAR(out.d_logp[0] + out.d_logp[1], expected, 1e-14 * (1 + std::abs(expected)));
        EXPECT_EQ(out.reward[0], out.reward[1]);
        EXPECT_TRUE(finite(out));
      });
  EXPECT_GE(seen, 13);
}

TEST(EveryObjectiveTest, StepZeroHasItsClosedForm) {
  // Policy = reference: no response is preferred yet. The logistic losses read ln 2 whatever beta
  // and the labels' noise, IPO (1 / (2 beta))^2, and so on.
  Random random;
  const int seen = for_each_with(
      random, [](const auto& p) { return static_cast<bool>(p.at_reference); },
      [&](const auto& objective, const KnownProperties& p) {
        Row<double> row = uncoupled_row(random, objective.min_branches);
        row.margin = 0;
        for (auto& branch : row.branch) branch.ref_logp = branch.logp;
        if constexpr (Coupled<std::decay_t<decltype(objective)>>) {
          CouplingState state;
          if (objective.couples()) objective.couple(HostRows(std::span(&row, 1)), state);
        }
        const RowLoss<double> out = objective(row);
        const double expected = p.at_reference(numbers_of(objective), row);
        EXPECT_NEAR(out.loss, expected, 1e-14 * (1 + std::abs(expected)));
        for (int k = 0; k < row.branches; ++k) EXPECT_EQ(out.reward[k], 0);
      });
  int with_reference = 0;
  for_each_objective(
      [&](const auto& objective) { with_reference += has(objective.needs, Needs::reference); });
  EXPECT_EQ(seen, with_reference) << "every objective with a reference states its start";
}

TEST(EveryObjectiveTest, SwapHasItsClosedForm) {
  Random random;
  const int seen = for_each_with(
      random, [](const auto& p) { return static_cast<bool>(p.swap); },
      [&](const auto& objective, const KnownProperties& p) {
        Row<double> row = uncoupled_row(random, objective.min_branches);
        row.margin = 0;
        Row<double> swapped = row;
        std::swap(swapped.branch[0], swapped.branch[1]);
        const RowLoss<double> a = objective(row), b = objective(swapped);
        const double expected = p.swap(numbers_of(objective), row);
        EXPECT_NEAR(a.loss - b.loss, expected, 1e-12 * (1 + std::abs(expected) + std::abs(a.loss)));
        EXPECT_EQ(a.reward[0], b.reward[1]);
      });
  EXPECT_GE(seen, 10);
}

TEST(EveryObjectiveTest, InvariantToWhatBothResponsesShare) {
  Random random;
  const int seen = for_each_with(
      random, [](const auto& p) { return p.by_difference; },
      [&](const auto& objective, const KnownProperties&) {
        const Row<double> row = uncoupled_row(random, objective.min_branches);
        Row<double> moved = row;
        for (int k = 0; k < 2; ++k) moved.branch[k].logp += 3.25;
        const RowLoss<double> a = objective(row), b = objective(moved);
        EXPECT_NEAR(a.loss, b.loss, 1e-12 * (1 + std::abs(a.loss)));
        EXPECT_EQ(a.d_logp[1], -a.d_logp[0]) << "what one gains the other loses";
      });
  EXPECT_GE(seen, 6);
}

TEST(EveryObjectiveTest, ScalesWithLogProbsOverBeta) {
  Random random;
  const int seen = for_each_with(
      random, [](const auto& p) { return p.degree.has_value(); },
      [&](auto objective, const KnownProperties& p) {
        const Row<double> row = uncoupled_row(random, objective.min_branches);
        const RowLoss<double> before = objective(row);
        const double c = random.uniform(0.5, 2);
        Row<double> larger = row;
        for (auto& branch : larger.branch) {
          branch.logp *= c;
          branch.ref_logp *= c;
        }
        if constexpr (requires { objective.beta; }) objective.beta /= c;
        const RowLoss<double> after = objective(larger);
        const double growth = std::pow(c, *p.degree);
        EXPECT_NEAR(after.loss, growth * before.loss, 1e-11 * (1 + std::abs(before.loss)));
        for (int k = 0; k < 2; ++k)
          EXPECT_NEAR(after.d_logp[k], growth / c * before.d_logp[k],
                      1e-11 * (1 + std::abs(before.d_logp[k])));
      });
  EXPECT_GE(seen, 12);
}

TEST(EveryObjectiveTest, EveryOptionChangesLossOrGradient) {
  Random random;
  std::set<std::string> seen;
  for_each_objective([&](const auto& objective) {
    using T = std::decay_t<decltype(objective)>;
    std::vector<Row<double>> rows;
    for (int i = 0; i < 20; ++i) rows.push_back(random_row(random, std::max(2, T::min_branches)));
    T changed;
    T::fields(changed, [&](const char* name, auto& value, const Range& range, const char* help) {
      EXPECT_STRNE(help, "");
      const auto was = value;
      int changes = 0;
      for (const auto other : values_of(value, range)) {
        if (other == was) continue;
        value = other;
        bool differs = false;
        for (const auto& row : rows) differs = differs || !same(changed(row), objective(row));
        EXPECT_TRUE(differs) << T::name << ": " << name << " = " << static_cast<double>(other)
                             << " does nothing";
        ++changes;
      }
      value = was;
      EXPECT_GE(changes, std::is_enum_v<std::decay_t<decltype(value)>> ? 1 : 2) << name;
      seen.insert(std::string(T::name) + "." + name);
    });
  });
  EXPECT_TRUE(seen.contains("dpo.beta"));
  EXPECT_TRUE(seen.contains("dpo.label_smoothing"));
  EXPECT_TRUE(seen.contains("ipo.ipo_normalization"));
}

TEST(EveryObjectiveTest, DefaultsAreInRangeAndNamesAreUnique) {
  std::set<std::string> names;
  for_each_objective([&](const auto& objective) {
    EXPECT_NO_THROW(check_options(objective, objective.name));
    EXPECT_TRUE(names.insert(objective.name).second) << objective.name;
    // The published loss_type may equal the own name, but no other objective's.
    if (std::string(objective.loss_type) != objective.name) {
      EXPECT_TRUE(names.insert(objective.loss_type).second) << objective.loss_type;
    }
  });
  EXPECT_THAT(objective_names(), ::testing::IsSupersetOf({"dpo", "sft"}));
  EXPECT_EQ(objective_names().size(), std::variant_size_v<Term>);
}

}  // namespace
}  // namespace pref
