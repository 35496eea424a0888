// SPDX-License-Identifier: Apache-2.0
// RMSNorm with and without the residual, rotary embedding and SwiGLU, both directions.
#include <cmath>

#include "kernels/cuda/head_norm.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/swiglu.h"
#include "kernels/reference/bf16.h"
#include "kernels/reference/rms_norm.h"
#include "kernels/reference/rope.h"
#include "kernels/reference/swiglu.h"
#include "libpref/device_check/session.h"

namespace pref::device_check {
namespace {

namespace gpu = kernels::cuda;
constexpr float kEps = 1e-5f;
constexpr double kWanted = 0.85;

/// Rows of a matrix on the device.
template <class T>
std::vector<double> row(const DeviceArray<T>& x, int64_t i, int64_t width) {
  return to_double(x.read(i * width, width));
}

template <class T>
double bytes(int64_t rows, int64_t width, int times) {
  return static_cast<double>(rows * width) * times * sizeof(T);
}

template <class T>
void check_rms_norm(Session& session, int64_t rows, int64_t width, bool residual, bool timed) {
  const std::string text = shape_text(kTypeName<T>, {rows, width}) + (residual ? " residual" : "");
  const auto x = session.normal<T>(rows * width), other = session.normal<T>(rows * width),
             weight = session.normal<T>(width, 0.3, 1);
  const auto sum = Session::output<T>(residual ? rows * width : 0);
  auto y = Session::output<T>(rows * width);
  const auto inverse = Session::output<float>(rows);
  const auto run = [&] {
    gpu::rms_norm_forward(x.data(), residual ? other.data() : nullptr, sum.data(), rows, width,
                          width, weight.data(), kEps, y.data(), width, inverse.data(), nullptr);
  };
  run();
  const auto w = to_double(weight.read());
  Comparison comparison("rms_norm_forward", text);
  for (const int64_t i : Session::sample(rows, 8)) {
    auto in = row(x, i, width);
    if (residual) {
      const auto more = row(other, i, width);
      for (size_t c = 0; c < in.size(); ++c) {
        in[c] += more[c];  // exact in double
        if (kIsBF16<T>) in[c] = reference::rounded_to_bf16(in[c]);
      }
      comparison.near("sum", row(sum, i, width), in, kIsBF16<T> ? 0 : 1e-7, 0);
    }
    comparison.near("y", row(y, i, width), reference::rms_norm(in, w, static_cast<double>(kEps)),
                    8e-7 + kRounding<T>, 2e-7);
    double squares = 0;
    for (const double v : in) squares += v * v;
    comparison.near("inverse_rms", to_double(inverse.read(i, 1)[0]),
                    1 / std::sqrt(squares / static_cast<double>(width) + to_double(kEps)), 2e-6, 0);
  }
  const uint64_t first = Session::fingerprint(y);
  y.fill(0xff);
  run();
  comparison.exact("second run", Session::fingerprint(y) == first);
  session.report(comparison);
  if (timed)
    session.time(
        {"G13", "rms_norm_forward", text, bytes<T>(rows, width, residual ? 4 : 2), "copy", kWanted},
        run);
}

template <class T>
void check_rms_norm_backward(Session& session, int64_t rows, int64_t width, bool accumulate,
                             bool timed) {
  const std::string text =
      shape_text(kTypeName<T>, {rows, width}) + (accumulate ? " accumulated" : "");
  const auto x = session.normal<T>(rows * width), dy = session.normal<T>(rows * width),
             weight = session.normal<T>(width, 0.3, 1);
  auto dx = accumulate ? session.normal<T>(rows * width) : Session::output<T>(rows * width);
  DeviceArray<T> again(dx.size());
  gpu::copy_on_device(again.data(), dx.data(), dx.bytes(), nullptr);
  const auto d_weight = session.normal<float>(width);
  DeviceArray<float> d_weight_again(width),
      workspace(gpu::rms_norm_backward_workspace(rows, width));
  gpu::copy_on_device(d_weight_again.data(), d_weight.data(), d_weight.bytes(), nullptr);
  const auto inverse = Session::output<float>(rows);
  DeviceArray<T> y(rows * width);
  gpu::rms_norm_forward(x.data(), nullptr, nullptr, rows, width, width, weight.data(), kEps,
                        y.data(), width, inverse.data(), nullptr);
  const auto samples = Session::sample(rows, 8);
  std::vector<std::vector<double>> before;
  for (const int64_t i : samples) before.push_back(row(dx, i, width));
  auto want_weight = to_double(d_weight.read());
  const auto run = [&](const DeviceArray<T>& to, const DeviceArray<float>& to_weight) {
    gpu::rms_norm_backward(dy.data(), width, x.data(), width, weight.data(), inverse.data(), rows,
                           width, to.data(), width, accumulate, to_weight.data(), workspace.data(),
                           nullptr);
  };
  workspace.fill(0xff);
  run(dx, d_weight);
  run(again, d_weight_again);
  const auto w = to_double(weight.read());
  const auto gradient_of = [&](int64_t i) {
    return reference::rms_norm_gradient(row(dy, i, width), row(x, i, width), w, to_double(kEps));
  };
  Comparison comparison("rms_norm_backward", text);
  for (size_t k = 0; k < samples.size(); ++k) {
    auto want = gradient_of(samples[k]).dx;
    for (size_t c = 0; c < want.size() && accumulate; ++c) want[c] += before[k][c];
    comparison.near("dx", row(dx, samples[k], width), want, kRounding<T> + 1e-7, 6e-6);
  }
  if (!timed) {  // of every row
    for (int64_t i = 0; i < rows; ++i) {
      const auto d = row(dy, i, width), n = gradient_of(i).normalised;
      for (size_t c = 0; c < d.size(); ++c) want_weight[c] += d[c] * n[c];
    }
    comparison.near("d_weight", to_double(d_weight.read()), want_weight, 2e-6,
                    8e-6 + 2e-6 * std::sqrt(static_cast<double>(rows)));
  }
  comparison.exact("second run", Session::fingerprint(dx) == Session::fingerprint(again));
  comparison.same_bits("second run", d_weight.read(), d_weight_again.read());
  session.report(comparison);
  if (timed)
    session.time({"G13", "rms_norm_backward", text, bytes<T>(rows, width, 3), "copy", kWanted},
                 [&] { run(dx, d_weight); });
}

template <class T>
void check_head_norm(Session& session, const gpu::HeadShape& shape, bool timed) {
  const auto [rows, heads, width] = shape;
  const int64_t used = heads * width, stride = used + width;  // keys stand beside queries
  const std::string text = shape_text(kTypeName<T>, {rows, heads, width});
  const auto x = session.normal<T>(rows * stride), dy = session.normal<T>(rows * stride),
             weight = session.normal<T>(width, 0.3, 1);
  const auto y = Session::output<T>(rows * stride), dx = Session::output<T>(rows * stride),
             again = Session::output<T>(rows * stride);
  const auto inverse = Session::output<float>(rows * heads);
  const DeviceArray<float> workspace(gpu::head_norm_backward_workspace(shape));
  DeviceArray<float> d_weight(width), d_weight_again(width);
  d_weight.fill(0);
  d_weight_again.fill(0);
  const auto forward = [&] {
    gpu::head_norm_forward(x.data(), stride, shape, weight.data(), kEps, y.data(), stride,
                           inverse.data(), nullptr);
  };
  const auto backward = [&](const DeviceArray<T>& to, const DeviceArray<float>& to_weight) {
    gpu::head_norm_backward(dy.data(), stride, x.data(), stride, shape, weight.data(),
                            inverse.data(), to.data(), stride, to_weight.data(), workspace.data(),
                            nullptr);
  };
  forward();
  backward(dx, d_weight);
  backward(again, d_weight_again);
  const auto w = to_double(weight.read());
  std::vector<double> want_weight(static_cast<size_t>(width), 0.0);
  Comparison of_y("head_norm_forward", text), of_gradient("head_norm_backward", text);
  for (const int64_t i : Session::sample(rows * heads, timed ? 8 : rows * heads)) {
    const auto head = [&](const DeviceArray<T>& of) {
      return to_double(of.read(i / heads * stride + i % heads * width, width));
    };
    const auto in = head(x), d = head(dy);
    of_y.near("y", head(y), reference::rms_norm(in, w, to_double(kEps)), 8e-7 + kRounding<T>, 2e-7);
    const auto gradient = reference::rms_norm_gradient(d, in, w, to_double(kEps));
    of_gradient.near("dx", head(dx), gradient.dx, kRounding<T> + 1e-7, 6e-6);
    for (size_t c = 0; c < d.size(); ++c) want_weight[c] += d[c] * gradient.normalised[c];
  }
  if (!timed)  // every head was looked at
    of_gradient.near("d_weight", to_double(d_weight.read()), want_weight, 2e-6,
                     8e-6 + 2e-6 * std::sqrt(static_cast<double>(rows * heads)));
  of_gradient.exact("second run", Session::fingerprint(dx) == Session::fingerprint(again));
  of_gradient.same_bits("second run", d_weight.read(), d_weight_again.read());
  session.report(of_y);
  session.report(of_gradient);
  if (!timed) return;
  const auto moved = [&](int times) { return bytes<T>(rows, used, times); };
  session.time({"G13", "head_norm_forward", text, moved(2), "copy", kWanted}, forward);
  session.time({"G13", "head_norm_backward", text, moved(3), "copy", kWanted},
               [&] { backward(dx, d_weight); });
}

template <class T>
void check_rope(Session& session, int64_t tokens, int64_t heads, int64_t head_dim, int direction,
                bool timed) {
  constexpr double kTheta = 500000;
  constexpr int64_t kPositions = 600;
  const std::string text =
      shape_text(kTypeName<T>, {tokens, heads, head_dim}) + (direction < 0 ? " backward" : "");
  Draws draws = session.draws("rope " + text);
  const int64_t width = heads * head_dim, half = head_dim / 2;
  std::vector<float> cosine, sine;
  for (int64_t p = 0; p < kPositions; ++p)
    for (int64_t i = 0; i < half; ++i) {
      const double angle = reference::rope_angle(p, i, head_dim, kTheta);
      cosine.push_back(static_cast<float>(std::cos(angle)));
      sine.push_back(static_cast<float>(std::sin(angle)));
    }
  std::vector<int64_t> positions;
  for (int64_t t = 0; t < tokens; ++t) positions.push_back(draws.integer(0, kPositions - 1));
  const DeviceArray<int64_t> on_device(positions);
  const DeviceArray<float> cosines(cosine), sines(sine);
  auto x = session.normal<T>(tokens * width);
  // Rows first go elsewhere, in the opposite order and the first one twice; then x is turned where
  // it stands.
  std::vector<int64_t> source;
  for (int64_t t = tokens - 1; t >= 0; --t) source.push_back(t);
  source.push_back(0);
  const DeviceArray<int64_t> sources(source);
  const auto moved = Session::output<T>((tokens + 1) * width);
  gpu::rope_rotate(x.data(), width, sources.data(), tokens + 1, heads, head_dim, on_device.data(),
                   cosines.data(), sines.data(), direction, moved.data(), width, nullptr);
  const auto samples = Session::sample(tokens, 8);
  std::vector<std::vector<double>> before;
  for (const int64_t t : samples) before.push_back(row(x, t, width));
  const auto run = [&] {
    gpu::rope_rotate(x.data(), width, nullptr, tokens, heads, head_dim, on_device.data(),
                     cosines.data(), sines.data(), direction, x.data(), width, nullptr);
  };
  run();
  Comparison comparison("rope_rotate", text);
  for (size_t k = 0; k < samples.size(); ++k) {
    std::vector<double> want;
    for (int64_t h = 0; h < heads; ++h) {
      const auto begin = before[k].begin() + h * head_dim;
      const auto turned = reference::rope(
          {begin, begin + head_dim}, positions[static_cast<size_t>(samples[k])], kTheta, direction);
      want.insert(want.end(), turned.begin(), turned.end());
    }
    comparison.near("x", row(x, samples[k], width), want, kRounding<T>, 2e-6);
    comparison.same_bits("moved row", moved.read((tokens - 1 - samples[k]) * width, width),
                         x.read(samples[k] * width, width));
  }
  comparison.same_bits("second place of a row", moved.read(tokens * width, width),
                       x.read(0, width));
  session.report(comparison);
  if (timed)
    session.time({"G13", "rope_rotate", text, bytes<T>(tokens, width, 2), "copy", kWanted}, run);
}

template <class T>
void check_swiglu(Session& session, int64_t rows, int64_t width, bool timed) {
  const std::string text = shape_text(kTypeName<T>, {rows, width});
  const auto gate_up = session.normal<T>(rows * 2 * width, 3), dy = session.normal<T>(rows * width);
  const auto y = Session::output<T>(rows * width);
  auto gradient = Session::output<T>(rows * 2 * width);
  const auto forward = [&] { gpu::swiglu_forward(gate_up.data(), rows, width, y.data(), nullptr); };
  const auto backward = [&] {
    gpu::swiglu_backward(dy.data(), gate_up.data(), rows, width, gradient.data(), nullptr);
  };
  forward();
  backward();
  const double relative = kRounding<T> + 2e-6;
  Comparison of_y("swiglu_forward", text), of_gradient("swiglu_backward", text);
  for (const int64_t i : Session::sample(rows, 8)) {
    const auto in = row(gate_up, i, 2 * width), d = row(dy, i, width), got_y = row(y, i, width),
               got = row(gradient, i, 2 * width);
    for (size_t g = 0, u = d.size(); g < d.size(); ++g, ++u) {
      of_y.near("y", got_y[g], reference::swiglu(in[g], in[u]), relative, 2e-7);
      const auto slope = reference::swiglu_gradient(in[g], in[u]);
      of_gradient.near("d_gate", got[g], d[g] * slope.gate, relative, 2e-6);
      of_gradient.near("d_up", got[u], d[g] * slope.up, relative, 2e-6);
    }
  }
  const uint64_t first = Session::fingerprint(gradient);
  gpu::copy_on_device(gradient.data(), gate_up.data(), gate_up.bytes(), nullptr);
  gpu::swiglu_backward(dy.data(), gradient.data(), rows, width, gradient.data(), nullptr);
  of_gradient.exact("second run, over its input", Session::fingerprint(gradient) == first);
  session.report(of_y);
  session.report(of_gradient);
  if (!timed) return;
  session.time({"G13", "swiglu_forward", text, bytes<T>(rows, width, 3), "copy", kWanted}, forward);
  session.time({"G13", "swiglu_backward", text, bytes<T>(rows, width, 5), "copy", kWanted},
               backward);
}

}  // namespace

void check_network(Session& session) {
  for (const int64_t width : {7, 64, 2056})
    for (const bool flag : {false, true}) {
      check_rms_norm<float>(session, 5, width, flag, false);
      check_rms_norm<BF16>(session, 5, width, flag, false);
      check_rms_norm_backward<float>(session, 5, width, flag, false);
      check_rms_norm_backward<BF16>(session, 5, width, flag, false);
    }
  check_rms_norm_backward<float>(session, session.pick<int64_t>(517, 1100, 1100), 40, false, false);
  for (const gpu::HeadShape& shape : {gpu::HeadShape{3, 3, 7}, {9, 5, 128}}) {
    check_head_norm<float>(session, shape, false);
    check_head_norm<BF16>(session, shape, false);
  }
  for (const int direction : {1, -1}) {
    check_rope<float>(session, 5, 3, 16, direction, false);
    check_rope<BF16>(session, 5, 2, 6, direction, false);
  }
  for (const int64_t width : {1, 9, 64, 2080}) {
    check_swiglu<float>(session, 2, width, false);
    check_swiglu<BF16>(session, 2, width, false);
  }
  const int64_t rows = session.pick<int64_t>(4, 16384, 16384);
  const int64_t width = session.pick<int64_t>(64, 4096, 4096);
  session.attempt("RMSNorm, RoPE", [&] {
    for (const bool residual : {false, true})
      check_rms_norm<BF16>(session, rows, width, residual, true);
    check_rms_norm_backward<BF16>(session, rows, width, false, true);
    check_head_norm<BF16>(
        session, {rows, session.pick<int64_t>(2, 32, 32), session.pick<int64_t>(16, 128, 128)},
        true);
    for (const int direction : {1, -1})
      check_rope<BF16>(session, rows, session.pick<int64_t>(2, 32, 32),
                       session.pick<int64_t>(32, 128, 128), direction, true);
  });
  session.attempt("SwiGLU", [&] {
    check_swiglu<BF16>(session, session.pick<int64_t>(4, 8192, 16384),
                       session.pick<int64_t>(64, 14336, 14336), true);
  });
}

}  // namespace pref::device_check
