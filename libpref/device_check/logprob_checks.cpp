// SPDX-License-Identifier: Apache-2.0
// Statistics of logits and their gradient: shapes, transforms, random and peaked rows, shards; and
// the goals of the two streams.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cuda/logprob.h"
#include "kernels/reference/logprob.h"
#include "libpref/device_check/session.h"

namespace pref::device_check {
namespace {

using kernels::LogitTransform;
using kernels::TokenStatistics;
namespace gpu = kernels::cuda;

constexpr const char* kQuantities[] = {"logp",     "lse", "collision", "entropy",
                                       "max_logp", "hit", "mean_logit"};
constexpr double kAbsolute[] = {2e-6, 2e-6, 6e-6, 4e-6, 2e-6, 0, 4e-6};
constexpr size_t kOutputs = 7;

struct Shape {
  int64_t rows, vocab, stride;
  bool peaked = false;  ///< a few dominant logits, labels among them
  LogitTransform transform{};
  bool timed = false;

  template <class T>
  std::string text() const {
    std::string out = shape_text(kTypeName<T>, {rows, vocab});
    if (stride != vocab) out += " stride " + std::to_string(stride);
    if (peaked) out += " peaked";
    if (transform.scale != 1) out += " scale " + std::to_string(transform.scale).substr(0, 4);
    if (transform.soft_cap > 0)
      out += " soft_cap " + std::to_string(static_cast<int>(transform.soft_cap));
    return out;
  }
};

struct Statistics {
  std::vector<DeviceArray<float>> array;
  explicit Statistics(int64_t rows) {
    for (size_t k = 0; k < kOutputs; ++k) array.push_back(Session::output<float>(rows));
  }
  TokenStatistics pointers() const {
    return {array[0].data(), array[1].data(), array[2].data(), array[3].data(),
            array[4].data(), array[5].data(), array[6].data()};
  }
};

template <class T>
class Case {
 public:
  Case(Session& session, const Shape& shape)
      : session_(session),
        shape_(shape),
        seed_(session.next_seed()),
        logits_(shape.rows * shape.stride),
        samples_(Session::sample(shape.rows, session.pick<int64_t>(6, 6, 12))) {
    Draws draws = session.draws("logprob " + shape.template text<T>());
    plant_peaks_and_labels(draws);
    plant_padding();
    labels_ = DeviceArray<int64_t>(label_);
    for (int64_t i = 0; i < shape.rows; ++i)
      coefficient_.push_back(i % 5 == 1 ? 0.0f : static_cast<float>(draws.normal()));
    d_logp_ = DeviceArray<float>(coefficient_);
    fill();
  }

  void run() {
    statistics();
    gradient();
  }

 private:
  // The logits as they were at first: the gradient writes over them.
  void fill() {
    gpu::fill_normal(logits_.data(), logits_.size(), 0, 3, seed_, nullptr);
    gpu::set_elements(logits_.data(), place_.data(), height_.data(), place_.size(), nullptr);
  }

  void plant_peaks_and_labels(Draws& draws) {
    for (int64_t i = 0; i < shape_.rows; ++i) {
      label_.push_back(draws.integer(0, shape_.vocab - 1));
      if (!shape_.peaked) continue;
      // Four peaks a quarter of the vocabulary apart; the label is one in proportion to e^height,
      // roughly, and now and then none.
      const int64_t first = draws.integer(0, shape_.vocab / 4 - 1);
      double rest = draws.uniform(0, 1.05);
      for (int64_t k = 0; k < 4; ++k) {
        const int64_t column = first + k * (shape_.vocab / 4);
        places_.push_back(i * shape_.stride + column);
        heights_.push_back(static_cast<float>(18 - k));
        const double share = std::exp(-static_cast<double>(k)) * 0.64;
        if (rest >= 0 && rest < share) label_.back() = column;
        rest -= share;
      }
    }
  }

  // Columns that are not the vocabulary's.
  void plant_padding() {
    for (int64_t i = 0; i < shape_.rows; ++i)
      for (int64_t v = shape_.vocab; v < shape_.stride; ++v) {
        places_.push_back(i * shape_.stride + v);
        heights_.push_back(std::numeric_limits<float>::quiet_NaN());
      }
    place_ = DeviceArray<int64_t>(places_);
    height_ = DeviceArray<float>(heights_);
  }

