// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/logprob.h.
#include "kernels/cuda/logprob.h"

#include "kernels/cuda/device/logprob.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {
namespace {

constexpr int kThreads = 256, kLoads = 4, kRowThreads = 128;
// A card of 132 processors with four blocks each is filled; a part keeps work for all its threads.
constexpr int64_t kEnoughBlocks = 512, kMaxParts = 8, kMinPart = 8192;

void check(const char* where, int64_t rows, int64_t vocab, int64_t stride,
           LogitTransform transform) {
  require(rows >= 0 && vocab > 0 && stride >= vocab, ErrorKind::option, where,
          "logits [rows >= 0, stride >= vocab] with vocab >= 1 are required, got rows ", rows,
          ", vocab ", vocab, ", stride ", stride, ".");
  require(transform.scale > 0 && transform.soft_cap >= 0, ErrorKind::option, where,
          "a logit scale above 0 and a soft cap of at least 0 are required, got ", transform.scale,
          " and ", transform.soft_cap, ".");
}

// Calls f<T, capped> with a null pointer of T and a constant.
template <class F>
void with_kernel(Type type, LogitTransform transform, const F& f) {
  with_type(type, [&](auto* element) {
    if (transform.soft_cap > 0) {
      f(element, std::true_type());
    } else {
      f(element, std::false_type());
    }
  });
}

void start_rows(const char* where, ConstPointer logits, int64_t rows, int64_t vocab, int64_t stride,
                int64_t parts, const int64_t* labels, int64_t first_column,
                LogitTransform transform, const TokenStatistics& out, LogprobPartial* partials,
                Stream stream) {
  with_kernel(logits.type, transform, [&](auto* element, auto capped) {
    using T = std::remove_pointer_t<decltype(element)>;
    launch(where, stream, {rows, kThreads, parts},
           logprob_rows<T, decltype(capped)::value, kThreads, kLoads>,
           static_cast<const T*>(logits.data), vocab, stride, labels, first_column,
           make_logit_map(transform), out, partials);
  });
}

}  // namespace

int64_t logprob_parts(int64_t rows, int64_t vocab) {
  const int64_t wanted = rows > 0 ? divide_up(kEnoughBlocks, rows) : 1;
  return std::clamp<int64_t>(std::min(wanted, vocab / kMinPart), 1, kMaxParts);
}

void logprob_statistics(ConstPointer logits, int64_t rows, int64_t vocab, int64_t stride,
                        const int64_t* labels, LogitTransform transform, const TokenStatistics& out,
                        LogprobPartial* workspace, Stream stream) {
  const char* where = "logprob_statistics";
  check(where, rows, vocab, stride, transform);
  const int64_t parts = logprob_parts(rows, vocab);
  require(parts == 1 || workspace, ErrorKind::option, where, "a workspace of ", rows * parts,
          " partials is required for ", rows, " rows of ", vocab, ", got none.");
  start_rows(where, logits, rows, vocab, stride, parts, labels, 0, transform, out,
             parts > 1 ? workspace : nullptr, stream);
  if (parts > 1) logprob_merge(workspace, rows, parts, parts, 1, vocab, transform, out, stream);
}

void logprob_partials(ConstPointer logits, int64_t rows, int64_t vocab, int64_t stride,
                      const int64_t* labels, int64_t first_column, LogitTransform transform,
                      LogprobPartial* partials, Stream stream) {
  const char* where = "logprob_partials";
  check(where, rows, vocab, stride, transform);
  require(partials, ErrorKind::option, where, "partials [rows] are required, got none.");
  start_rows(where, logits, rows, vocab, stride, 1, labels, first_column, transform, {}, partials,
             stream);
}

void logprob_merge(const LogprobPartial* partials, int64_t rows, int64_t parts, int64_t row_stride,
                   int64_t part_stride, int64_t vocab, LogitTransform transform,
                   const TokenStatistics& out, Stream stream) {
  launch("logprob_merge", stream, {divide_up(rows, kRowThreads), kRowThreads},
         logprob_merge_rows<kRowThreads>, partials, rows, parts, row_stride, part_stride, vocab,
         make_logit_map(transform), transform.soft_cap > 0, out);
}

void logprob_gradient(Pointer logits, int64_t rows, int64_t vocab, int64_t stride,
                      const int64_t* labels, const float* logp, const float* lse,
                      const float* d_logp, LogitTransform transform, RowGradient* workspace,
                      Stream stream) {
  const char* where = "logprob_gradient";
  check(where, rows, vocab, stride, transform);
  with_kernel(logits.type, transform, [&](auto* element, auto capped) {
    using T = std::remove_pointer_t<decltype(element)>;
    constexpr bool kCapped = decltype(capped)::value;
    const LogitMap map = make_logit_map(transform);
    launch(where, stream, {divide_up(rows, kRowThreads), kRowThreads},
           logprob_gradient_prepare<T, kCapped, kRowThreads>, static_cast<const T*>(logits.data),
           rows, vocab, stride, labels, logp, lse, d_logp, map, workspace);
    launch(where, stream, {rows, kThreads, logprob_parts(rows, vocab)},
           logprob_gradient_rows<T, kCapped, kThreads, kLoads>, static_cast<T*>(logits.data), vocab,
           stride, labels, map, workspace);
  });
}

}  // namespace pref::kernels::cuda
