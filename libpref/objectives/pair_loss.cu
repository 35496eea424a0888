// SPDX-License-Identifier: Apache-2.0
// One thread a row; the row is gathered from the sequences' sums, the term's functor applied, and
// its share added to what the terms before it left.
#include "libpref/objectives/pair_loss.h"

#include "kernels/cuda/for_each_row.cuh"
#include "libpref/objectives/term_row.h"

namespace pref {
namespace {

// The row's sums, without what the objective does not ask for.
PREF_HD_CALL void gather(const DeviceRows& in, int64_t row, int64_t begin, Row<double>& r) {
  if (in.weight) r.weight = in.weight[row];
  if (in.margin) r.margin = in.margin[row];
  if (in.label) r.label = in.label[row];
  for (int k = 0; k < r.branches; ++k) {
    const int64_t s = begin + k;
    Sequence<double>& branch = r.branch[k];
    branch.logp = in.logp[s];
    branch.num_tokens =
        static_cast<double>(in.sequence_first_label[s + 1] - in.sequence_first_label[s]);
    if (in.ref_logp) branch.ref_logp = in.ref_logp[s];
    if (in.collision) branch.collision = in.collision[s];
    if (in.max_logp) branch.max_logp = in.max_logp[s];
    if (in.win_probability) branch.win_probability = in.win_probability[s];
    if (in.score) branch.score = in.score[s];
    if (in.marked) branch.marked = in.marked[s];
    if (in.ref_marked) branch.ref_marked = in.ref_marked[s];
    if (in.unlikely) branch.unlikely = in.unlikely[s];
    if (in.coupled) branch.coupled = in.coupled[s];
  }
}

// What the terms before this one left, which also gave the rewards: of the first term nothing.
PREF_HD_CALL void gather(const DeviceRowLosses& out, bool first, int64_t row, int64_t begin,
                         int branches, RowLoss<double>& sum) {
  if (first) return;
  sum.loss = out.loss[row];
  sum.exploration = out.exploration[row];
  for (int k = 0; k < branches; ++k) {
    sum.d_logp[k] = out.d_logp[begin + k];
    if (out.d_marked) sum.d_marked[k] = out.d_marked[begin + k];
    if (out.d_unlikely) sum.d_unlikely[k] = out.d_unlikely[begin + k];
    sum.reward[k] = out.reward[begin + k];
  }
}

PREF_HD_CALL void scatter(const RowLoss<double>& sum, int64_t row, int64_t begin, int branches,
                          const DeviceRowLosses& out) {
  out.loss[row] = sum.loss;
  out.exploration[row] = sum.exploration;
  out.pair_weight[row] = sum.pair_weight;
  for (int k = 0; k < branches; ++k) {
    out.d_logp[begin + k] = sum.d_logp[k];
    if (out.d_marked) out.d_marked[begin + k] = sum.d_marked[k];
    if (out.d_unlikely) out.d_unlikely[begin + k] = sum.d_unlikely[k];
    out.reward[begin + k] = sum.reward[k];
  }
}

PREF_HD_CALL void refuse(int64_t row, int64_t begin, int64_t end, bool first,
                         const DeviceRowLosses& out) {
  const double nan = NAN;
  out.loss[row] = out.exploration[row] = out.pair_weight[row] = nan;
  for (int64_t s = begin; s < end; ++s) {
    out.d_logp[s] = nan;
    if (out.d_marked) out.d_marked[s] = nan;
    if (out.d_unlikely) out.d_unlikely[s] = nan;
    if (first) out.reward[s] = 0;
  }
}

template <class Term>
struct TermOfRow {
  Term term;
  double weight, divisor;
  RowModifiers modifiers;
  bool first, rewarded;  ///< the first term of the objective; a term before it gave the rewards
  DeviceRows in;
  DeviceRowLosses out;

  PREF_HD void operator()(int64_t row) const {
    const int64_t begin = in.row_first_sequence[row], end = in.row_first_sequence[row + 1];
    if (end - begin > kMaxBranches || end - begin < 1) return refuse(row, begin, end, first, out);
    Row<double> r;
    r.branches = static_cast<int>(end - begin);
    gather(in, row, begin, r);
    if (!row_fits<Term>(r)) return refuse(row, begin, end, first, out);
    RowLoss<double> sum;
    gather(out, first, row, begin, r.branches, sum);
    sum.pair_weight = pair_weight_of(modifiers, r);
    add_term(term, weight * r.weight / divisor, r, modifiers, rewarded, sum);
    scatter(sum, row, begin, r.branches, out);
  }
};

void require_array(const void* array, bool needed, const char* name) {
  require(array || !needed, ErrorKind::option, "pair_losses", "the objective needs ", name,
          ", got none.");
}

}  // namespace

void pair_losses(const Objective& objective, const Normalizers& normalizers, const DeviceRows& rows,
                 const DeviceRowLosses& out, kernels::cuda::Stream stream) {
  const Needs needs = objective.needs();
  require_array(rows.row_first_sequence, true, "row_first_sequence");
  require_array(rows.sequence_first_label, true, "sequence_first_label");
  require_array(rows.logp, true, "logp");
  require_array(rows.ref_logp, has(needs, Needs::reference), "ref_logp");
  require_array(rows.collision, has(needs, Needs::collision), "collision");
  require_array(rows.max_logp, has(needs, Needs::max_logp), "max_logp");
  require_array(rows.win_probability, has(needs, Needs::win_probability), "win_probability");
  require_array(rows.score, has(needs, Needs::score), "score");
  require_array(rows.label, has(needs, Needs::label), "label");
  require_array(rows.coupled, objective.couples(), "coupled");
  const bool tail = has(needs, Needs::tail), rewards = has(needs, Needs::token_rewards);
  require_array(rows.marked, tail || rewards, "marked");
  require_array(rows.ref_marked, tail, "ref_marked");
  require_array(rows.unlikely, rewards, "unlikely");
  require_array(out.d_marked, tail || rewards, "d_marked");
  require_array(out.d_unlikely, rewards, "d_unlikely");
  bool first = true, rewarded = false;
  for (const WeightedTerm& weighted : objective.terms()) {
    std::visit(
        [&](const auto& term) {
          const TermOfRow<std::decay_t<decltype(term)>> body{term,
                                                             weighted.weight,
                                                             divisor(term.normalizer, normalizers),
                                                             objective.row_modifiers(),
                                                             first,
                                                             rewarded,
                                                             rows,
                                                             out};
          kernels::cuda::for_each_row("pair_losses", body, rows.rows, stream);
          rewarded = rewarded || gives_rewards<std::decay_t<decltype(term)>>();
        },
        weighted.term);
    first = false;
  }
}

}  // namespace pref
