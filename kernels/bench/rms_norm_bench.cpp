// SPDX-License-Identifier: Apache-2.0
// RMSNorm forward (8 bytes moved per element) and backward (12; each thread has its own weight
// gradient). Usage: rms_norm_bench [repetitions]
#include "kernels/rms_norm.h"

#include "kernels/bench/bench.h"

int main(int argc, char** argv) {
  using pref::bench::Bench;
  using namespace pref::kernels;
  const Bench bench("rms_norm", argc, argv);
  for (const int64_t width : {512, 4096}) {
    const int64_t rows = (int64_t{1} << 25) / width;
    const std::vector<float> x = pref::bench::random_floats(rows * width),
                             dy = pref::bench::random_floats(rows * width);
    const std::vector<float> weight(static_cast<size_t>(width), 1.0f);
    std::vector<float> y(x.size()), dx(x.size()), inverse(static_cast<size_t>(rows));
    const std::string shape = " [" + std::to_string(rows) + ", " + std::to_string(width) + "]";
    bench.report("rms_norm_forward" + shape, 8 * rows * width, Bench::Ceiling::copy, rows,
                 [&](int64_t begin, int64_t end) {
                   rms_norm_forward(x.data() + begin * width, end - begin, width, width,
                                    weight.data(), 1e-5f, y.data() + begin * width, width,
                                    inverse.data() + begin);
                 });
    bench.report("rms_norm_backward" + shape, 12 * rows * width, Bench::Ceiling::copy, rows,
                 [&](int64_t begin, int64_t end) {
                   std::vector<float> d_weight(static_cast<size_t>(width));
                   rms_norm_backward(dy.data() + begin * width, width, x.data() + begin * width,
                                     width, weight.data(), inverse.data() + begin, end - begin,
                                     width, dx.data() + begin * width, width, false,
                                     d_weight.data());
                 });
  }
}
