// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/attention.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>
#include <optional>

#include "libpref/base/error.h"
#include "libpref/ops/flops.h"

namespace pref::ops {

// Queries [query, +queries) against keys [key, +keys) of packed rows; `mask` where plain and causal
// do not say it.
struct Tile {
  int64_t query, queries, key, keys;
  bool causal = false;
  at::Tensor mask;        // [queries, keys] additive, or undefined
  at::Tensor empty_rows;  // [queries] bool: no key of this tile is visible, or undefined
  double visible = 0;     // pairs that the mask lets through
};

// The tiles of one run of queries are merged.
struct QueryBlock {
  int64_t query, queries;
  std::vector<Tile> tiles;
};

struct AttentionPlan {
  AttentionShape shape;
  std::vector<std::vector<QueryBlock>> rows;  // blocks of a row touch no other row's tokens
  double pairs = 0;  // attended (query, key) pairs, a causal n x n tile counting n^2/2
};

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kWindowBlock =
    256;  // queries per block of a windowed segment: bounds the masks' memory

// A tile whose visible keys are those at most `window - 1` positions back; nullopt when none is
// visible.
std::optional<Tile> window_tile(int64_t query, int64_t queries, int64_t query_position,
                                int64_t key_start, int64_t key_end, int64_t key_position,
                                int64_t window, at::ScalarType dtype) {
  const int64_t skip = std::max<int64_t>(0, query_position - window + 1 - key_position);
  const int64_t key = key_start + skip;
  const int64_t keys =
      std::min(key_end, key_start + (query_position + queries - key_position)) - key;
  if (keys <= 0) return std::nullopt;
  Tile tile{query, queries, key, keys};
  tile.mask = at::empty({queries, keys}, dtype);
  tile.empty_rows = at::empty({queries}, at::kBool);
  bool any_empty = false;
  AT_DISPATCH_FLOATING_TYPES(dtype, "attention_mask", [&] {
    scalar_t* mask = tile.mask.mutable_data_ptr<scalar_t>();
    bool* empty = tile.empty_rows.mutable_data_ptr<bool>();
    for (int64_t i = 0; i < queries; ++i) {
      empty[i] = true;
      for (int64_t j = 0; j < keys; ++j) {
        const int64_t distance = (query_position + i) - (key_position + skip + j);
        const bool visible = distance >= 0 && distance < window;
        mask[i * keys + j] = visible ? scalar_t(0) : -std::numeric_limits<scalar_t>::infinity();
        empty[i] = empty[i] && !visible;
        tile.visible += visible;
      }
      any_empty = any_empty || empty[i];
    }
  });
  if (!any_empty) tile.empty_rows = Tensor();
  return tile;
}

std::vector<QueryBlock> segment_blocks(const Segment& s, const AttentionShape& shape,
                                       at::ScalarType dtype) {
  const int64_t p = s.prefix_length;
  if (shape.window == 0 || p + s.length <= shape.window) {
    QueryBlock block{s.start, s.length, {}};
    if (p > 0) block.tiles.push_back({s.start, s.length, s.prefix_start, p});
    block.tiles.push_back({s.start, s.length, s.start, s.length, true});
    return {block};
  }
  std::vector<QueryBlock> blocks;
  for (int64_t first = 0; first < s.length; first += kWindowBlock) {
    const int64_t count = std::min(kWindowBlock, s.length - first);
    QueryBlock block{s.start + first, count, {}};
    if (p > 0)
      if (auto tile = window_tile(block.query, count, p + first, s.prefix_start, s.prefix_start + p,
                                  0, shape.window, dtype))
        block.tiles.push_back(std::move(*tile));
    if (auto tile = window_tile(block.query, count, p + first, s.start, s.start + s.length, p,
                                shape.window, dtype))
      block.tiles.push_back(std::move(*tile));
    blocks.push_back(std::move(block));
  }
  return blocks;
}

// Pairs as performance counts take them: n^2/2 for causal tiles, all pairs of unmasked ones,
// visible ones of masks.
double attended_pairs(const Tile& tile) {
  if (tile.mask.defined()) return tile.visible;
  const double pairs = static_cast<double>(tile.queries) * static_cast<double>(tile.keys);
  return tile.causal ? pairs / 2 : pairs;
}

// Views [1, heads, n, d] of a run of packed rows.
struct Heads {
  const Tensor& matrix;  // [T, (H + 2 K) d]
  const AttentionShape& shape;
  Tensor view(int64_t start, int64_t count, int64_t first_head, int64_t heads) const {
    return matrix.narrow(0, start, count)
        .narrow(1, first_head * shape.head_dim, heads * shape.head_dim)
        .view({1, count, heads, shape.head_dim})
        .transpose(1, 2);
  }
  Tensor query(int64_t start, int64_t count) const {
    return view(start, count, 0, shape.query_heads);
  }
  Tensor key(int64_t start, int64_t count) const {
    return view(start, count, shape.query_heads, shape.key_heads);
  }
  Tensor value(int64_t start, int64_t count) const {
    return view(start, count, shape.query_heads + shape.key_heads, shape.key_heads);
  }
};

// Many rows: one per thread, their operators serial. Few rows: the operators use the threads
// themselves.
template <class F>
void for_each_row(const AttentionPlan& plan, const F& f) {
  const int64_t rows = static_cast<int64_t>(plan.rows.size());
  if (rows < 4 * at::get_num_threads()) {
    for (int64_t r = 0; r < rows; ++r) f(r);
    return;
  }
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    c10::NoGradGuard no_grad;  // worker threads do not inherit the caller's mode
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

std::optional<Tensor> optional(const Tensor& t) {
  return t.defined() ? std::optional<Tensor>(t) : std::nullopt;
}

// Output columns of a block, [1, H, n, d].
Tensor output_view(const Tensor& matrix, const QueryBlock& block, const AttentionShape& shape) {
  return matrix.narrow(0, block.query, block.queries)
      .view({1, block.queries, shape.query_heads, shape.head_dim})
      .transpose(1, 2);
}

struct PackedAttentionFunction : Function<PackedAttentionFunction> {
  struct Holder : torch::CustomClassHolder {
    explicit Holder(std::shared_ptr<const AttentionPlan> p) : plan(std::move(p)) {}
    std::shared_ptr<const AttentionPlan> plan;
  };

  static Tensor forward(AutogradContext* context, const Tensor& qkv_in,
                        std::shared_ptr<const AttentionPlan> plan) {
    const Tensor qkv = qkv_in.detach();
    const AttentionShape& shape = plan->shape;
    const Heads heads{qkv, shape};
    Tensor out = at::empty({qkv.size(0), shape.query_heads * shape.head_dim}, qkv.options());
    Tensor lse = at::empty({qkv.size(0), shape.query_heads}, qkv.options());
    for_each_row(*plan, [&](int64_t row) {
      for (const QueryBlock& block : plan->rows[row]) {
        Tensor merged, merged_lse;  // [1, H, n, d], [1, H, n]
        for (const Tile& tile : block.tiles) {
          auto [o, l] = at::_scaled_dot_product_flash_attention_for_cpu(
              heads.query(tile.query, tile.queries), heads.key(tile.key, tile.keys),
              heads.value(tile.key, tile.keys), 0.0, tile.causal, optional(tile.mask), shape.scale);
          // A query without visible keys reports 0 instead of -inf.
          if (tile.empty_rows.defined())
            l = l.masked_fill(tile.empty_rows.view({1, 1, tile.queries}),
                              -std::numeric_limits<double>::infinity());
          if (!merged.defined()) {
            merged = o;
            merged_lse = l;
            continue;
          }
          const Tensor both = at::logaddexp(merged_lse, l);
          merged =
              merged * (merged_lse - both).exp().unsqueeze(-1) + o * (l - both).exp().unsqueeze(-1);
          merged_lse = both;
        }
        output_view(out, block, shape).copy_(merged);
        lse.narrow(0, block.query, block.queries).copy_(merged_lse[0].t());
      }
    });
    detail::count_attention_flops(4.0 * shape.query_heads * shape.head_dim * plan->pairs);
    context->save_for_backward({qkv_in, out, lse});
    context->saved_data["plan"] =
        c10::IValue::make_capsule(c10::make_intrusive<Holder>(std::move(plan)));
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor qkv = saved[0].detach(), out = saved[1].detach(), lse = saved[2];
    const auto plan =
        c10::static_intrusive_pointer_cast<Holder>(context->saved_data["plan"].toCapsule())->plan;
    const AttentionShape& shape = plan->shape;
    const Tensor d_out = grads[0].contiguous();
    Tensor d_qkv = at::zeros_like(qkv);
    const Heads heads{qkv, shape}, d_heads{d_qkv, shape};
    for_each_row(*plan, [&](int64_t row) {
      for (const QueryBlock& block : plan->rows[row]) {
        const Tensor d_o = output_view(d_out, block, shape), o = output_view(out, block, shape);
        const Tensor l = lse.narrow(0, block.query, block.queries).unsqueeze(0).transpose(1, 2);
        for (const Tile& tile : block.tiles) {
          auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
              d_o, heads.query(tile.query, tile.queries), heads.key(tile.key, tile.keys),
              heads.value(tile.key, tile.keys), o, l, 0.0, tile.causal, optional(tile.mask),
              shape.scale);
          d_heads.query(tile.query, tile.queries).add_(dq);
          d_heads.key(tile.key, tile.keys).add_(dk);
          d_heads.value(tile.key, tile.keys).add_(dv);
        }
      }
    });
    detail::count_attention_flops(8.0 * shape.query_heads * shape.head_dim * plan->pairs);
    return {d_qkv, Tensor()};
  }
};

}  // namespace

