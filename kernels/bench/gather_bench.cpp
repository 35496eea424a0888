// SPDX-License-Identifier: Apache-2.0
// Row gather (8 bytes moved per element, split by rows) and ordered scatter-add (12, split by
// columns). Usage: gather_bench [repetitions]
#include "kernels/gather.h"

#include "kernels/bench/bench.h"

int main(int argc, char** argv) {
  using pref::bench::Bench;
  using namespace pref::kernels;
  const Bench bench("gather", argc, argv);
  const int64_t rows = 32768, width = 1024, count = rows / 2;
  std::vector<float> x = pref::bench::random_floats(rows * width),
                     out(static_cast<size_t>(count * width));
  // Half of the rows in order, as responses are taken from packed sequences.
  std::vector<int64_t> index;
  for (int64_t i = 0; i < count; ++i) index.push_back(i / 64 * 128 + i % 64);
  const std::string shape = " [" + std::to_string(count) + " of " + std::to_string(rows) + ", " +
                            std::to_string(width) + "]";
  bench.report("gather_rows" + shape, 8 * count * width, Bench::Ceiling::copy, count,
               [&](int64_t begin, int64_t end) {
                 gather_rows(x.data(), width, index.data() + begin, end - begin,
                             out.data() + begin * width);
               });
  bench.report("scatter_add_rows" + shape, 12 * count * width, Bench::Ceiling::copy, width,
               [&](int64_t begin, int64_t end) {
                 scatter_add_rows(x.data(), width, index.data(), count, out.data(), begin, end);
               });
}