  std::vector<double> row(int64_t i, int64_t first, int64_t count) const {
    return to_double(logits_.read(i * shape_.stride + first, count));
  }

  DeviceArray<gpu::LogprobPartial> workspace() const {
    return DeviceArray<gpu::LogprobPartial>(shape_.rows *
                                            gpu::logprob_parts(shape_.rows, shape_.vocab));
  }
  void start_statistics(const Statistics& out, DeviceArray<gpu::LogprobPartial>& workspace) const {
    gpu::logprob_statistics(logits_.data(), shape_.rows, shape_.vocab, shape_.stride,
                            labels_.data(), shape_.transform, out.pointers(), workspace.data(),
                            nullptr);
  }
  void compare_statistics(const Statistics& out, Comparison& comparison) const {
    const double cap = 8e-7 * static_cast<double>(shape_.transform.soft_cap);
    std::vector<std::vector<float>> got;
    for (const auto& array : out.array) got.push_back(array.read());
    for (const int64_t i : samples_) {
      const auto at = static_cast<size_t>(i);
      const auto want = reference::row_statistics(
          reference::transform_logits(row(i, 0, shape_.vocab),
                                      static_cast<double>(shape_.transform.scale),
                                      static_cast<double>(shape_.transform.soft_cap)),
          label_[at]);
      const double all[] = {want.logp,     want.lse, want.collision, want.entropy,
                            want.max_logp, want.hit, want.mean_logit};
      for (size_t k = 0; k < kOutputs; ++k)
        comparison.near(kQuantities[k], to_double(got[k][at]), all[k], k == 5 ? 0 : 1e-6,
                        kAbsolute[k] + cap);
    }
    for (size_t k = 0; k < kOutputs; ++k)
      comparison.exact(
          "finite in every row",
          std::all_of(got[k].begin(), got[k].end(), [](float x) { return std::isfinite(x); }));
  }

  void statistics() {
    const std::string name = "logprob_statistics", text = shape_.template text<T>();
    Statistics out(shape_.rows), again(shape_.rows);
    auto work = workspace();
    Comparison comparison(name, text);
    start_statistics(out, work);
    compare_statistics(out, comparison);
    start_statistics(again, work);
    for (size_t k = 0; k < kOutputs; ++k)
      comparison.same_bits("second run", out.array[k].read(), again.array[k].read());
    session_.report(comparison);
    shards(out);
    logp_ = std::move(out.array[0]);
    lse_ = std::move(out.array[1]);
    if (shape_.timed)
      session_.time({"G1", name, text, elements() * sizeof(T), "read", 0.92},
                    [&] { start_statistics(again, work); });
  }

  // Columns in three shards of unlike width, as ranks hold them.
  void shards(const Statistics& whole) {
    if (shape_.timed || shape_.vocab < 100) return;
    const int64_t rows = shape_.rows, vocab = shape_.vocab;
    const std::vector<int64_t> begin = {0, vocab / 3 + 1, vocab / 3 + 2, vocab};
    DeviceArray<gpu::LogprobPartial> partials(3 * rows);
    for (size_t s = 0; s + 1 < begin.size(); ++s)
      gpu::logprob_partials(logits_.data() + begin[s], rows, begin[s + 1] - begin[s], shape_.stride,
                            labels_.data(), begin[s], shape_.transform,
                            partials.data() + static_cast<int64_t>(s) * rows, nullptr);
    Statistics out(rows);
    gpu::logprob_merge(partials.data(), rows, 3, 1, rows, vocab, shape_.transform, out.pointers(),
                       nullptr);
    Comparison comparison("logprob_merge", shape_.template text<T>() + " 3 shards");
    compare_statistics(out, comparison);
    for (size_t k = 0; k < kOutputs; ++k)
      comparison.near("as unsharded", to_double(out.array[k].read()),
                      to_double(whole.array[k].read()), 2e-6, kAbsolute[k]);
    session_.report(comparison);
  }

