// SPDX-License-Identifier: Apache-2.0
#include "libpref/objectives/objective.h"

#include <algorithm>
#include <optional>

#include "libpref/base/error.h"

namespace pref {
namespace {

// Says why a row does not fit.
template <class T>
void check_row(const T& term, const Row<double>& row) {
  if (row_fits<T>(row)) return;
  require(row.branches >= term.min_branches, ErrorKind::data, term.name, "a row of at least ",
          term.min_branches, " responses is required, got ", row.branches, ".");
  if constexpr (has(T::needs, Needs::label))
    require(row.label != 0, ErrorKind::data, term.name,
            "every row must say whether its response is desirable (\"label\": true or false), one "
            "does not.");
  require(row.margin == 0 || has(term.accepts, Accepts::margin), ErrorKind::data, term.name,
          "a row has margin ", row.margin,
          ", for which this loss has no place. Remove the margins, "
          "or choose another loss_type.");
  if constexpr (has(T::needs, Needs::win_probability))
    for (int k = 0; k < 2; ++k) {
      const double p = row.branch[k].win_probability;
      require(p >= 0 && p <= 1, ErrorKind::data, term.name, "response ", k,
              " of a row needs a win probability between 0 and 1, got ",
              p == -1 ? "none" : std::to_string(p), ".");
    }
  if constexpr (has(T::needs, Needs::score)) {
    for (int k = 1; k < row.branches; ++k)
      require(row.branch[k].score <= row.branch[k - 1].score, ErrorKind::data, term.name,
              "the responses of a row must come by falling score; response ", k, " has ",
              row.branch[k].score, " after ", row.branch[k - 1].score, ".");
    require(row.branch[0].score > row.branch[row.branches - 1].score, ErrorKind::data, term.name,
            "the responses of a row all have score ", row.branch[0].score,
            ", which ranks nothing. Give scores, or drop the row.");
  }
}

// Every term that compares responses must take what acts on it, and there must be one.
void check_accepted(const std::vector<WeightedTerm>& terms, Accepts modifier, const char* what,
                    const char* wanted) {
  bool taken = false;
  for (const auto& weighted : terms)
    std::visit(
        [&](const auto& t) {
          const bool takes = has(t.accepts, modifier);
          require(takes || !compares<std::decay_t<decltype(t)>>(), ErrorKind::option, t.name, what,
                  " has no place in this loss; it takes ", wanted,
                  ". Remove it, or choose another loss_type.");
          taken = taken || takes;
        },
        weighted.term);
  require(taken, ErrorKind::option, "objective", what,
          " has no effect: no term compares responses.");
}

// Would the constant that phi may drop change the term's loss?
bool feels_constant(const Term& term, const Modifiers& modifiers) {
  if (const IPO* ipo = std::get_if<IPO>(&term))
    return ipo->ipo_normalization == IPONormalization::mean && !modifiers.average;
  return std::visit([](const auto& t) { return has(t.accepts, Accepts::divergence_constant); },
                    term);
}

void check_divergence(const std::vector<WeightedTerm>& terms, const Modifiers& modifiers) {
  const bool dropped = modifiers.divergence->drops_constant();
  check_accepted(
      terms, dropped ? Accepts::divergence | Accepts::divergence_constant : Accepts::divergence,
      "an f_divergence_type other than reverse_kl", "a loss of the difference of two log-ratios");
  require(!dropped || std::any_of(terms.begin(), terms.end(),
                                  [&](const WeightedTerm& weighted) {
                                    return feels_constant(weighted.term, modifiers);
                                  }),
          ErrorKind::option, "objective",
          "option \"f_divergence_constant\" has no effect: constants cancel in the differences of "
          "these terms. Remove it.");
}

// Ranges, and options that the others leave without effect.
template <class T>
void check_options_of(const T& options) {
  check_options(options, options.name);
  if constexpr (requires { options.without_effect(); })
    if (const char* idle = options.without_effect())
      fail(ErrorKind::option, options.name, "option \"", idle,
           "\" has no effect with the other options given. Remove it.");
}

}  // namespace

Objective::Objective(std::vector<WeightedTerm> terms, Modifiers modifiers)
    : terms_(std::move(terms)), modifiers_(modifiers) {
  require(!terms_.empty(), ErrorKind::option, "objective",
          "at least one term is required, none came. Name one in loss_type.");
  for (const auto& weighted : terms_)
    std::visit([](const auto& t) { check_options_of(t); }, weighted.term);
  int coupling = 0;
  for (const auto& weighted : terms_)
    std::visit(
        [&]<class T>(const T& t) {
          if constexpr (Coupled<T>) coupling += t.couples();
        },
        weighted.term);
  require(coupling <= 1, ErrorKind::option, "objective",
          "at most one term may take a quantity of the whole batch, got ", coupling, ": ", name(),
          ".");
  if (modifiers_.length) {
    check_options_of(*modifiers_.length);
    check_accepted(terms_, Accepts::length, "ld_alpha", "a loss of one pair's log-ratios");
    require(!has(needs(), Needs::token_rewards), ErrorKind::option, "objective",
            "ld_alpha and token rewards cannot be combined. Remove one of them.");
  }
  if (modifiers_.average && !modifiers_.average->average_log_prob) modifiers_.average.reset();
  if (modifiers_.average) {
    check_accepted(terms_, Accepts::average, "average_log_prob",
                   "a loss of one pair's log-ratios that does not look at lengths itself");
    for (const auto& weighted : terms_)
      if (const IPO* ipo = std::get_if<IPO>(&weighted.term))
        require(ipo->ipo_normalization == IPO{}.ipo_normalization, ErrorKind::option, "ipo",
                "option \"ipo_normalization\" has no effect with average_log_prob. Remove it.");
  }
  if (modifiers_.weighting) {
    check_options_of(*modifiers_.weighting);
    check_accepted(terms_, Accepts::weighting, "WPO's weight",
                   "a loss of one pair, without likelihood or exploration part");
  }
  if (modifiers_.divergence) {
    check_options_of(*modifiers_.divergence);
    if (modifiers_.divergence->f_divergence_type == FDivergence::reverse_kl)
      modifiers_.divergence.reset();  // the losses as they are
    else
      check_divergence(terms_, modifiers_);
  }
}

Needs Objective::needs() const {
  Needs all = modifiers_.weighting ? modifiers_.weighting->needs() : Needs::nothing;
  if (modifiers_.length) all = all | Needs::tail;
  for (const auto& [term, weight] : terms_)
    std::visit([&](const auto& t) { all = all | t.needs; }, term);
  return all;
}

bool Objective::explores() const {
  return std::any_of(terms_.begin(), terms_.end(), [](const WeightedTerm& t) {
    return std::holds_alternative<SELM>(t.term) || std::holds_alternative<XPO>(t.term);
  });
}

bool Objective::couples() const {
  return std::any_of(terms_.begin(), terms_.end(), [](const WeightedTerm& weighted) {
    return std::visit(
        []<class T>(const T& t) {
          if constexpr (Coupled<T>)
            return t.couples();
          else
            return false;
        },
        weighted.term);
  });
}

void Objective::couple(std::span<Row<double>> batch, CouplingState& state) const {
  if (batch.empty()) return;  // no running mean takes in what is not there
  for (const auto& [term, weight] : terms_)
    std::visit(
        [&]<class T>(const T& t) {
          if constexpr (Coupled<T>) {
            if (!t.couples()) return;
            const RowModifiers modifiers = row_modifiers();
            if (!compares<T>() || !modifiers.bends()) return t.couple(HostRows(batch), state);
            std::vector<Row<double>> bent;  // what the term will be called with
            bent.reserve(batch.size());
            for (const auto& row : batch) {
              double slope[kMaxBranches];
              bend_sums(bent.emplace_back(row), modifiers, slope);
              bend_ratios(bent.back(), modifiers, slope);
            }
            t.couple(HostRows(bent), state);
            for (size_t i = 0; i < batch.size(); ++i)
              for (int k = 0; k < batch[i].branches; ++k)
                batch[i].branch[k].coupled = bent[i].branch[k].coupled;
          }
        },
        term);
}

int Objective::min_branches() const {
  int most = 1;
  for (const auto& [term, weight] : terms_)
    std::visit([&](const auto& t) { most = std::max(most, t.min_branches); }, term);
  return most;
}

int Objective::max_branches() const {
  int most = 0;
  for (const auto& [term, weight] : terms_)
    std::visit(
        [&](const auto& t) {
          if (t.min_branches < 2) return;
          if constexpr (requires { t.max_branches; })
            most = kMaxBranches;
          else
            most = std::max(most, t.min_branches);
        },
        term);
  return most > 0 ? most : kMaxBranches;
}

std::string Objective::name() const {
  std::string out;
  for (const auto& [term, weight] : terms_)
    std::visit([&](const auto& t) { out += (out.empty() ? "" : "+") + std::string(t.name); }, term);
  if (modifiers_.divergence)
    for (const auto& entry : enum_names(FDivergence{}))
      if (entry.value == modifiers_.divergence->f_divergence_type)
        out = std::string(entry.name) + "(" + out + ")";
  if (modifiers_.average) out = std::string(Averaging::name) + "(" + out + ")";
  if (modifiers_.length) out = std::string(LengthDesensitization::name) + "(" + out + ")";
  if (modifiers_.weighting) out = std::string(Weighting::name) + "(" + out + ")";
  return out;
}

RowModifiers Objective::row_modifiers() const {
  return {.weighting = modifiers_.weighting.value_or(Weighting{}),
          .divergence = modifiers_.divergence.value_or(Divergence{}),
          .length = modifiers_.length.value_or(LengthDesensitization{}),
          .weighs = modifiers_.weighting.has_value(),
          .diverges = modifiers_.divergence.has_value(),
          .shortens = modifiers_.length.has_value(),
          .averages = modifiers_.average.has_value()};
}

RowLoss<double> Objective::operator()(const Row<double>& row,
                                      const Normalizers& normalizers) const {
  const RowModifiers modifiers = row_modifiers();
  RowLoss<double> sum;
  sum.pair_weight = pair_weight_of(modifiers, row);
  bool rewarded = false;
  for (const auto& [term, weight] : terms_) {
    std::visit(
        [&](const auto& t) {
          check_row(t, row);
          Row<double> own = row;  // bent by the modifiers
          add_term(t, weight * row.weight / divisor(t.normalizer, normalizers), own, modifiers,
                   rewarded, sum);
          rewarded = rewarded || gives_rewards<std::decay_t<decltype(t)>>();
        },
        term);
  }
  return sum;
}

std::vector<std::string> objective_names() {
  std::vector<std::string> names;
  for_each_objective([&](const auto& t) { names.emplace_back(t.name); });
  return names;
}

Term make_term(const std::string& name) {
  std::optional<Term> found;
  std::string known;
  for_each_objective([&](const auto& t) {
    if (name == t.name || name == t.loss_type) found = t;
    known += (known.empty() ? "" : ", ") + std::string(t.name);
    if (std::string(t.loss_type) != t.name)
      known += std::string(" (loss_type ") + t.loss_type + ")";
  });
  if (!found) {
    const std::string near = nearest_name(name, objective_names());
    fail(ErrorKind::option, "objective", "\"", name, "\" is not a known objective; known: ", known,
         ".", near.empty() ? "" : " Did you mean \"" + near + "\"?");
  }
  return *found;
}

}  // namespace pref
