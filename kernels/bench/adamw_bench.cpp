// SPDX-License-Identifier: Apache-2.0
// The optimizer step (28 bytes moved per parameter) and the norm's sum of squares. Usage:
// adamw_bench [repetitions]
#include "kernels/adamw.h"

#include "kernels/bench/bench.h"

int main(int argc, char** argv) {
  using pref::bench::Bench;
  using namespace pref::kernels;
  const Bench bench("adamw", argc, argv);
  const int64_t count = int64_t{1} << 25;
  std::vector<float> weight = pref::bench::random_floats(count), exp_avg(weight.size()),
                     exp_avg_sq(weight.size());
  const std::vector<float> gradient = pref::bench::random_floats(count, 0.1f);
  const AdamWStep step = {.learning_rate = 1e-5,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .eps = 1e-8,
                          .weight_decay = 0.1,
                          .step = 10};
  bench.report("adamw_update [" + std::to_string(count) + "]", 28 * count, Bench::Ceiling::copy,
               count, [&](int64_t begin, int64_t end) {
                 adamw_update(weight.data() + begin, gradient.data() + begin,
                              exp_avg.data() + begin, exp_avg_sq.data() + begin, end - begin, step);
               });
  // One sum per thread, in memory no other thread writes.
  std::vector<double> sums(static_cast<size_t>(count / 4096));
  bench.report("sum_of_squares [" + std::to_string(count) + "]", 4 * count, Bench::Ceiling::read,
               count / 4096, [&](int64_t begin, int64_t end) {
                 sums[static_cast<size_t>(begin)] =
                     sum_of_squares(gradient.data() + begin * 4096, (end - begin) * 4096);
               });
}
