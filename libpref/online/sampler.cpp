// SPDX-License-Identifier: Apache-2.0
#include "libpref/online/sampler.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "libpref/base/error.h"
#include "libpref/base/random.h"
#include "libpref/data/packing.h"

namespace pref {
namespace {

// Keys and values of every layer, [B, key heads, capacity, d], with the tokens each sequence holds.
class KeyValueCache {
 public:
  KeyValueCache(const DecoderConfig& config, int64_t batch, int64_t capacity)
      : heads_(config.num_key_value_heads),
        dim_(config.head_dim),
        query_heads_(config.num_attention_heads),
        windows_(config.layer_window),
        capacity_(capacity),
        lengths_(batch, 0) {
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
      keys_.push_back(at::zeros({batch, heads_, capacity, dim_}, at::kFloat));
      values_.push_back(at::zeros({batch, heads_, capacity, dim_}, at::kFloat));
    }
  }
  std::vector<int64_t>& lengths() { return lengths_; }

  // Row `row` of qkv becomes position `position` of sequence `b`.
  void store(int64_t layer, int64_t b, int64_t position, const float* qkv_row) {
    const float* key = qkv_row + query_heads_ * dim_;
    const float* value = key + heads_ * dim_;
    for (int64_t h = 0; h < heads_; ++h) {
      const int64_t place = ((b * heads_ + h) * capacity_ + position) * dim_;
      std::memcpy(keys_[layer].mutable_data_ptr<float>() + place, key + h * dim_,
                  sizeof(float) * dim_);
      std::memcpy(values_[layer].mutable_data_ptr<float>() + place, value + h * dim_,
                  sizeof(float) * dim_);
    }
  }

  // One query per sequence, at position lengths[b] (already stored): [B, H d].
  at::Tensor attend(int64_t layer, const at::Tensor& qkv) const {
    const int64_t batch = qkv.size(0), group = query_heads_ / heads_;
    const int64_t used = 1 + *std::max_element(lengths_.begin(), lengths_.end());
    const at::Tensor query =
        qkv.narrow(1, 0, query_heads_ * dim_).reshape({batch, heads_, group, dim_});
    at::Tensor mask =
        at::full({batch, 1, 1, used}, -std::numeric_limits<float>::infinity(), at::kFloat);
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t last = lengths_[b], window = windows_[layer];
      const int64_t first = window == 0 ? 0 : std::max<int64_t>(0, last - window + 1);
      std::fill_n(mask.mutable_data_ptr<float>() + b * used + first, last + 1 - first, 0.0f);
    }
    const at::Tensor keys = keys_[layer].narrow(2, 0, used),
                     values = values_[layer].narrow(2, 0, used);
    const double scale = 1.0 / std::sqrt(static_cast<double>(dim_));
    const at::Tensor weights =
        at::softmax(at::matmul(query, keys.transpose(2, 3)) * scale + mask, -1);
    return at::matmul(weights, values).reshape({batch, query_heads_ * dim_});
  }

 private:
  int64_t heads_, dim_, query_heads_;
  std::vector<int64_t> windows_;
  int64_t capacity_;
  std::vector<int64_t> lengths_;
  std::vector<at::Tensor> keys_, values_;
};

// Runs all prompts through the network as one packed batch, filling the cache; hidden states of
// their last tokens [B, D].
at::Tensor prefill(Decoder& network, std::span<const std::vector<int32_t>> prompts,
                   KeyValueCache& cache) {
  std::vector<int64_t> tokens, positions, last;
  std::vector<Segment> segments;
  for (size_t b = 0; b < prompts.size(); ++b) {
    segments.push_back({.start = static_cast<int64_t>(tokens.size()),
                        .length = static_cast<int64_t>(prompts[b].size()),
                        .row = static_cast<int32_t>(b)});
    for (size_t i = 0; i < prompts[b].size(); ++i) positions.push_back(static_cast<int64_t>(i));
    tokens.insert(tokens.end(), prompts[b].begin(), prompts[b].end());
    last.push_back(static_cast<int64_t>(tokens.size()) - 1);
  }
  const at::Tensor hidden = network.run(
      at::tensor(at::ArrayRef<int64_t>(tokens), at::kLong),
      at::tensor(at::ArrayRef<int64_t>(positions), at::kLong),
      *std::max_element(positions.begin(), positions.end()) + 1,
      [&](int64_t layer, const at::Tensor& qkv) {
        for (const Segment& s : segments)
          for (int64_t i = 0; i < s.length; ++i)
            cache.store(layer, s.row, i, qkv.const_data_ptr<float>() + (s.start + i) * qkv.size(1));
        return ops::packed_attention(
            qkv, ops::make_attention_plan(segments, network.attention_shape(layer), at::kFloat));
      });
  return hidden.index_select(0, at::tensor(at::ArrayRef<int64_t>(last), at::kLong));
}

