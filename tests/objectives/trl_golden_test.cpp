// SPDX-License-Identifier: Apache-2.0
// Golden: losses and derivatives that TRL's own code gave (tests/python/make_objective_goldens.py).
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "libpref/base/yaml.h"
#include "libpref/objectives/objective.h"
#include "tests/objectives/objective_test_util.h"

namespace pref {
namespace {

// The objective of a line: `options` is key=value,key=value; keys that the term has not go to the
// modifiers.
Objective objective_of(const std::string& name, const std::string& options) {
  Term term = make_term(name);
  Modifiers modifiers;
  std::istringstream list(options);
  for (std::string item; std::getline(list, item, ',');) {
    const Setting s = parse_setting_argument(item);
    if (std::visit([&](auto& t) { return set_option(t, s.name, s.text, {"golden"}, false); }, term))
      continue;
    if (s.name == "use_weighting") {
      modifiers.weighting = Weighting{.clamp = WeightClamp::none};  // as TRL from 0.29
    } else {
      if (!modifiers.divergence) modifiers.divergence.emplace();
      set_option(*modifiers.divergence, s.name, s.text, {"golden"});
    }
  }
  return Objective({{term, 1}}, modifiers);
}

TEST(TrlGoldenTest, Golden) {
  std::ifstream file(PREF_SOURCE_DIR "/tests/objectives/trl_goldens.txt");
  ASSERT_TRUE(file.is_open());
  std::set<std::string> seen;
  int lines = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    SCOPED_TRACE(line);
    std::istringstream words(line);
    std::string trainer, name, options, type;
    words >> trainer >> name >> options >> type;
    Row<double> row;
    for (int k = 0; k < 2; ++k) {
      auto& s = row.branch[k];
      words >> s.logp >> s.ref_logp >> s.num_tokens >> s.collision;
    }
    double loss = 0, chosen = 0, rejected = 0;
    words >> loss >> chosen >> rejected;
    ASSERT_FALSE(words.fail());
    if (name == "xpo") {  // the reference's response is the rejected one
      row.branches = 3;
      row.branch[2] = row.branch[1];
    }
    const RowLoss<double> out = objective_of(name, options)(row, {});
    const double tolerance = type == "float32" ? 2e-5 : 1e-12;
    EXPECT_NEAR(out.loss, loss, tolerance * (1 + std::abs(loss)));
    EXPECT_NEAR(out.d_logp[0], chosen, tolerance * (1 + std::abs(chosen)));
    EXPECT_NEAR(out.d_logp[1] + out.d_logp[2], rejected, tolerance * (1 + std::abs(rejected)));
    seen.insert(name);
    ++lines;
  }
  EXPECT_EQ(seen.size(), 17u);
  EXPECT_EQ(lines, 112);
}

}  // namespace
}  // namespace pref
