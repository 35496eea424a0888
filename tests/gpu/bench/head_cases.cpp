// SPDX-License-Identifier: Apache-2.0
// The head beside its own three matrix products on the same tensors, its memory, its precision, and
// our side of the comparisons with other libraries.
#include <c10/core/CachingDeviceAllocator.h>

#include "kernels/cuda/logprob.h"
#include "libpref/ops/device.h"
#include "libpref/ops/matrix_product.h"
#include "tests/gpu/bench/bench_inputs.h"
#include "tests/gpu/bench/bench_run.h"

namespace pref::bench {
namespace {

using at::Tensor;

std::vector<PairLengths> equal_pairs(int64_t labels, int64_t each) {
  return std::vector<PairLengths>(static_cast<size_t>(labels / (2 * each)), {1, each, each});
}

std::string shape_text(int64_t labels, int64_t width, int64_t vocab) {
  return "[" + std::to_string(labels) + ", " + std::to_string(width) + "] x " +
         std::to_string(vocab);
}

// Z = H W^T, dH = Z W, dW += Z^T H in f32, group by group as the head takes them.
struct ThreeProducts {
  ThreeProducts(const HeadInputs& in, LogitsType logits)
      : weight(in.weight), gradient(at::zeros_like(in.gradient)) {
    int64_t most = 0;
    for (const HeadGroup& group : in.groups) {
      counts.push_back(group.labels.count());
      most = std::max(most, counts.back());
    }
    hidden = at::randn({most, weight.size(1)}, weight.options());
    d_hidden = at::empty_like(hidden);
    z = at::randn({most, weight.size(0)}, weight.options()).mul_(1e-3);
    if (logits == LogitsType::f32) wide = at::empty(z.sizes(), z.options().dtype(at::kFloat));
  }
  void forward(int64_t count) const {
    ops::product_into((wide.defined() ? wide : z).narrow(0, 0, count), hidden.narrow(0, 0, count),
                      weight.t());
  }
  void run() const {
    for (const int64_t count : counts) {
      const Tensor zn = z.narrow(0, 0, count), hn = hidden.narrow(0, 0, count);
      Tensor dn = d_hidden.narrow(0, 0, count);
      forward(count);
      at::mm_out(dn, zn, weight);
      ops::add_product(gradient, zn.t(), hn);
    }
  }
  void run_forward() const {
    for (const int64_t count : counts) forward(count);
  }
  Tensor weight, gradient, hidden, d_hidden, z, wide;
  std::vector<int64_t> counts;
};

void against_products(Bench& bench, int64_t labels, int64_t width, int64_t vocab,
                      LogitsType logits) {
  const bool wide = logits == LogitsType::f32;
  HeadInputs in(equal_pairs(labels, bench.size(256, 4)), width, vocab, logits);
  const ThreeProducts products(in, logits);
  const auto times = bench.time({[&] { in.run(); }, [&] { products.run(); }});
  const bool narrow_width = width <= 2048;
  bench.print(
      bench
          .line("G4", "head",
                shape_text(labels, width, vocab) + (wide ? ", fp32 logits" : ", bf16 logits"),
                times[0])
          .add("ratio", times[0].median / times[1].median)
          .add("of", "three GEMMs")
          .add("peer_ms", times[1].median)
          .add("wanted", narrow_width ? (wide ? 1.22 : 1.15) : (wide ? 1.12 : 1.08)));
  if (wide) return;
  const auto forward = bench.time(
      {[&] { in.head->statistics(in.hidden, in.batch); }, [&] { products.run_forward(); }});
  bench.print(
      bench.line("G6", "forward-only log-probs", shape_text(labels, width, vocab), forward[0])
          .add("ratio", forward[0].median / forward[1].median)
          .add("of", "one GEMM")
          .add("peer_ms", forward[1].median)
          .add("wanted", 1.10));
}

// Memory of the head alone: everything but hidden states, weights and their gradients.
void memory(Bench& bench, int64_t labels, int64_t width, int64_t vocab) {
  HeadInputs in(equal_pairs(labels, bench.size(256, 4)), width, vocab, LogitsType::like_weights);
  if (!in.weight.is_cuda()) return;
  auto* allocator = c10::getDeviceAllocator(at::kCUDA);
  const auto index = in.weight.device().index();
  allocator->resetPeakStats(index);
  const auto bytes = [&] { return allocator->getDeviceStats(index).allocated_bytes[0]; };
  const int64_t before = bytes().current;
  in.run();
  bench.print(JsonObject()
                  .add("kind", "bench")
                  .add("goal", "G7")
                  .add("name", "head, memory")
                  .add("case", shape_text(labels, width, vocab))
                  .add("value", static_cast<double>(bytes().peak - before) / (1 << 30))
                  .add("unit", "GiB")
                  .add("wanted", 4.5));  // logits, and the gathered rows beside them
}

// Largest error of dW and dH against double, as a share of the largest value, beside torch with f32
// logits from the same bf16 tensors.
void precision(Bench& bench, int64_t labels, int64_t width, int64_t vocab) {
  HeadInputs in(equal_pairs(labels, bench.size(64, 4)), width, vocab, LogitsType::like_weights);
  in.run();
  const PackingPlan& plan = in.batch.plan;
  const auto gradients = [&](at::ScalarType type) {
    const Tensor h = in.hidden.to(type).requires_grad_(true),
                 w = in.weight.to(type).requires_grad_(true);
    const Tensor rows = h.index_select(0, in.batch.on_device->label_row);
    const Tensor logits =
        type == at::kDouble ? at::matmul(rows, w.t())
                            : at::matmul(rows.to(at::kBFloat16), w.to(at::kBFloat16).t()).to(type);
    const Tensor logp =
        logits.log_softmax(-1).gather(1, in.batch.on_device->label_token.unsqueeze(1)).squeeze(1);
    std::vector<Tensor> losses;
    for (int64_t r = 0; r < plan.num_rows(); ++r) {
      const auto sum = [&](int64_t s) {
        const int64_t first = plan.sequence_first_label[s], end = plan.sequence_first_label[s + 1];
        return logp.narrow(0, first, end - first).sum() - in.ref_logp[s];
      };
      const int64_t s = plan.row_first_sequence[r];
      losses.push_back(at::softplus(-0.1 * (sum(s) - sum(s + 1))));
    }
    at::stack(losses).mean().backward();
    return std::pair(h.grad().to(at::kDouble), w.grad().to(at::kDouble));
  };
  const auto exact = gradients(at::kDouble), torch_like = gradients(at::kFloat);
  const auto error = [](const Tensor& got, const Tensor& want) {
    return ((got.to(at::kDouble) - want).norm() / want.norm()).item<double>();
  };
  const double ours = error(in.gradient, exact.second),
               theirs = error(torch_like.second, exact.second);
  bench.print(JsonObject()
                  .add("kind", "bench")
                  .add("goal", "G7")
                  .add("name", "error of dW")
                  .add("case", shape_text(labels, width, vocab))
                  .add("error", ours)
                  .add("ratio", ours / theirs)
                  .add("of", "torch from bf16 tensors")
                  .add("wanted", 1.5));
}

}  // namespace

void head_cases(Bench& bench) {
  const int64_t vocab = bench.size(128256, 96);
  for (const int64_t width : {bench.size(4096, 32), bench.size(2048, 16)})
    for (const LogitsType logits : {LogitsType::like_weights, LogitsType::f32})
      for (const int64_t labels :
           {bench.size(8192, 16), bench.size(4096, 8), bench.size(16384, 32)}) {
        if ((width <= 2048 || logits == LogitsType::f32) && labels != bench.size(8192, 16))
          continue;
        bench.run("head", [&] { against_products(bench, labels, width, vocab, logits); });
      }
  bench.run("head, memory",
            [&] { memory(bench, bench.size(65536, 32), bench.size(4096, 32), vocab); });
  bench.run("head, precision", [&] {
    precision(bench, bench.size(512, 16), bench.size(1024, 32), bench.size(32000, 96));
  });
}

void peer_cases(Bench& bench) {
  namespace cuda = kernels::cuda;
  for (const int64_t vocab : {bench.size(128256, 96), bench.size(32000, 64)})
    for (const bool wpo : {false, true}) {
      if (wpo && vocab == bench.size(32000, 64)) continue;
      bench.run("logprob", [&] {
        const int64_t rows = bench.size(8192, 16);
        const Tensor source = at::randn({rows, vocab}, on_device(at::kBFloat16)) * 3;
        Tensor logits = source.clone();
        const Tensor labels = at::randint(vocab, {rows}, on_device(at::kLong)),
                     values = at::empty({8, rows}, on_device(at::kFloat)),
                     workspace = at::empty({rows * 64}, on_device(at::kFloat)),
                     slopes = at::full({rows}, -0.1, on_device(at::kFloat));
        const auto row = [&](int which) { return values.mutable_data_ptr<float>() + which * rows; };
        const auto stream = ops::stream_of(logits);
        const auto both = [&] {
          // WPO's outputs and the others are one and the same pass.
          cuda::logprob_statistics(
              ops::const_pointer(logits), rows, vocab, vocab, labels.const_data_ptr<int64_t>(), {},
              {row(0), row(1), wpo ? row(2) : nullptr, row(3), row(4), row(5), row(6)},
              static_cast<cuda::LogprobPartial*>(workspace.mutable_data_ptr()), stream);
          cuda::logprob_gradient(
              ops::pointer(logits), rows, vocab, vocab, labels.const_data_ptr<int64_t>(), row(0),
              row(1), slopes.const_data_ptr<float>(), {},
              static_cast<cuda::RowGradient*>(workspace.mutable_data_ptr()), stream);
        };
        const auto times = bench.time({both}, 1500, [&] { logits.copy_(source); });
        bench.print(bench.line("G3", wpo ? "logprob_wpo" : "logprob",
                               "bf16 [" + std::to_string(rows) + ", " + std::to_string(vocab) + "]",
                               times[0]));
      });
    }
  const int64_t width = bench.size(4096, 32), vocab = bench.size(128256, 96);
  const auto head = [&](const char* name, const std::vector<PairLengths>& lengths) {
    bench.run(name, [&] {
      HeadInputs in(lengths, width, vocab, LogitsType::like_weights);
      const auto times = bench.time({[&] { in.run(); }});
      bench.print(bench.line("G5", name,
                             "bf16 [" + std::to_string(in.labels) + ", " + std::to_string(width) +
                                 "] x " + std::to_string(vocab),
                             times[0]));
    });
  };
  head("head", equal_pairs(bench.size(8192, 16), bench.size(512, 4)));
  const int64_t pairs = bench.size(24, 2);
  const auto prompts = log_normal_lengths(121, 0.7, pairs, 5),
             chosen = log_normal_lengths(bench.size(288, 5), 0.5, pairs, 7),
             rejected = log_normal_lengths(bench.size(288, 5), 0.5, pairs, 11);
  std::vector<PairLengths> lengths;
  for (size_t i = 0; i < prompts.size(); ++i)
    lengths.push_back({bench.tiny() ? 3 : prompts[i], chosen[i], rejected[i]});
  head("head_padded", lengths);
}

}  // namespace pref::bench
