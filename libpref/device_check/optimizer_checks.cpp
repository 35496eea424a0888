// SPDX-License-Identifier: Apache-2.0
// AdamW on whole and on split weights, the global norm, the clip factor and the finite flag.
#include <cmath>
#include <limits>

#include "kernels/cuda/adamw.h"
#include "kernels/cuda/norm.h"
#include "kernels/reference/adamw.h"
#include "libpref/device_check/session.h"

namespace pref::device_check {
namespace {

namespace gpu = kernels::cuda;
using kernels::AdamWStep;

constexpr AdamWStep kStep = {.learning_rate = 1e-3,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .eps = 1e-8,
                             .weight_decay = 0.1,
                             .step = 1};

template <class M>
struct Moments {
  DeviceArray<M> first, second;
  explicit Moments(int64_t count) : first(count), second(count) {
    first.fill(0);
    second.fill(0);
  }
};

// Steps of f32 weights, with the clip factor read on the device, against the algorithm in double.
template <class M>
void check_adamw(Session& session, int64_t count) {
  const auto weight = session.normal<float>(count);
  const DeviceArray<float> clip(std::vector<float>{0.5f});
  Moments<M> moments(count);
  const auto samples = Session::sample(count, 2000);
  std::vector<reference::AdamWElement<double>> want;
  const auto begin = weight.read();
  for (const int64_t i : samples)
    want.push_back({.weight = to_double(begin[static_cast<size_t>(i)])});
  // bf16 moments are rounded after a step: only the first one is that of exact moments.
  const int steps = kIsBF16<M> ? 1 : 4;
  for (int t = 1; t <= steps; ++t) {
    const auto gradient = session.normal<float>(count);
    AdamWStep step = kStep;
    step.step = t;
    step.gradient_scale = 2;
    gpu::adamw_update({weight.data(), nullptr, moments.first.data(), moments.second.data()},
                      gradient.data(), count, step, {clip.data()}, 0, 0, nullptr);
    const auto g = gradient.read();
    for (size_t k = 0; k < samples.size(); ++k)
      want[k].step(to_double(g[static_cast<size_t>(samples[k])]), 1e-3, 0.9, 0.95, 1e-8, 0.1, t);
  }
  const auto got = weight.read();
  const auto m = to_double(moments.first.read()), v = to_double(moments.second.read());
  Comparison comparison("adamw_update", shape_text("f32", {count}) + " moments " + kTypeName<M> +
                                            ", " + std::to_string(steps) + " steps");
  for (size_t k = 0; k < samples.size(); ++k) {
    const auto at = static_cast<size_t>(samples[k]);
    comparison.near("weight", to_double(got[at]), want[k].weight, 5e-7, 2e-7);
    comparison.near("exp_avg", m[at], want[k].exp_avg, kRounding<M> + 1e-6, 1e-7);
    comparison.near("exp_avg_sq", v[at], want[k].exp_avg_sq, kRounding<M> + 1e-6, 1e-9);
  }
  session.report(comparison);
}

// Weights of 16 + 16 bits take the very steps of f32 weights.
template <class M, class G>
void check_split(Session& session, int64_t count, uint64_t rounding_seed, bool timed) {
  const std::string text = shape_text("bf16 + 16 bits", {count}) + " moments " + kTypeName<M> +
                           ", gradient " + kTypeName<G> + (rounding_seed ? ", at random" : "");
  const auto whole = session.normal<float>(count, 0.02);
  const auto weight = Session::output<BF16>(count);
  const auto remainder = Session::output<int16_t>(count);
  const auto joined = Session::output<float>(count);
  gpu::split_master(whole.data(), count, weight.data(), remainder.data(), nullptr);
  gpu::join_master(weight.data(), remainder.data(), count, joined.data(), nullptr);
  Comparison round_trip("split_master, join_master", shape_text("f32", {count}));
  round_trip.exact("bits", Session::fingerprint(joined) == Session::fingerprint(whole));
  const auto near_whole = to_double(weight.read(0, std::min<int64_t>(count, 10000))),
             first = to_double(whole.read(0, std::min<int64_t>(count, 10000)));
  round_trip.near("weight", near_whole, first, kRounding<BF16>, 0);
  session.report(round_trip);

  const auto gradient = session.normal<G>(count, 1e-3);
  Moments<M> a(count), b(count);
  for (int t = 1; t <= 3; ++t) {
    AdamWStep step = kStep;
    step.step = t;
    gpu::adamw_update({whole.data(), nullptr, a.first.data(), a.second.data()}, gradient.data(),
                      count, step, {}, rounding_seed, 0, nullptr);
    gpu::adamw_update({weight.data(), remainder.data(), b.first.data(), b.second.data()},
                      gradient.data(), count, step, {}, rounding_seed, 0, nullptr);
  }
  gpu::join_master(weight.data(), remainder.data(), count, joined.data(), nullptr);
  Comparison comparison("adamw_update", text);
  comparison.exact("bits of f32 weights",
                   Session::fingerprint(joined) == Session::fingerprint(whole));
  comparison.exact("exp_avg", Session::fingerprint(a.first) == Session::fingerprint(b.first));
  comparison.exact("exp_avg_sq", Session::fingerprint(a.second) == Session::fingerprint(b.second));
  const DeviceArray<int> skip(std::vector<int>{1});
  gpu::adamw_update({whole.data(), nullptr, a.first.data(), a.second.data()}, gradient.data(),
                    count, kStep, {nullptr, skip.data()}, rounding_seed, 0, nullptr);
  comparison.exact("skipped step", Session::fingerprint(joined) == Session::fingerprint(whole));
  session.report(comparison);
  if (!timed) return;
  AdamWStep step = kStep;
  step.step = 4;
  // Read and written: weight, remainder, two moments; read: the gradient.
  const double moved = static_cast<double>(count) * (8 + 4 * sizeof(M) + sizeof(G));
  session.time({"G12", "adamw_update", text, moved, "copy", 0.90}, [&] {
    gpu::adamw_update({weight.data(), remainder.data(), b.first.data(), b.second.data()},
                      gradient.data(), count, step, {}, rounding_seed, 0, nullptr);
  });
}

template <class T>
void check_norm(Session& session, int64_t count, bool timed) {
  const std::string text = shape_text(kTypeName<T>, {count});
  auto x = session.normal<T>(count);
  DeviceArray<double> workspace(gpu::sum_of_squares_workspace(count));
  DeviceArray<double> total(std::vector<double>{2}), again(std::vector<double>{2});
  gpu::sum_of_squares(x.data(), count, workspace.data(), total.data(), nullptr);
  gpu::sum_of_squares(x.data(), count, workspace.data(), again.data(), nullptr);
  double want = 2;
  for (const T v : x.read()) want += to_double(v) * to_double(v);
  Comparison sum("sum_of_squares", text);
  sum.near("total", total.read()[0], want, 2e-6, 0);
  sum.same_bits("second run", total.read(), again.read());
  session.report(sum);

  DeviceArray<int> flag(std::vector<int>{0});
  Comparison flags("flag_non_finite", text);
  const auto flag_is = [&](int expected) {
    gpu::flag_non_finite(x.data(), count, flag.data(), nullptr);
    flags.exact("flag", flag.read()[0] == expected);
    flag.fill(0);
  };
  flag_is(0);
  for (const int64_t at : {int64_t{0}, count / 2, count - 1})
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      const DeviceArray<int64_t> index(std::vector<int64_t>{at});
      const DeviceArray<float> value(std::vector<float>{bad}), one(std::vector<float>{1});
      gpu::set_elements(x.data(), index.data(), value.data(), 1, nullptr);
      flag_is(1);
      gpu::set_elements(x.data(), index.data(), one.data(), 1, nullptr);
    }
  session.report(flags);
  if (timed)
    session.time({"", "sum_of_squares", text, static_cast<double>(count) * sizeof(T), "read"}, [&] {
      gpu::sum_of_squares(x.data(), count, workspace.data(), total.data(), nullptr);
    });
}

void check_clip(Session& session) {
  Comparison comparison("clip_factor", "totals 9, 0, infinite, NaN");
  const auto run = [&](double total, double max_norm, double norm, double factor, int before,
                       int non_finite) {
    const DeviceArray<double> sum(std::vector<double>{total});
    const auto got_norm = Session::output<float>(1), got_factor = Session::output<float>(1);
    const DeviceArray<int> got_flag(std::vector<int>{before});
    gpu::clip_factor(sum.data(), max_norm, got_norm.data(), got_factor.data(), got_flag.data(),
                     nullptr);
    if (std::isfinite(norm)) comparison.near("norm", to_double(got_norm.read()[0]), norm, 1e-7, 0);
    comparison.near("factor", to_double(got_factor.read()[0]), factor, 1e-7, 0);
    comparison.exact("non_finite", got_flag.read()[0] == non_finite);
  };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  run(9, 1, 3, 1 / (3 + 1e-6), 0, 0);
  run(9, 4, 3, 1, 0, 0);
  run(9, 0, 3, 1, 0, 0);
  run(0, 1, 0, 1, 0, 0);
  run(kInfinity, 1, kInfinity, 0, 0, 1);
  run(std::numeric_limits<double>::quiet_NaN(), 1, kInfinity, 0, 0, 1);
  run(9, 4, 3, 1, 1, 1);  // stays until somebody clears it
  session.report(comparison);
}

}  // namespace

void check_optimizer(Session& session) {
  const int64_t small = session.pick<int64_t>(2061, 100003, 100003);  // vectors, a tail
  check_adamw<float>(session, small);
  check_adamw<BF16>(session, small);
  check_split<float, float>(session, small, 0, false);
  check_split<float, BF16>(session, small, 0, false);
  check_split<BF16, BF16>(session, small, 0, false);
  const int64_t large = session.pick<int64_t>(4096, int64_t{1} << 26, int64_t{1} << 28);
  session.attempt("adamw_update", [&] {
    // 30 bytes an element: both forms of the weights, their moments, the gradient.
    const int64_t count = session.rows_that_fit(large / 1024, 30 * 1024) * 1024;
    check_split<BF16, BF16>(session, count, 99, true);
  });
  for (const int64_t count : {int64_t{1}, int64_t{9}, small}) {
    check_norm<float>(session, count, false);
    check_norm<BF16>(session, count, false);
  }
  session.attempt("sum_of_squares", [&] {
    check_norm<BF16>(session, session.rows_that_fit(large / 1024, 8192) * 1024, true);
  });
  check_clip(session);
}

}  // namespace pref::device_check