std::shared_ptr<const AttentionPlan> make_attention_plan(const std::vector<Segment>& segments,
                                                         AttentionShape shape,
                                                         at::ScalarType dtype) {
  require(shape.key_heads > 0 && shape.query_heads % shape.key_heads == 0, ErrorKind::option,
          "attention", "query heads must be a multiple of key heads, got ", shape.query_heads,
          " and ", shape.key_heads, ".");
  require(shape.soft_cap == 0, ErrorKind::option, "attention",
          "attention on the CPU has no soft cap; 0 is required, got ", shape.soft_cap, ".");
  auto plan = std::make_shared<AttentionPlan>();
  if (shape.scale == 0) shape.scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  plan->shape = shape;
  for (const Segment& s : segments) {
    while (static_cast<int64_t>(plan->rows.size()) <= s.row) plan->rows.emplace_back();
    for (auto& block : segment_blocks(s, shape, dtype)) {
      for (const Tile& tile : block.tiles) plan->pairs += attended_pairs(tile);
      plan->rows[s.row].push_back(std::move(block));
    }
  }
  return plan;
}

at::Tensor packed_attention(const at::Tensor& qkv, std::shared_ptr<const AttentionPlan> plan) {
  const AttentionShape& shape = plan->shape;
  const int64_t width = (shape.query_heads + 2 * shape.key_heads) * shape.head_dim;
  require(qkv.dim() == 2 && qkv.size(1) == width, ErrorKind::option, "attention", "qkv [T, ", width,
          "] is required, got ", qkv.sizes(), ".");
  return PackedAttentionFunction::apply(qkv.contiguous(), std::move(plan));
}

}  // namespace pref::ops
