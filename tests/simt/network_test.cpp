// SPDX-License-Identifier: Apache-2.0
// RMSNorm, RoPE and SwiGLU on CUDA, run on the CPU through their own launchers, against oracles in
// double. Gradients are compared with central differences of those oracles.
#include "kernels/cuda/head_norm.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/swiglu.h"
#include "kernels/reference/rms_norm.h"
#include "kernels/reference/rope.h"
#include "kernels/reference/swiglu.h"
#include "libpref/base/error.h"
#include "tests/simt/simt_test_util.h"

namespace pref::kernels::cuda {
namespace {

constexpr float kEps = 1e-5f;

std::vector<double> columns(const std::vector<double>& x, int64_t row, int64_t stride,
                            int64_t width) {
  return {x.begin() + row * stride, x.begin() + row * stride + width};
}

class CudaRmsNormTest : public SimtTest {
 protected:
  template <class T>
  void expect_forward(int64_t rows, int64_t width, int64_t stride, bool with_residual) {
    const auto x = narrowed<T>(normal(rows * stride)),
               residual = narrowed<T>(normal(rows * stride));
    const auto weight = narrowed<T>(normal(width, 0.3, 1));
    std::vector<T> sum(with_residual ? x.size() : 0, Elements<T>::round(kNaN));
    std::vector<T> y(static_cast<size_t>(rows * width), Elements<T>::round(kNaN));
    std::vector<float> inverse(static_cast<size_t>(rows), kNaN);
    rms_norm_forward(x.data(), with_residual ? residual.data() : nullptr,
                     with_residual ? sum.data() : nullptr, rows, width, stride, weight.data(), kEps,
                     y.data(), width, inverse.data(), nullptr);
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<double> in = columns(widened(x), r, stride, width);
      if (with_residual) {
        const auto other = columns(widened(residual), r, stride, width);
        for (size_t c = 0; c < in.size(); ++c)
          in[c] = static_cast<double>(to_float(
              Elements<T>::round(static_cast<float>(in[c]) + static_cast<float>(other[c]))));
        expect_near(columns(widened(sum), r, stride, width), in, 0, 0, "sum");
      }
      const auto want = reference::rms_norm(in, widened(weight), static_cast<double>(kEps));
      expect_near(columns(widened(y), r, width, width), want, 4e-7 + rounding<T>(), 1e-7, "y");
      double squares = 0;
      for (const double v : in) squares += v * v;
      EXPECT_NEAR(
          inverse[static_cast<size_t>(r)] * std::sqrt(squares / static_cast<double>(width) + kEps),
          1, 1e-6);
    }
  }

