// SPDX-License-Identifier: Apache-2.0
// What holds for every objective in the list: gradients, finiteness, the start of training, options
// that do something.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/objectives/objective_test_util.h"
#include "tests/reference/finite_difference.h"

namespace pref {
namespace {

using testing::Random;
using testing::random_row;
using testing::randomize;
using testing::values_inside;

// Calls f(objective, branches) for every objective, for its fewest branches and for rows with more.
template <class F>
void for_each_case(const F& f) {
  for_each_objective([&](const auto& objective) {
    for (int branches = objective.min_branches; branches <= 3; ++branches) {
      SCOPED_TRACE(std::string(objective.name) + ", " + std::to_string(branches) + " branches");
      f(objective, branches);
    }
  });
}

Row<double> with_logps(Row<double> row, const std::vector<double>& logps) {
  for (int k = 0; k < row.branches; ++k) row.branch[k].logp = logps[static_cast<size_t>(k)];
  return row;
}

template <class T>
bool finite(const RowLoss<T>& out) {
  bool all = std::isfinite(out.loss);
  for (int k = 0; k < kMaxBranches; ++k)
    all = all && std::isfinite(out.d_logp[k]) && std::isfinite(out.reward[k]);
  return all;
}

bool same(const RowLoss<double>& a, const RowLoss<double>& b) {
  bool all = a.loss == b.loss;
  for (int k = 0; k < kMaxBranches; ++k) all = all && a.d_logp[k] == b.d_logp[k];
  return all;
}

TEST(EveryObjectiveTest, Gradient) {
  Random random;
  for_each_case([&](auto objective, int branches) {
    for (int i = 0; i < 200; ++i) {
      randomize(objective, random);
      const Row<double> row = random_row(random, branches);
      std::vector<double> logps;
      for (int k = 0; k < branches; ++k) logps.push_back(row.branch[k].logp);
      const auto loss = [&](const std::vector<double>& x) {
        return objective(with_logps(row, x)).loss;
      };
      const RowLoss<double> out = objective(row);
      for (int k = 0; k < branches; ++k) {
        const double expected = reference::central_difference(loss, logps, static_cast<size_t>(k));
        // Relative 1e-6; the second term is the rounding of the difference itself.
        EXPECT_NEAR(out.d_logp[k], expected,
                    1e-6 * std::abs(out.d_logp[k]) + 1e-15 * (1 + out.loss) / 1e-5)
            << "row " << i << ", branch " << k;
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

TEST(EveryObjectiveTest, FiniteAtExtremes) {
  const std::vector<double> extremes = {0, -1e-12, -1, -700, -745, -1e3, -1e6, 1e6};
  for_each_case([&](auto objective, int branches) {
    Row<double> row;
    row.branches = branches;
    for (const double chosen : extremes) {
      for (const double rejected : extremes) {
        for (const double reference : {0.0, -1e6, 1e6}) {
          row.branch[0].logp = chosen;
          row.branch[1].logp = rejected;
          row.branch[0].ref_logp = reference;
          row.branch[2].logp = -1e6;
          const RowLoss<double> out = objective(row);
          EXPECT_TRUE(finite(out)) << chosen << " " << rejected << " " << reference;
          // What a float device computes.
          Row<float> narrow;
          narrow.branches = branches;
          for (int k = 0; k < 3; ++k) {
            narrow.branch[k].logp = static_cast<float>(row.branch[k].logp);
            narrow.branch[k].ref_logp = static_cast<float>(row.branch[k].ref_logp);
          }
          EXPECT_TRUE(finite(objective(narrow))) << chosen << " " << rejected << " " << reference;
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
      Row<float> narrow;
      narrow.branches = branches;
      narrow.weight = static_cast<float>(row.weight);
      narrow.margin = static_cast<float>(row.margin);
      double size = 1;
      for (int k = 0; k < branches; ++k) {
        const auto& s = row.branch[k];
        narrow.branch[k] = {static_cast<float>(s.logp), static_cast<float>(s.ref_logp),
                            static_cast<float>(s.num_tokens), static_cast<float>(s.collision),
                            static_cast<float>(s.max_logp)};
        size = std::max({size, std::abs(s.logp), std::abs(s.ref_logp)});
      }
      const RowLoss<double> wide = objective(row);
      const RowLoss<float> out = objective(narrow);
      // Up to 5 roundings of logits of the logps' size, whose slopes here are at most 4.
      const double tolerance = 20 * 6e-8 * size * 4;
      EXPECT_NEAR(out.loss, wide.loss, tolerance);
      for (int k = 0; k < branches; ++k) {
        EXPECT_NEAR(out.d_logp[k], wide.d_logp[k], tolerance);
        EXPECT_NEAR(out.reward[k], wide.reward[k], tolerance);
      }
    }
  });
}

TEST(EveryObjectiveTest, IdenticalPairsPullNowhere) {
  // What pulls the shared tokens of the chosen branch up pulls those of the rejected one down by as
  // much.
  Random random;
  int compared = 0;
  for_each_objective([&](auto objective) {
    if (objective.min_branches < 2) return;
    SCOPED_TRACE(objective.name);
    for (int i = 0; i < 50; ++i) {
      randomize(objective, random);
      Row<double> row = random_row(random, 2);
      row.branch[1] = row.branch[0];
      const RowLoss<double> out = objective(row);
      EXPECT_NEAR(out.d_logp[0] + out.d_logp[1], 0, 1e-15);
      EXPECT_EQ(out.reward[0], out.reward[1]);
      EXPECT_TRUE(finite(out));
      ++compared;
    }
  });
  EXPECT_GE(compared, 50) << "the list has a pairwise objective";
}

TEST(EveryObjectiveTest, StepZeroIsLogTwo) {
  // Policy = reference: no row is preferred yet, so the logistic losses read ln 2, whatever beta
  // and the labels' noise.
  Random random;
  int compared = 0;
  for_each_objective([&](auto objective) {
    if (!has(objective.needs, Needs::reference)) return;
    SCOPED_TRACE(objective.name);
    for (int i = 0; i < 50; ++i) {
      randomize(objective, random);
      Row<double> row = random_row(random, 2);
      row.margin = 0;
      for (auto& branch : row.branch) branch.ref_logp = branch.logp;
      const RowLoss<double> out = objective(row);
      EXPECT_DOUBLE_EQ(out.loss, std::log(2.0));
      EXPECT_EQ(out.reward[0], 0);
      EXPECT_EQ(out.reward[1], 0);
      ++compared;
    }
  });
  EXPECT_GE(compared, 50) << "the list has an objective with a reference";
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
      for (const double other : values_inside(range)) {
        if (other == static_cast<double>(was)) continue;
        value = other;
        bool differs = false;
        for (const auto& row : rows) differs = differs || !same(changed(row), objective(row));
        EXPECT_TRUE(differs) << T::name << ": " << name << " = " << other << " does nothing";
        ++changes;
      }
      value = was;
      EXPECT_GE(changes, 2) << name;
      seen.insert(std::string(T::name) + "." + name);
    });
  });
  EXPECT_TRUE(seen.contains("dpo.beta"));
  EXPECT_TRUE(seen.contains("dpo.label_smoothing"));
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
  EXPECT_THAT(objective_names(), ::testing::ElementsAre("dpo", "sft"));
}

}  // namespace
}  // namespace pref
