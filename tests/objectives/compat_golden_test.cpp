// SPDX-License-Identifier: Apache-2.0
// The presets against what the real versions of TRL computed, ignored or refused
// (tests/python/make_compat_goldens.py says what the lines of the file mean).
#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "libpref/base/yaml.h"
#include "libpref/objectives/compat.h"
#include "tests/objectives/objective_test_util.h"

namespace pref {
namespace {

struct GoldenBatch {
  std::string type;
  double loss = 0, reward[2] = {};
  std::vector<Row<double>> rows;
  std::vector<std::array<double, 2>> slopes;
};

struct GoldenCase {
  std::string kind, preset, trainer, words;
  std::vector<GoldenBatch> batches;
};

std::vector<GoldenCase> read_goldens() {
  std::ifstream file(PREF_SOURCE_DIR "/tests/objectives/compat_goldens.txt");
  EXPECT_TRUE(file.is_open());
  std::map<std::string, std::vector<Row<double>>> known;
  std::vector<Row<double>>* rows = nullptr;  // those that pair lines belong to
  std::vector<GoldenCase> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream in(line);
    std::string kind, id;
    in >> kind;
    if (kind == "#" || kind == "versions" || kind == "default") continue;
    if (kind == "rows") {
      in >> id;
      rows = &known[id];
    } else if (kind == "pair") {
      Row<double> row;
      for (int k = 0; k < 2; ++k) {
        auto& s = row.branch[k];
        in >> s.logp >> s.ref_logp >> s.num_tokens >> s.collision >> s.marked >> s.ref_marked;
      }
      rows->push_back(row);
    } else if (kind == "batch") {
      GoldenBatch batch;
      in >> id >> batch.type >> batch.loss >> batch.reward[0] >> batch.reward[1];
      batch.rows = known.at(id);
      batch.slopes.resize(batch.rows.size());
      for (auto& slopes : batch.slopes) in >> slopes[0] >> slopes[1];
      cases.back().batches.push_back(std::move(batch));
    } else {
      GoldenCase one;
      one.kind = kind;
      in >> one.preset >> one.trainer;
      std::getline(in >> std::ws, one.words, '#');
      while (one.words.ends_with(' ')) one.words.pop_back();
      cases.push_back(std::move(one));
      continue;
    }
    EXPECT_FALSE(in.fail()) << line;
  }
  return cases;
}

struct Loss {  // the two keys that choose the objective
  std::vector<std::string> loss_type;
  std::vector<double> loss_weights;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("loss_type", self.loss_type, any(), "");
    visit("loss_weights", self.loss_weights, any(), "");
  }
};

struct Preset {
  Compat compat = Compat::none;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("compat", self.compat, any(), "");
  }
};

Loss loss_of(const GoldenCase& golden) {
  Loss loss;
  std::istringstream words(golden.words);
  for (std::string word; words >> word;) {
    const Setting s = parse_setting_argument(word);
    set_option(loss, s.name, s.text, {"golden"}, false);
  }
  return loss;
}

// The objective that the configuration means under its preset.
Objective objective_of(const GoldenCase& golden) {
  Preset preset;
  set_option(preset, "compat", golden.preset, {"golden"});
  const Loss loss = loss_of(golden);
  ObjectiveChoice choice{.loss_type = loss.loss_type, .loss_weights = loss.loss_weights};
  std::vector<Setting> settings;
  std::istringstream words(golden.words);
  for (std::string word; words >> word;) {
    const Setting s = parse_setting_argument(word);
    if (!known_option<Loss>(s.name)) settings.push_back(s);
  }
  const bool simpo = golden.trainer == "cpo";
  if (simpo) choice.loss_type = {"simpo"};
  apply_compat(preset.compat, simpo ? CompatTrainer::simpo : CompatTrainer::dpo, choice, settings);
  Objective objective = make_objective(choice, settings);
  for (const Setting& s : settings)
    EXPECT_TRUE(s.name.starts_with("max_") || s.name == "truncation_mode") << s.name;
  return objective;
}

bool has_word(const GoldenCase& golden, const std::string& text) {
  return golden.words.find(text) != std::string::npos;
}