  template <class T>
  void expect_backward(int64_t rows, int64_t width, int64_t stride, bool accumulate) {
    const auto x = narrowed<T>(normal(rows * stride)), dy = narrowed<T>(normal(rows * width));
    const auto weight = narrowed<T>(normal(width, 0.3, 1));
    auto dx = narrowed<T>(normal(rows * stride));
    const auto dx_before = widened(dx);
    std::vector<float> d_weight, inverse(static_cast<size_t>(rows));
    for (const double v : normal(width)) d_weight.push_back(static_cast<float>(v));
    std::vector<double> want_weight(d_weight.begin(), d_weight.end());
    std::vector<float> workspace(static_cast<size_t>(rms_norm_backward_workspace(rows, width)),
                                 kNaN);
    std::vector<T> y(static_cast<size_t>(rows * width));
    rms_norm_forward(x.data(), nullptr, nullptr, rows, width, stride, weight.data(), kEps, y.data(),
                     width, inverse.data(), nullptr);
    rms_norm_backward(dy.data(), width, x.data(), stride, weight.data(), inverse.data(), rows,
                      width, dx.data(), stride, accumulate, d_weight.data(), workspace.data(),
                      nullptr);
    const auto w = widened(weight);
    for (int64_t r = 0; r < rows; ++r) {
      const auto in = columns(widened(x), r, stride, width),
                 d = columns(widened(dy), r, width, width);
      const auto gradient = reference::rms_norm_gradient(d, in, w, static_cast<double>(kEps));
      std::vector<double> want = gradient.dx;
      for (size_t c = 0; c < in.size(); ++c) {
        if (accumulate) want[c] += dx_before[static_cast<size_t>(r * stride) + c];
        want_weight[c] += d[c] * gradient.normalised[c];
      }
      expect_near(columns(widened(dx), r, stride, width), want, rounding<T>(), 3e-6, "dx");
    }
    expect_near(widened(d_weight), want_weight, 1e-6,
                4e-6 + 1e-6 * std::sqrt(static_cast<double>(rows)), "d_weight");
  }
};
PREF_EVERY_SCHEDULE(CudaRmsNormTest);

TEST_P(CudaRmsNormTest, ForwardMatchesReference) {
  for (const bool residual : {false, true})
    for (const auto& [width, stride] : {std::pair<int64_t, int64_t>{1, 1},
                                        {7, 9},
                                        {64, 72},
                                        {256, 256},
                                        {2056, 2056},
                                        {4100, 4100}}) {
      expect_forward<float>(3, width, stride, residual);
      expect_forward<BF16>(3, width, stride, residual);
    }
}

TEST_P(CudaRmsNormTest, BackwardMatchesReference) {
  for (const bool accumulate : {false, true})
    for (const auto& [width, stride] :
         {std::pair<int64_t, int64_t>{1, 1}, {7, 9}, {64, 72}, {2056, 2056}}) {
      expect_backward<float>(3, width, stride, accumulate);
      expect_backward<BF16>(3, width, stride, accumulate);
    }
  expect_backward<float>(517, 40, 40, false);  // some blocks take two rows
}

TEST_P(CudaRmsNormTest, RejectsBadShapes) {
  float x[4] = {};
  EXPECT_THROW(rms_norm_forward(x, nullptr, nullptr, 1, 4, 3, x, kEps, x, 4, x, nullptr), Error);
  EXPECT_THROW(rms_norm_forward(x, x, nullptr, 1, 4, 4, x, kEps, x, 4, x, nullptr), Error);
  EXPECT_THROW(
      rms_norm_backward(x, 16385, x, 16385, x, x, 1, 16385, x, 16385, false, x, x, nullptr), Error);
}

class CudaHeadNormTest : public SimtTest {
 protected:
  // Heads lie within wider rows; what stands beside them is not touched.
  template <class T>
  void expect_both_ways(const HeadShape& shape, int64_t beside) {
    const auto [rows, heads, width] = shape;
    const int64_t used = heads * width, stride = used + beside;
    const auto x = narrowed<T>(normal(rows * stride)), dy = narrowed<T>(normal(rows * stride));
    const auto weight = narrowed<T>(normal(width, 0.3, 1));
    std::vector<T> y(static_cast<size_t>(rows * stride), Elements<T>::round(kNaN)), dx = y;
    std::vector<float> inverse(static_cast<size_t>(rows * heads), kNaN), d_weight;
    for (const double v : normal(width)) d_weight.push_back(static_cast<float>(v));
    std::vector<double> want_weight(d_weight.begin(), d_weight.end());
    std::vector<float> workspace(static_cast<size_t>(head_norm_backward_workspace(shape)), kNaN);
    head_norm_forward(x.data(), stride, shape, weight.data(), kEps, y.data(), stride,
                      inverse.data(), nullptr);
    head_norm_backward(dy.data(), stride, x.data(), stride, shape, weight.data(), inverse.data(),
                       dx.data(), stride, d_weight.data(), workspace.data(), nullptr);
    const auto w = widened(weight);
    const auto head = [&](const std::vector<T>& of, int64_t r, int64_t h) {
      return columns(widened(of), 1, r * stride + h * width, width);
    };
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        const auto in = head(x, r, h), d = head(dy, r, h);
        expect_near(head(y, r, h), reference::rms_norm(in, w, static_cast<double>(kEps)),
                    4e-7 + rounding<T>(), 1e-7, "y");
        double squares = 0;
        for (const double v : in) squares += v * v;
        EXPECT_NEAR(inverse[static_cast<size_t>(h * rows + r)] *
                        std::sqrt(squares / static_cast<double>(width) + kEps),
                    1, 1e-6);
        const auto gradient = reference::rms_norm_gradient(d, in, w, static_cast<double>(kEps));
        expect_near(head(dx, r, h), gradient.dx, rounding<T>(), 3e-6, "dx");
        for (size_t c = 0; c < in.size(); ++c) want_weight[c] += d[c] * gradient.normalised[c];
      }
      for (int64_t c = used; c < stride; ++c) {
        EXPECT_TRUE(std::isnan(to_float(y[static_cast<size_t>(r * stride + c)])));
        EXPECT_TRUE(std::isnan(to_float(dx[static_cast<size_t>(r * stride + c)])));
      }
    }
    expect_near(widened(d_weight), want_weight, 1e-6,
                4e-6 + 1e-6 * std::sqrt(static_cast<double>(rows * heads)), "d_weight");
  }
};
PREF_EVERY_SCHEDULE(CudaHeadNormTest);

