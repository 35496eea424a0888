// SPDX-License-Identifier: Apache-2.0
// Rotary embedding in place (8 bytes moved per element; the tables stay in cache). Usage:
// rope_bench [repetitions]
#include "kernels/rope.h"

#include <cmath>

#include "kernels/bench/bench.h"

int main(int argc, char** argv) {
  using pref::bench::Bench;
  using namespace pref::kernels;
  const Bench bench("rope", argc, argv);
  const int64_t max_position = 2048;
  for (const int64_t head_dim : {64, 128}) {
    const int64_t heads = 8, width = heads * head_dim, tokens = (int64_t{1} << 25) / width;
    std::vector<float> x = pref::bench::random_floats(tokens * width), cosine, sine;
    std::vector<int64_t> positions;
    for (int64_t i = 0; i < tokens; ++i) positions.push_back(i % max_position);
    for (int64_t i = 0; i < max_position * head_dim / 2; ++i) {
      cosine.push_back(static_cast<float>(std::cos(static_cast<double>(i))));
      sine.push_back(static_cast<float>(std::sin(static_cast<double>(i))));
    }
    bench.report(
        "rope_rotate [" + std::to_string(tokens) + ", 8 x " + std::to_string(head_dim) + "]",
        8 * tokens * width, Bench::Ceiling::copy, tokens, [&](int64_t begin, int64_t end) {
          rope_rotate(x.data() + begin * width, end - begin, width, heads, head_dim,
                      positions.data() + begin, cosine.data(), sine.data(), 1);
        });
  }
}