  void start_gradient(DeviceArray<gpu::RowGradient>& work) {
    gpu::logprob_gradient(logits_.data(), shape_.rows, shape_.vocab, shape_.stride, labels_.data(),
                          logp_.data(), lse_.data(), d_logp_.data(), shape_.transform, work.data(),
                          nullptr);
  }
  void gradient() {
    const std::string name = "logprob_gradient", text = shape_.template text<T>();
    const auto cap = static_cast<double>(shape_.transform.soft_cap);
    const double relative = 6e-6 + 1e-6 * cap + (kIsBF16<T> ? 4e-3 : 0);
    std::vector<std::vector<double>> want;
    for (const int64_t i : samples_)
      want.push_back(reference::row_gradient(row(i, 0, shape_.vocab),
                                             label_[static_cast<size_t>(i)],
                                             to_double(coefficient_[static_cast<size_t>(i)]),
                                             static_cast<double>(shape_.transform.scale), cap));
    DeviceArray<gpu::RowGradient> work(shape_.rows);
    start_gradient(work);
    Comparison comparison(name, text);
    for (size_t k = 0; k < samples_.size(); ++k) {
      comparison.near("dL/dlogits", row(samples_[k], 0, shape_.vocab), want[k], relative, 4e-7);
      for (const double x : row(samples_[k], shape_.vocab, shape_.stride - shape_.vocab))
        comparison.exact("columns beyond the vocabulary", std::isnan(x));
    }
    const uint64_t first = Session::fingerprint(logits_);
    fill();
    start_gradient(work);
    comparison.exact("second run", Session::fingerprint(logits_) == first);
    session_.report(comparison);
    if (shape_.timed)
      session_.time(
          {"G2", name, text, 2 * elements() * sizeof(T), "copy", 0.92},
          [&] { start_gradient(work); }, [&] { fill(); });
  }

  double elements() const { return static_cast<double>(shape_.rows * shape_.vocab); }

  Session& session_;
  Shape shape_;
  uint64_t seed_;
  DeviceArray<T> logits_;
  std::vector<int64_t> samples_, label_, places_;
  std::vector<float> coefficient_, heights_;
  DeviceArray<int64_t> labels_, place_;
  DeviceArray<float> height_, d_logp_, logp_, lse_;
};

template <class T>
void check_case(Session& session, Shape shape) {
  session.attempt("logprob " + shape.text<T>(), [&] { Case<T>(session, shape).run(); });
}

}  // namespace

void check_logprobs(Session& session) {
  const auto each = [&](Shape shape) {
    check_case<float>(session, shape);
    check_case<BF16>(session, shape);
  };
  const int64_t rows = session.pick<int64_t>(3, 1000, 1000);
  const int64_t vocab = session.pick<int64_t>(1000, 32000, 32000);
  for (const int64_t small : {1, 7, 31, 257}) each({rows, small, small});
  each({rows, vocab, vocab + 3});    // rows off the vector boundary
  each({rows, vocab, vocab, true});  // peaked
  each({session.pick<int64_t>(2, 4, 4), session.pick<int64_t>(17000, 128257, 128257),
        session.pick<int64_t>(17001, 128260, 128260)});  // few rows: each in several parts
  for (const LogitTransform transform : {LogitTransform{0.25f, 0}, {1, 30}, {0.5f, 5}})
    each({rows, vocab + 1, vocab + 1, false, transform});

  const std::vector<int64_t> vocabularies =
      session.pick<std::vector<int64_t>>({300}, {32000, 128256}, {32000, 128256, 151936, 256000});
  const int64_t timed_rows = session.pick<int64_t>(4, 8192, 8192);
  for (const int64_t width : vocabularies)
    for (const bool peaked : {false, true}) {
      if (peaked && session.profile() != Profile::full) continue;
      check_case<BF16>(
          session, {session.rows_that_fit(timed_rows, width * 2), width, width, peaked, {}, true});
    }
  if (session.profile() == Profile::full) {
    check_case<BF16>(session,
                     {session.rows_that_fit(4097, 128257 * 2), 128257, 128257, true, {}, true});
    // More than 2^31 logits.
    check_case<BF16>(session, {session.rows_that_fit(8500, 256000 * 2), 256000, 256000});
  }
}

}  // namespace pref::device_check