TEST_P(CudaHeadNormTest, MatchesReference) {
  for (const HeadShape& shape : {HeadShape{1, 1, 1},
                                 {3, 3, 7},
                                 {5, 2, 64},
                                 {9, 5, 128},  // some teams of the last block have no head
                                 {2, 1, 1024},
                                 {130, 7, 8}})  // a block's teams take several turns
    for (const int64_t beside : {0, 8, 3}) {
      expect_both_ways<float>(shape, beside);
      expect_both_ways<BF16>(shape, beside);
    }
}

TEST_P(CudaHeadNormTest, RejectsBadShapes) {
  float x[4] = {};
  EXPECT_THROW(head_norm_forward(x, 3, {1, 2, 2}, x, kEps, x, 4, x, nullptr), Error);
  EXPECT_THROW(head_norm_forward(x, 1025, {1, 1, 1025}, x, kEps, x, 1025, x, nullptr), Error);
  EXPECT_THROW(head_norm_forward(x, 4, {int64_t{1} << 31, 1, 4}, x, kEps, x, 4, x, nullptr), Error);
  EXPECT_THROW(head_norm_backward(x, 4, x, 4, {1, 2, 2}, x, x, x, 3, x, x, nullptr), Error);
}

class CudaRopeTest : public SimtTest {
 protected:
  template <class T>
  void expect_rotation(int64_t heads, int64_t head_dim, int64_t extra, int direction) {
    constexpr int64_t kTokens = 4, kPositions = 9;
    constexpr double kTheta = 500;
    const int64_t width = heads * head_dim, stride = width + extra, half = head_dim / 2;
    auto x = narrowed<T>(normal(kTokens * stride));
    const auto before = widened(x);
    std::vector<float> cosine, sine;
    for (int64_t p = 0; p < kPositions; ++p)
      for (int64_t i = 0; i < half; ++i) {
        const double angle = reference::rope_angle(p, i, head_dim, kTheta);
        cosine.push_back(static_cast<float>(std::cos(angle)));
        sine.push_back(static_cast<float>(std::sin(angle)));
      }
    const std::vector<int64_t> positions = {0, 8, 3, 3}, source = {0, 1, 2, 0, 1, 3};
    std::vector<T> expanded(source.size() * static_cast<size_t>(width), Elements<T>::round(kNaN));
    rope_rotate(x.data(), stride, source.data(), 6, heads, head_dim, positions.data(),
                cosine.data(), sine.data(), direction, expanded.data(), width, nullptr);
    rope_rotate(x.data(), stride, nullptr, kTokens, heads, head_dim, positions.data(),
                cosine.data(), sine.data(), direction, x.data(), stride, nullptr);
    std::vector<double> want = before;
    for (int64_t t = 0; t < kTokens; ++t)
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t begin = t * stride + h * head_dim;
        const auto turned = reference::rope(columns(before, 1, begin, head_dim),
                                            positions[static_cast<size_t>(t)], kTheta, direction);
        std::copy(turned.begin(), turned.end(), want.begin() + begin);
      }
    expect_near(widened(x), want, rounding<T>(), 1e-6, "x");
    for (size_t i = 0; i < source.size(); ++i)
      expect_near(columns(widened(expanded), static_cast<int64_t>(i), width, width),
                  columns(widened(x), source[i], stride, width), 0, 0, "expanded");
  }
};
PREF_EVERY_SCHEDULE(CudaRopeTest);

