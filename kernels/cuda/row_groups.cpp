// SPDX-License-Identifier: Apache-2.0
// The host side of kernels/cuda/rows.h: rows sorted stably by their target.
#include <algorithm>
#include <numeric>

#include "kernels/cuda/rows.h"

namespace pref::kernels::cuda {

RowGroups group_rows(const int64_t* index, int64_t count) {
  RowGroups out;
  out.source.resize(static_cast<size_t>(count));
  std::iota(out.source.begin(), out.source.end(), int64_t{0});
  std::stable_sort(out.source.begin(), out.source.end(),
                   [index](int64_t a, int64_t b) { return index[a] < index[b]; });
  for (size_t k = 0; k < out.source.size(); ++k) {
    const int64_t target = index[out.source[k]];
    if (!out.target.empty() && out.target.back() == target) continue;
    out.target.push_back(target);
    out.begin.push_back(static_cast<int64_t>(k));
  }
  out.begin.push_back(count);
  return out;
}

}  // namespace pref::kernels::cuda
