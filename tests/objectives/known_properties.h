// SPDX-License-Identifier: Apache-2.0
// What is known of each objective in closed form: its loss before the first step, what a pair of
// identical responses does, and which symmetries it has. One row per objective; the tests that walk
// the list read it. Absent members mean that the property does not hold.
#pragma once
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "libpref/objectives/row.h"

namespace pref::testing {

using Numbers = std::map<std::string, double>;
using Closed = std::function<double(const Numbers&, const Row<double>&)>;

struct KnownProperties {
  /// Loss when policy and reference agree and there is no margin.
  Closed at_reference;
  /// d loss / d logp_w + d loss / d logp_l when the two responses are one and the same.
  Closed identical_pull;
  /// loss(row) - loss(row with the two responses exchanged), without margin.
  Closed swap;
  /// Depends on the two log-probs by their difference alone.
  bool by_difference = false;
  /// Log-probs times c and beta over c: the loss grows by c to this power.
  std::optional<int> degree;
  /// The value follows the log-probs through a weight that carries no gradient, or is shared with
  /// other rows, so that differences of the row's loss are no derivatives; tests of its own hold
  /// them.
  bool detached = false;
};

inline const std::map<std::string, KnownProperties>& known_properties() {
  using O = const Numbers&;
  using R = const Row<double>&;
  const auto h = [](R r, int k) { return r.branch[k].logp - r.branch[k].ref_logp; };
  const auto s = [](double x) { return 1 / (1 + std::exp(-x)); };
  const Closed zero = [](O, R) { return 0.0; };
  const Closed one = [](O, R) { return 1.0; };
  const Closed log_two = [](O, R) { return std::log(2.0); };
  // Labels flipped with probability e leave 1 - 2e of the logit between a pair and its mirror.
  const Closed mirrored = [h](O o, R r) {
    return -(1 - 2 * o.at("label_smoothing")) * o.at("beta") * (h(r, 0) - h(r, 1));
  };
  const Closed plain_swap = [h](O o, R r) { return -o.at("beta") * (h(r, 0) - h(r, 1)); };
  static const std::map<std::string, KnownProperties> known = {
      {"dpo", {log_two, zero, mirrored, true, 0}},
      {"sft", {}},
      {"robust",
       {log_two, zero,
        [h](O o, R r) {
          return -o.at("beta") * (h(r, 0) - h(r, 1)) / (1 - 2 * o.at("label_smoothing"));
        },
        true, 0}},
      {"hinge", {one, zero, {}, true, 0}},
      {"ipo",
       {[](O o, R) { return std::pow(1 / (2 * o.at("beta")), 2); }, zero,
        [h](O o, R r) {  // (H - t)^2 - (-H - t)^2
          const bool sums = o.at("ipo_normalization") == 1;
          const double n_w = sums ? 1 : r.branch[0].num_tokens,
                       n_l = sums ? 1 : r.branch[1].num_tokens;
          return -2 / o.at("beta") * (h(r, 0) / n_w - h(r, 1) / n_l);
        },
        false, 2}},
      {"exo_pair",
       {[](O o, R) {
          const double e = o.at("label_smoothing");
          return std::log(0.5) - 0.5 * (std::log(e) + std::log(1 - e));
        },
        zero,
        [h, s](O o, R r) {  // (2q - 1) log(e / (1-e))
          const double e = o.at("label_smoothing"), q = s(o.at("beta") * (h(r, 0) - h(r, 1)));
          return (2 * q - 1) * std::log(e / (1 - e));
        },
        true, 0}},
      {"nca_pair",
       {[](O, R) { return 2 * std::log(2.0); },
        [h, s](O o, R r) {
          const double reward = o.at("beta") * h(r, 0);
          return o.at("beta") * (s(reward) - s(-reward));
        },
        [h, s](O o, R r) {
          return std::log(s(o.at("beta") * h(r, 1))) - std::log(s(o.at("beta") * h(r, 0)));
        },
        false, 0}},
      {"bco_pair",
       {[](O, R) { return 2 * std::log(2.0); },
        [h, s](O o, R r) {
          const double reward = o.at("beta") * h(r, 0);
          return o.at("beta") * (s(reward) - s(-reward));
        },
        [h](O o, R r) { return -o.at("beta") * (h(r, 0) - h(r, 1)); }, false, 0}},
      {"sppo_hard",
       {[](O o, R) { return 1 / (2 * o.at("beta") * o.at("beta")); },
        [h](O, R r) { return 4 * h(r, 0); },
        [h](O o, R r) { return -2 / o.at("beta") * (h(r, 0) - h(r, 1)); }, false, 2}},
      {"apo_zero",
       {one, zero,
        [h, s](O o, R r) { return 2 * (s(o.at("beta") * h(r, 1)) - s(o.at("beta") * h(r, 0))); },
        false, 0}},
      {"apo_down",
       {one,
        [h, s](O o, R r) {
          const double reward = o.at("beta") * h(r, 0);
          return o.at("beta") * s(reward) * s(-reward);
        },
        {},
        false,
        0}},
      {"discopop", {[](O, R) { return 0.5 * std::log(2.0) + 0.5; }, zero, {}, true, 0}},
      {"sigmoid_norm",
       {log_two, zero,
        [h](O o, R r) {
          return -o.at("beta") *
                 (h(r, 0) / r.branch[0].num_tokens - h(r, 1) / r.branch[1].num_tokens);
        },
        false, 0}},
      {"r_dpo",
       {[](O o, R r) {
          return std::log1p(
              std::exp(-o.at("alpha") * (r.branch[0].num_tokens - r.branch[1].num_tokens)));
        },
        zero,
        [h](O o, R r) {
          return -o.at("beta") * (h(r, 0) - h(r, 1)) -
                 o.at("alpha") * (r.branch[0].num_tokens - r.branch[1].num_tokens);
        },
        true, 0}},
      {"simpo", {{}, zero, {}, false, {}}},
      {"cpo",
       {{},
        zero,
        [](O o, R r) {
          return -(1 - 2 * o.at("label_smoothing")) * o.at("beta") *
                 (r.branch[0].logp - r.branch[1].logp);
        },
        true,
        0}},
      {"orpo",
       {{}, [](O o, R r) { return -o.at("nll_weight") / r.branch[0].num_tokens; }, {}, false, {}}},
      {"alphapo", {{}, zero, {}, false, {}}},
      {"slic", {{}, [](O o, R) { return -o.at("nll_weight"); }, {}, false, {}}},
      {"rrhf", {{}, [](O o, R) { return -o.at("nll_weight"); }, {}, false, {}}},
      {"sppo",
       {[](O o, R r) {
          const double w = (r.branch[0].win_probability - 0.5) / o.at("beta"),
                       l = (r.branch[1].win_probability - 0.5) / o.at("beta");
          return (w * w + l * l) / 2;
        },
        [h](O o, R r) {
          return 2 * (h(r, 0) - (r.branch[0].win_probability - 0.5) / o.at("beta"));
        },
        zero, false, 2}},  // each response keeps its own target
      {"dno", {log_two, zero, zero, true, 0}},
      {"selm", {log_two, zero, plain_swap, true, 0}},
      {"xpo",
       {[](O o, R r) { return std::log(2.0) + o.at("alpha") * r.branch[2].logp; },
        zero,
        plain_swap,
        true,
        {}}},
      {"pro", {{}, [](O o, R) { return -o.at("nll_weight"); }, {}, false, {}}},
      {"logo", {{}, zero, {}, false, {}}},
      // With the batch's quantity at 0 (no shift yet) where policy and reference agree.
      {"kto",
       {[](O o, R r) {
          return 0.5 * o.at(r.label > 0 ? "desirable_weight" : "undesirable_weight");
        },
        {},
        {},
        false,
        {}}},
      {"bco", {log_two, {}, {}, false, {}}},
      {"apo_zero_unpaired",
       {[](O o, R r) {
          return 0.5 * o.at(r.label > 0 ? "desirable_weight" : "undesirable_weight");
        },
        {},
        {},
        false,
        {}}},
      {"aot", {log_two, zero, {}, true, {}}},
      {"aot_unpaired", {log_two, {}, {}, false, {}, true}},
      {"t_reg",
       {[](O o, R r) {
          return std::log(2.0) -
                 o.at("alpha") * o.at("beta") / 2 * (r.branch[0].marked + r.branch[1].marked);
        },
        zero,
        {},
        false,
        {},
        true}},
      {"cut", {{}, {}, {}, false, {}}},
  };
  return known;
}

}  // namespace pref::testing