// What a version computes and libpref refuses under its preset; docs/compatibility.md has each.
bool not_reproduced(const GoldenCase& golden) {
  const bool weighted = has_word(golden, "use_weighting");
  const bool aot = has_word(golden, "aot");
  if (golden.preset == "trl-0.28")
    return has_word(golden, "ld_alpha") ||
           (weighted && (aot || has_word(golden, "sft") || has_word(golden, "rpo_alpha")));
  if (golden.preset == "trl-1.9")
    return (has_word(golden, "apo_down") && has_word(golden, "f_divergence_type")) ||
           (aot && has_word(golden, "ld_alpha"));
  return false;
}

void expect_equal(const GoldenCase& golden) {
  const Objective objective = objective_of(golden);
  // 0.9 and 0.28 keep bco_pair's running mean in float32.
  const bool moments = has_word(golden, "bco_pair") && golden.preset != "trl-1.9";
  double shown = 1;  // 0.28 adds up the rewards of a list, each times its loss's weight
  if (golden.preset == "trl-0.28" && golden.trainer == "dpo") {
    const Loss loss = loss_of(golden);
    shown = loss.loss_weights.empty() ? static_cast<double>(loss.loss_type.size()) : 0;
    for (const double weight : loss.loss_weights) shown += weight;
  }
  CouplingState state;
  for (const GoldenBatch& batch : golden.batches) {
    const double tolerance = batch.type == "float32" ? 2e-5 : moments ? 1e-6 : 1e-9;
    std::vector<Row<double>> rows = batch.rows;
    if (objective.couples()) objective.couple(rows, state);
    Normalizers normalizers{.rows = static_cast<double>(rows.size()), .chosen_tokens = 0};
    for (const auto& row : rows) normalizers.chosen_tokens += row.chosen().num_tokens;
    double loss = 0, reward[2] = {};
    for (size_t i = 0; i < rows.size(); ++i) {
      const RowLoss<double> out = objective(rows[i], normalizers);
      loss += out.loss;
      for (int k = 0; k < 2; ++k) {
        reward[k] += out.reward[k] / normalizers.rows;
        const double expected = batch.slopes[i][static_cast<size_t>(k)];
        EXPECT_NEAR(out.d_logp[k], expected, tolerance * (1 + std::abs(expected)))
            << "row " << i << ", branch " << k;
      }
    }
    EXPECT_NEAR(loss, batch.loss, tolerance * (1 + std::abs(batch.loss)));
    if (objective.min_branches() < 2) continue;  // compares nothing: no rewards
    // The versions log rewards in float32.
    for (int k = 0; k < 2; ++k)
      EXPECT_NEAR(shown * reward[k], batch.reward[k],
                  std::max(tolerance, 1e-6) * (1 + std::abs(batch.reward[k])));
  }
}

TEST(CompatGoldenTest, Golden) {
  std::map<std::string, int> same, refused;
  int left_out = 0;
  for (const GoldenCase& golden : read_goldens()) {
    SCOPED_TRACE(golden.kind + " " + golden.preset + " " + golden.trainer + " " + golden.words);
    if (golden.kind == "same" && !not_reproduced(golden)) {
      EXPECT_NO_THROW(expect_equal(golden));
      ++same[golden.preset];
      continue;
    }
    left_out += golden.kind == "same";
    ++refused[golden.preset];
    EXPECT_THAT(testing::error_of(ErrorKind::option, [&] { objective_of(golden); }),
                ::testing::Not(::testing::IsEmpty()));
  }
  for (const char* preset : {"trl-0.9", "trl-0.28", "trl-1.9"}) {
    std::printf("%s: %d configurations equal, %d refused\n", preset, same[preset], refused[preset]);
  }
  std::printf("computed by the version and refused here: %d\n", left_out);
  EXPECT_EQ(same["trl-0.9"], 48);
  EXPECT_EQ(same["trl-0.28"], 68);
  EXPECT_EQ(same["trl-1.9"], 98);
  EXPECT_EQ(refused["trl-0.9"] + refused["trl-0.28"] + refused["trl-1.9"], 281);
  EXPECT_EQ(left_out, 26);
}

}  // namespace
}  // namespace pref
