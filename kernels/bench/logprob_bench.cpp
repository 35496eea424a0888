// SPDX-License-Identifier: Apache-2.0
// Statistics and gradient of logits, out of cache and in it, beside the rates at which the same
// memory can be read and copied. Usage: logprob_bench [repetitions]
#include "kernels/logprob.h"

#include "kernels/bench/bench.h"

namespace {

using pref::bench::Bench;
using namespace pref::kernels;

struct Buffers {
  std::vector<float> logits, logp, lse, collision, entropy, max_logp, hit, mean_logit, d_logp;
  std::vector<int64_t> labels;
  int64_t vocab;

  Buffers(int64_t rows, int64_t vocab)
      : logits(pref::bench::random_floats(rows * vocab, 8)),
        d_logp(static_cast<size_t>(rows), 0.125f),
        vocab(vocab) {
    for (auto* v : {&logp, &lse, &collision, &entropy, &max_logp, &hit, &mean_logit}) {
      v->resize(static_cast<size_t>(rows));
    }
    for (int64_t i = 0; i < rows; ++i) labels.push_back(i * 7919 % vocab);
  }

  TokenStatistics outputs(int64_t row, bool all) {
    if (!all) return {.logp = logp.data() + row, .lse = lse.data() + row};
    return {logp.data() + row,     lse.data() + row, collision.data() + row, entropy.data() + row,
            max_logp.data() + row, hit.data() + row, mean_logit.data() + row};
  }
};

void run(const Bench& bench, int64_t rows, int64_t vocab, const char* place) {
  Buffers b(rows, vocab);
  const std::string shape =
      " [" + std::to_string(rows) + ", " + std::to_string(vocab) + "] " + place;
  const int64_t bytes = rows * vocab * 4;
  const auto statistics = [&](LogitTransform transform, bool all) {
    return [&b, transform, all](int64_t begin, int64_t end) {
      logprob_statistics(b.logits.data() + begin * b.vocab, end - begin, b.vocab, b.vocab,
                         b.labels.data() + begin, transform, b.outputs(begin, all));
    };
  };
  // Repeated calls differentiate what the call before them left: the same work on other numbers.
  const auto gradient = [&](LogitTransform transform) {
    return [&b, transform](int64_t begin, int64_t end) {
      logprob_gradient(b.logits.data() + begin * b.vocab, end - begin, b.vocab, b.vocab,
                       b.labels.data() + begin, b.logp.data() + begin, b.lse.data() + begin,
                       b.d_logp.data() + begin, transform);
    };
  };
  bench.report("logp, lse" + shape, bytes, Bench::Ceiling::read, rows, statistics({}, false));
  bench.report("all statistics" + shape, bytes, Bench::Ceiling::read, rows, statistics({}, true));
  bench.report("all, soft cap" + shape, bytes, Bench::Ceiling::read, rows,
               statistics({1, 30}, true));
  bench.report("gradient" + shape, 2 * bytes, Bench::Ceiling::copy, rows, gradient({}));
  bench.report("gradient, soft cap" + shape, 2 * bytes, Bench::Ceiling::copy, rows,
               gradient({1, 30}));
}

}  // namespace

int main(int argc, char** argv) {
  const Bench bench("logprob", argc, argv);
  run(bench, 2048, 32000, "out of cache");
  run(bench, 512, 128256, "out of cache");
  run(bench, 16, 32000, "in cache");
}
