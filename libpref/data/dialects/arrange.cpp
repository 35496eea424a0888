// SPDX-License-Identifier: Apache-2.0
// The order of a list's branches (best first) and the pairs that are made of it. A draw depends on
// the seed and the row's own text, so it is the same in any file, at any place and on any thread.
#include <algorithm>
#include <numeric>

#include "libpref/base/digest.h"
#include "libpref/base/random.h"
#include "libpref/data/dialects/row_reader.h"

namespace pref::dialects {
namespace {

template <class T>
void take(std::vector<T>& values, const std::vector<size_t>& indices) {
  if (values.empty()) return;
  std::vector<T> out;
  for (const size_t i : indices) out.push_back(std::move(values[i]));
  values = std::move(out);
}

void keep(RowReader& row, const std::vector<size_t>& indices) {
  take(row.branches, indices);
  take(row.out.row.branches, indices);
  take(row.out.row.facts.scores, indices);
  take(row.out.row.facts.win_probability, indices);
  take(row.out.row.token_rewards, indices);
  take(row.order, indices);
}

/// The position, in the ordered list, of the response that is paired with the best one.
size_t partner(const RowReader& row, std::string_view line) {
  const size_t last = row.branches.size() - 1;
  if (row.options.list_pairing == ListPairing::lowest) return last;
  size_t first = 1;  // of the responses that are worse; any other where all are equal
  if (!row.order.empty())
    while (first <= last && row.order[first] == row.order[0]) ++first;
  if (first > last) first = 1;
  uint64_t text = 0;
  for (const char digit : fast_digest(line.data(), line.size()).substr(0, 16))
    text = text * 16 + static_cast<uint64_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
  RandomStream random(static_cast<uint64_t>(row.options.seed), "list pairing", text);
  return first + static_cast<size_t>(random.below(last - first + 1));
}

}  // namespace

void arrange_list(RowReader& row, std::string_view line) {
  if (row.branches.size() < 2) return;
  if (row.order.empty()) row.order = row.out.row.facts.scores;
  if (row.ranked_list && !row.order.empty()) {
    std::vector<size_t> indices(row.branches.size());
    std::iota(indices.begin(), indices.end(), size_t{0});
    std::stable_sort(indices.begin(), indices.end(),
                     [&](size_t a, size_t b) { return row.order[a] > row.order[b]; });
    keep(row, indices);
  }
  const bool has_reference = row.out.row.has_reference_response;
  if (row.options.list_pairing != ListPairing::all && row.branches.size() > 2 && !has_reference) {
    keep(row, {0, partner(row, line)});
    row.note("unused_responses");
  }
  for (size_t b = 1; b < row.order.size(); ++b)
    if (row.order[b] == row.order[0]) row.note("tied_scores");
}

}  // namespace pref::dialects
