// SPDX-License-Identifier: Apache-2.0
// The permutation of one epoch, drawn from a stream of its own so that no other use of the seed can
// shift it.
#include "libpref/data/row_order.h"

#include <numeric>

#include "libpref/base/error.h"
#include "libpref/base/random.h"

namespace pref {

std::vector<int64_t> epoch_order(int64_t num_rows, uint64_t seed, int64_t epoch, bool shuffle) {
  require(num_rows >= 0 && epoch >= 0, ErrorKind::option, "row_order",
          "rows and epoch must not be negative, got ", num_rows, " and ", epoch);
  if (shuffle)
    return RandomStream(seed, "data order", static_cast<uint64_t>(epoch)).permutation(num_rows);
  std::vector<int64_t> order(static_cast<size_t>(num_rows));
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

}  // namespace pref
