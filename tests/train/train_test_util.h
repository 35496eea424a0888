// SPDX-License-Identifier: Apache-2.0
// A task that a toy decoder learns in some dozen updates, and what a run leaves behind in
// comparable form.
#pragma once
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "libpref/train/trainer.h"
#include "tests/model_folder/model_folder_test_util.h"
#include "tests/nn/toy_model.h"
#include "tests/objectives/objective_test_util.h"

namespace pref::testing {

inline constexpr int64_t kToyVocab = 16;

/// The chosen answer counts up from the prompt's last token, the rejected one down. Lengths differ
/// from row to row.
inline std::vector<TokenizedRow> counting_rows(int64_t count, uint64_t seed = 1) {
  RandomStream random(seed, "test rows");
  std::vector<TokenizedRow> rows;
  for (int64_t i = 0; i < count; ++i) {
    TokenizedRow row{.id = "pair-" + std::to_string(i), .place = "test:" + std::to_string(i)};
    row.prompt = random_ids(random, 1 + random.below(4), kToyVocab);
    for (const int step : {1, -1}) {
      std::vector<int32_t> answer;
      const int64_t length = 2 + static_cast<int64_t>(random.below(3));
      for (int64_t k = 1; k <= length; ++k)
        answer.push_back(
            static_cast<int32_t>((row.prompt.back() + step * k + kToyVocab) % kToyVocab));
      row.branches.push_back(answer);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

/// A llama of 16 tokens whose weights depend on the seed alone.
inline Model toy_model(uint64_t seed = 1) {
  Model model(toy_config("llama", kToyVocab), nullptr);
  initialize_weights(model, seed, 0.2);
  return model;
}

inline TrainerOptions toy_options(const std::string& output_dir = "") {
  TrainerOptions options;
  options.output_dir = output_dir;
  options.learning_rate = 5e-3;
  options.per_device_train_batch_size = 4;
  options.num_train_epochs = 3;
  options.logging_steps = 1;
  options.save_strategy = output_dir.empty() ? Interval::no : Interval::steps;
  return options;
}

/// Lines of a metrics.jsonl without what a clock decides.
inline std::vector<nlohmann::json> metric_lines(const std::string& folder,
                                                bool with_clock = false) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(read_text(folder + "/metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    nlohmann::json json = nlohmann::json::parse(line);
    for (auto it = json.begin(); it != json.end() && !with_clock;)
      it = it.key().starts_with("perf/") || it.key().ends_with("_runtime") ? json.erase(it)
                                                                           : std::next(it);
    lines.push_back(std::move(json));
  }
  return lines;
}

inline double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    worst = std::max(worst, static_cast<double>(std::abs(a[i] - b[i])));
  return worst;
}
inline double largest(const std::vector<float>& a) {
  return largest_difference(a, std::vector<float>(a.size()));
}

}  // namespace pref::testing
