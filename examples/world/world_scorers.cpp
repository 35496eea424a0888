// SPDX-License-Identifier: Apache-2.0
#include "examples/world/world_scorers.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>
#include <utility>

#include "libpref/base/error.h"
#include "libpref/base/random.h"

namespace pref {
namespace {

struct Feature {
  size_t index;
  double value;
};
using Features = std::vector<Feature>;

double score(const std::vector<double>& weights, const Features& features) {
  double sum = 0;
  for (const Feature& f : features) sum += weights[f.index] * f.value;
  return sum;
}

// Chosen minus rejected features of pairs; new features are numbered only while `grow`.
class ReplyFeatures {
 public:
  explicit ReplyFeatures(bool only_length) : only_length_(only_length) {}

  Features difference(const WorldPair& pair, bool grow) {
    Features out;
    add(pair.chosen, +1, grow, out);
    add(pair.rejected, -1, grow, out);
    return out;
  }
  size_t size() const { return index_.size(); }

 private:
  void put(const std::string& name, double value, bool grow, Features& out) {
    const auto it = grow ? index_.emplace(name, index_.size()).first : index_.find(name);
    if (it != index_.end()) out.push_back({it->second, value});
  }
  void add(const std::string& reply, double sign, bool grow, Features& out) {
    int64_t words = 0, sentences = 0;
    std::string word, previous = "<s>";
    for (size_t i = 0; i <= reply.size(); ++i) {
      if (i < reply.size() && reply[i] != ' ') {
        word += reply[i];
        sentences += reply[i] == '.' || reply[i] == '!' || reply[i] == '?';
        continue;
      }
      if (word.empty()) continue;
      ++words;
      if (!only_length_) {
        put(word, sign, grow, out);
        put(previous + ' ' + word, sign, grow, out);
      }
      previous = std::exchange(word, {});
    }
    // A tenth of the count, to be of the size of the other features.
    put("<words>", 0.1 * sign * static_cast<double>(words), grow, out);
    if (!only_length_) put("<sentences>", sign * static_cast<double>(sentences), grow, out);
  }

  bool only_length_;
  std::unordered_map<std::string, size_t> index_;
};

double reply_scorer_accuracy(const std::vector<WorldPair>& train,
                             const std::vector<WorldPair>& held_out, bool only_length) {
  require(!train.empty() && !held_out.empty(), ErrorKind::option, "world",
          "at least one pair to fit and one to judge are required, ", train.size(), " and ",
          held_out.size(), " came.");
  ReplyFeatures features(only_length);
  std::vector<Features> rows;
  for (const WorldPair& pair : train) rows.push_back(features.difference(pair, true));
  // Adagrad on -log sigma(w.x) + decay |w|^2 / 2. No intercept: swapping a pair must negate its
  // score.
  constexpr double kRate = 0.1, kDecay = 2e-4;
  constexpr uint64_t kPasses = 8;
  std::vector<double> weights(features.size()), squares(features.size(), 1e-8);
  for (uint64_t pass = 0; pass < kPasses; ++pass) {
    for (const int64_t row :
         RandomStream(0, "world scorer", pass).permutation(static_cast<int64_t>(rows.size()))) {
      const Features& x = rows[static_cast<size_t>(row)];
      const double slope = -1 / (1 + std::exp(score(weights, x)));
      for (const Feature& f : x) {
        double& weight = weights[f.index];
        const double gradient = slope * f.value + kDecay * weight;
        squares[f.index] += gradient * gradient;
        weight -= kRate * gradient / std::sqrt(squares[f.index]);
      }
    }
  }
  double right = 0;
  for (const WorldPair& pair : held_out) {
    const double margin = score(weights, features.difference(pair, false));
    right += margin > 0 ? 1 : margin < 0 ? 0 : 0.5;
  }
  return right / static_cast<double>(held_out.size());
}

}  // namespace

double blind_scorer_accuracy(const std::vector<WorldPair>& train,
                             const std::vector<WorldPair>& held_out) {
  return reply_scorer_accuracy(train, held_out, false);
}

double length_scorer_accuracy(const std::vector<WorldPair>& train,
                              const std::vector<WorldPair>& held_out) {
  return reply_scorer_accuracy(train, held_out, true);
}

double bayes_accuracy(const std::vector<WorldPair>& pairs) {
  require(!pairs.empty(), ErrorKind::option, "world", "at least one pair is required, none came.");
  double sum = 0;
  for (const WorldPair& pair : pairs)
    sum += std::max(pair.label_probability, 1 - pair.label_probability);
  return sum / static_cast<double>(pairs.size());
}

}  // namespace pref
