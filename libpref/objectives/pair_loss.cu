// SPDX-License-Identifier: Apache-2.0
// Losses: one thread a row; the row is gathered from the sequences' sums, the term's functor
// applied, and its share added to what the terms before it left. Coupling: one block for the batch.
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

// Row i of a batch as its term is called with it.
template <class Term>
PREF_HD_CALL void read_row(const DeviceRows& in, const RowModifiers& modifiers, int64_t i,
                           Row<double>& row) {
  const int64_t begin = in.row_first_sequence[i], end = in.row_first_sequence[i + 1];
  new (&row) Row<double>();
  row.branches = end - begin < kMaxBranches ? static_cast<int>(end - begin) : kMaxBranches;
  gather(in, i, begin, row);
  if (!compares<Term>() || !modifiers.bends()) return;
  double slope[kMaxBranches];
  bend_sums(row, modifiers, slope);
  bend_ratios(row, modifiers, slope);
}

// A global batch whose rows the threads of one block share out; it adds up and ranks in the order of
// HostRows.
template <class Term>
class BlockRows {
 public:
  __device__ BlockRows(const DeviceRows& in, const RowModifiers& modifiers,
                       const DeviceCoupling& out)
      : in_(in), modifiers_(modifiers), out_(out) {
    in_.coupled = nullptr;
    each([](Row<double>&) {});  // zeros
    in_.coupled = out.coupled;
  }

  template <class Value>
  __device__ double mean(const Value& value) {
    PREF_SHARED_ARRAY(double, mean, 1);
    keep(value, out_.workspace);
    if (threadIdx.x == 0) {
      double sum = 0;
      for (int64_t row = 0; row < in_.rows; ++row) sum += out_.workspace[row];
      mean[0] = in_.rows > 0 ? sum / static_cast<double>(in_.rows) : 0;
    }
    __syncthreads();
    return mean[0];
  }

  template <class Change>
  __device__ void each(const Change& change) {
    for_own_rows([&](int64_t, int64_t begin, Row<double>& row) {
      change(row);
      write(row, begin);
    });
  }

  template <class Key, class Other, class Set>
  __device__ void match(const Key& key, const Other& other, const Set& set) {
    double *const keys = out_.workspace, *const others = keys + in_.rows,
                  *const sorted = others + in_.rows;
    keep(key, keys);
    keep(other, others);
    for (int64_t row = threadIdx.x; row < in_.rows; row += blockDim.x)
      sorted[rank(others, row)] = others[row];
    __syncthreads();
    for_own_rows([&](int64_t i, int64_t begin, Row<double>& row) {
      set(row, sorted[rank(keys, i)]);
      write(row, begin);
    });
    __syncthreads();
  }

 private:
  /// visit(index, first sequence, row as the term sees it) for this thread's rows.
  template <class Visit>
  __device__ void for_own_rows(const Visit& visit) {
    for (int64_t i = threadIdx.x; i < in_.rows; i += blockDim.x) {
      read_row<Term>(in_, modifiers_, i, row_);
      visit(i, in_.row_first_sequence[i], row_);
    }
  }
  __device__ void write(const Row<double>& row, int64_t begin) const {
    for (int k = 0; k < row.branches; ++k) out_.coupled[begin + k] = row.branch[k].coupled;
  }
  template <class Value>
  __device__ void keep(const Value& value, double* values) {
    for_own_rows([&](int64_t i, int64_t, Row<double>& row) { values[i] = value(row); });
    __syncthreads();
  }
  __device__ int64_t rank(const double* values, int64_t row) const {
    const double own = rank_key(values[row]);
    int64_t before = 0;
    for (int64_t i = 0; i < in_.rows; ++i) {
      const double one = rank_key(values[i]);
      before += one < own || (one == own && i < row);
    }
    return before;
  }

  DeviceRows in_;
  RowModifiers modifiers_;
  DeviceCoupling out_;
  Row<double> row_;  // one for all loops: a device reserves the stack of every thread it can hold
};

template <class Term>
struct BatchOfTerm {
  Term term;
  RowModifiers modifiers;
  DeviceRows in;
  DeviceCoupling out;

  __device__ void operator()() const {
    CouplingState state{out.state[0], out.state[1], out.failure && *out.failure != 0};
    BlockRows<Term> batch(in, modifiers, out);
    term.couple(batch, state);
    // Every thread has read the state: mean() and match() have barriers.
    if (threadIdx.x != 0) return;
    out.state[0] = state.mean;
    out.state[1] = state.count;
  }
};

void require_array(const void* array, bool needed, const char* name,
                   const char* where = "pair_losses") {
  require(array || !needed, ErrorKind::option, where, "the objective needs ", name, ", got none.");
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

void couple_rows(const Objective& objective, const DeviceRows& rows, const DeviceCoupling& out,
                 kernels::cuda::Stream stream) {
  constexpr const char* kWhere = "couple_rows";
  require(objective.couples(), ErrorKind::option, kWhere,
          "an objective that couples a batch is required, got ", objective.name(), ".");
  if (rows.rows == 0) return;
  const bool tail = has(objective.needs(), Needs::tail);
  require_array(rows.row_first_sequence, true, "row_first_sequence", kWhere);
  require_array(rows.sequence_first_label, true, "sequence_first_label", kWhere);
  require_array(rows.logp, true, "logp", kWhere);
  require_array(rows.ref_logp, has(objective.needs(), Needs::reference), "ref_logp", kWhere);
  require_array(rows.marked, tail, "marked", kWhere);
  require_array(rows.ref_marked, tail, "ref_marked", kWhere);
  for (const WeightedTerm& weighted : objective.terms())
    std::visit(
        [&]<class T>(const T& term) {
          if constexpr (Coupled<T>)
            if (term.couples())
              kernels::cuda::in_one_block(
                  kWhere, BatchOfTerm<T>{term, objective.row_modifiers(), rows, out}, stream);
        },
        weighted.term);
}

}  // namespace pref
