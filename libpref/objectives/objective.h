// SPDX-License-Identifier: Apache-2.0
// An objective is a list of weighted terms (loss_type and loss_weights of the configuration). A
// row's value is
//   sum over terms of  weight_k * row_weight * term_k(row) / normalizer_k
// so that the loss of a global batch is the plain sum over its rows, however they are split into
// microbatches and ranks. Modifiers act on its terms from outside: WPO's weight, an f-divergence,
// LD-DPO's lengths. At most one term may couple the rows of a batch (coupling.h).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "libpref/objectives/average.h"
#include "libpref/objectives/coupling.h"
#include "libpref/objectives/divergence.h"
#include "libpref/objectives/length.h"
#include "libpref/objectives/list.h"
#include "libpref/objectives/term_row.h"
#include "libpref/objectives/weighting.h"

namespace pref {

/// What the terms of a global batch are divided by; known before its first forward pass.
struct Normalizers {
  double rows = 1;
  double chosen_tokens = 1;
};
inline double divisor(Normalizer kind, const Normalizers& normalizers) {
  return kind == Normalizer::rows ? normalizers.rows : normalizers.chosen_tokens;
}

struct WeightedTerm {
  Term term;
  double weight = 1;
};

/// What acts on every term that compares responses. Terms that compare none (sft) stay as they are.
struct Modifiers {
  std::optional<Weighting> weighting{};    ///< multiplies loss and derivatives, without a gradient
  std::optional<Divergence> divergence{};  ///< phi(h) for h; rewards become those of phi(h)
  std::optional<Averaging> average{};      ///< means for sums, before the other modifiers' work
  std::optional<LengthDesensitization> length{};  ///< sums that count a longer response's tail less
};

class Objective {
 public:
  Objective(Term term)
      : Objective(std::vector<WeightedTerm>{{std::move(term), 1.0}}) {
  }  // NOLINT: an objective is usually one term
  template <class T>
  requires requires { T::normalizer; }
  Objective(T term)
      : Objective(Term(std::move(term))) {}  // NOLINT: DPO{.beta = 0.1} is an objective
  /// Throws ErrorKind::option: no term, a value out of range, an option without effect, a modifier
  /// that a term cannot take or that finds no term.
  explicit Objective(std::vector<WeightedTerm> terms, Modifiers modifiers = {});

  const std::vector<WeightedTerm>& terms() const { return terms_; }
  const Modifiers& modifiers() const { return modifiers_; }
  RowModifiers row_modifiers() const;
  Needs needs() const;
  /// A term lowers the likelihood of a third branch, the reference response (SELM, XPO).
  bool explores() const;
  /// A term needs couple() of the global batch before its rows are walked.
  bool couples() const;
  /// Writes Sequence::coupled of the rows of a global batch, which carry all their statistics.
  void couple(std::span<Row<double>> batch, CouplingState& state) const;
  /// The fewest branches a row must have for every term.
  int min_branches() const;
  /// The most responses of a row that any term that compares looks at; kMaxBranches where none
  /// compares.
  int max_branches() const;
  std::string name() const;  ///< "dpo", "dpo+sft", "wpo(dpo)", "js_divergence(dpo)"

  /// The row's share of the batch loss, its derivatives by the branches' logp, and the rewards of
  /// the first term that compares branches. Normalizers {1, n_w} give the loss of the row alone.
  /// Throws ErrorKind::data: a margin that a term has no place for; missing win probabilities,
  /// scores or labels.
  RowLoss<double> operator()(const Row<double>& row, const Normalizers& normalizers) const;

 private:
  std::vector<WeightedTerm> terms_;
  Modifiers modifiers_;
};

/// The term called `name`, by its own name ("dpo") or its loss_type ("sigmoid"). Throws
/// ErrorKind::option naming the nearest.
Term make_term(const std::string& name);
std::vector<std::string> objective_names();

}  // namespace pref