at::Tensor decode(Decoder& network, const std::vector<int64_t>& tokens, KeyValueCache& cache) {
  return network.run(at::tensor(at::ArrayRef<int64_t>(tokens), at::kLong),
                     at::tensor(at::ArrayRef<int64_t>(cache.lengths()), at::kLong),
                     *std::max_element(cache.lengths().begin(), cache.lengths().end()) + 1,
                     [&](int64_t layer, const at::Tensor& qkv) {
                       for (size_t b = 0; b < tokens.size(); ++b)
                         cache.store(layer, static_cast<int64_t>(b), cache.lengths()[b],
                                     qkv.const_data_ptr<float>() + b * qkv.size(1));
                       return cache.attend(layer, qkv);
                     });
}

}  // namespace

int32_t sample_token(std::span<const float> logits, const SampleOptions& options, double uniform) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (options.temperature == 0) return static_cast<int32_t>(best - logits.begin());
  std::vector<double> weight(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    weight[i] = std::exp((static_cast<double>(logits[i]) - *best) / options.temperature);
  if (options.top_k > 0 || options.top_p < 1) {
    std::vector<int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return weight[a] > weight[b]; });
    size_t kept = options.top_k > 0 ? std::min<size_t>(options.top_k, order.size()) : order.size();
    double total = 0, sum = 0;
    for (size_t i = 0; i < kept; ++i) total += weight[order[i]];
    size_t n = 0;  // the most probable token always stays
    do sum += weight[order[n++]];
    while (n < kept && sum < options.top_p * total);
    for (size_t i = n; i < order.size(); ++i) weight[order[i]] = 0;
  }
  double left = uniform * std::accumulate(weight.begin(), weight.end(), 0.0);
  int32_t drawn = static_cast<int32_t>(best - logits.begin());
  for (size_t i = 0; i < weight.size(); ++i) {
    if (weight[i] == 0) continue;
    drawn = static_cast<int32_t>(i);
    if ((left -= weight[i]) < 0) break;
  }
  return drawn;
}

std::vector<Reply> sample_replies(Decoder& network, std::span<const std::vector<int32_t>> prompts,
                                  int32_t eos_id, const SampleOptions& options) {
  check_options(options, "sample");
  c10::NoGradGuard no_grad;
  require(network.parameters().holds_plain_values(), ErrorKind::option, "sample",
          "a network on the CPU is required; this one is on a device.");
  std::vector<Reply> replies(prompts.size());
  if (prompts.empty()) return replies;
  size_t longest = 0;
  std::vector<RandomStream> streams;
  for (size_t b = 0; b < prompts.size(); ++b) {
    require(!prompts[b].empty(), ErrorKind::data, "sample", "prompt ", b,
            " has no tokens; at least one is required.");
    longest = std::max(longest, prompts[b].size());
    streams.emplace_back(static_cast<uint64_t>(options.seed), "sampling", b);
  }
  const int64_t batch = static_cast<int64_t>(prompts.size());
  KeyValueCache cache(network.config(), batch,
                      static_cast<int64_t>(longest) + options.max_new_tokens);
  const Weight head = network.lm_head();
  at::Tensor hidden = prefill(network, prompts, cache);
  for (int64_t b = 0; b < batch; ++b) cache.lengths()[b] = static_cast<int64_t>(prompts[b].size());
  std::vector<int64_t> next(prompts.size(), 0);
  for (int64_t t = 0; t < options.max_new_tokens; ++t) {
    const at::Tensor logits = at::mm(hidden, head.value.t());
    bool any = false;
    for (int64_t b = 0; b < batch; ++b) {
      if (replies[b].ended) continue;
      const float* row = logits.const_data_ptr<float>() + b * logits.size(1);
      const int32_t token =
          sample_token({row, static_cast<size_t>(logits.size(1))}, options, streams[b].uniform());
      replies[b].ids.push_back(token);
      replies[b].ended = token == eos_id;
      next[b] = token;
      any = any || !replies[b].ended;
    }
    if (!any || t + 1 == options.max_new_tokens) break;
    hidden = decode(network, next, cache);
    for (int64_t b = 0; b < batch; ++b)
      if (!replies[b].ended) ++cache.lengths()[b];
  }
  return replies;
}

}  // namespace pref