TEST_P(CudaRopeTest, MatchesReference) {
  for (const int direction : {1, -1}) {
    expect_rotation<float>(3, 16, 0, direction);
    expect_rotation<BF16>(3, 16, 8, direction);
    expect_rotation<BF16>(2, 6, 1, direction);
    expect_rotation<float>(5, 128, 4, direction);
  }
}

TEST_P(CudaRopeTest, RejectsOddHeads) {
  float x[3] = {};
  const int64_t position = 0;
  EXPECT_THROW(rope_rotate(x, 3, nullptr, 1, 1, 3, &position, x, x, 1, x, 3, nullptr), Error);
  EXPECT_THROW(rope_rotate(x, 2, nullptr, 1, 1, 2, &position, x, x, 2, x, 2, nullptr), Error);
}

class CudaSwigluTest : public SimtTest {
 protected:
  template <class T>
  void expect_both(int64_t rows, int64_t width) {
    auto gate_up = narrowed<T>(normal(rows * 2 * width, 3));
    const auto dy = narrowed<T>(normal(rows * width));
    std::vector<T> y(dy.size(), Elements<T>::round(kNaN));
    swiglu_forward(gate_up.data(), rows, width, y.data(), nullptr);
    const auto in = widened(gate_up), d = widened(dy);
    swiglu_backward(dy.data(), gate_up.data(), rows, width, gate_up.data(), nullptr);
    const auto got = widened(gate_up);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < width; ++c) {
        const auto at = static_cast<size_t>(r * width + c);
        const size_t g = static_cast<size_t>(2 * r * width + c), u = g + static_cast<size_t>(width);
        const double bound = rounding<T>() + 1e-6, want = reference::swiglu(in[g], in[u]);
        EXPECT_NEAR(to_float(y[at]), want, bound * std::abs(want) + 1e-7);
        const auto slope = reference::swiglu_gradient(in[g], in[u]);
        const double d_gate = d[at] * slope.gate, d_up = d[at] * slope.up;
        EXPECT_NEAR(got[g], d_gate, bound * std::abs(d_gate) + 1e-6);
        EXPECT_NEAR(got[u], d_up, bound * std::abs(d_up) + 1e-6);
      }
  }
};
PREF_EVERY_SCHEDULE(CudaSwigluTest);

TEST_P(CudaSwigluTest, MatchesReference) {
  for (const int64_t width : {1, 9, 64, 2080}) {
    expect_both<float>(2, width);
    expect_both<BF16>(2, width);
  }
}

TEST_P(CudaSwigluTest, TailsStayFinite) {
  std::vector<float> gate_up = {-200, 200, 1, 1}, y(2), dy = {1, 1}, d(4);
  swiglu_forward(gate_up.data(), 1, 2, y.data(), nullptr);
  swiglu_backward(dy.data(), gate_up.data(), 1, 2, d.data(), nullptr);
  EXPECT_EQ(y, (std::vector<float>{-0.0f, 200}));
  EXPECT_EQ(d, (std::vector<float>{0, 1, -0.0f, 200}));
}

}  // namespace
}  // namespace pref::kernels::cuda
