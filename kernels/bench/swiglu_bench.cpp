// SPDX-License-Identifier: Apache-2.0
// SwiGLU forward (12 bytes moved per output element) and backward (20). Usage: swiglu_bench
// [repetitions]
#include "kernels/swiglu.h"

#include "kernels/bench/bench.h"

int main(int argc, char** argv) {
  using pref::bench::Bench;
  using namespace pref::kernels;
  const Bench bench("swiglu", argc, argv);
  const int64_t rows = 16384, width = 1408;
  const std::vector<float> gate_up = pref::bench::random_floats(rows * 2 * width, 3);
  const std::vector<float> dy = pref::bench::random_floats(rows * width);
  std::vector<float> y(dy.size()), d_gate_up(gate_up.size());
  const std::string shape = " [" + std::to_string(rows) + ", " + std::to_string(width) + "]";
  bench.report("swiglu_forward" + shape, 12 * rows * width, Bench::Ceiling::copy, rows,
               [&](int64_t begin, int64_t end) {
                 swiglu_forward(gate_up.data() + begin * 2 * width, end - begin, width,
                                y.data() + begin * width);
               });
  bench.report("swiglu_backward" + shape, 20 * rows * width, Bench::Ceiling::copy, rows,
               [&](int64_t begin, int64_t end) {
                 swiglu_backward(dy.data() + begin * width, gate_up.data() + begin * 2 * width,
                                 end - begin, width, d_gate_up.data() + begin * 2 * width);
               });
}
