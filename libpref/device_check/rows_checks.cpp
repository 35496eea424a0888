// SPDX-License-Identifier: Apache-2.0
// Gather, sums of rows, sums over sequences and their way back.
#include "kernels/cuda/rows.h"
#include "kernels/cuda/sequence_sums.h"
#include "kernels/log_complement.h"
#include "libpref/device_check/session.h"

namespace pref::device_check {
namespace {

namespace gpu = kernels::cuda;

std::vector<int64_t> random_indices(Draws& draws, int64_t count, int64_t rows) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(draws.integer(0, rows - 1));
  return out;
}

template <class T>
void check_gather(Session& session, int64_t rows, int64_t count, int64_t width, bool timed) {
  const char* name = "gather_rows";
  const std::string text = shape_text(kTypeName<T>, {count, width});
  Draws draws = session.draws(text);
  const auto index = random_indices(draws, count, rows);
  const auto x = session.normal<T>(rows * width);
  const auto out = Session::output<T>(count * width);
  const DeviceArray<int64_t> on_device(index);
  const auto run = [&] {
    gpu::gather_rows(x.data(), width, width, on_device.data(), count, out.data(), nullptr);
  };
  run();
  Comparison comparison(name, text);
  for (const int64_t i : Session::sample(count, 200))
    comparison.same_bits("row", out.read(i * width, width),
                         x.read(index[static_cast<size_t>(i)] * width, width));
  session.report(comparison);
  if (timed)
    session.time({"", name, text, 2.0 * static_cast<double>(count * width) * sizeof(T)}, run);
}

template <class X, class R>
void check_sums(Session& session, int64_t targets, int64_t sources, int64_t width, bool accumulate,
                bool timed) {
  const char* name = "sum_row_groups";
  const std::string text = shape_text(kTypeName<R>, {sources, width}) + " into " +
                           shape_text(kTypeName<X>, {targets, width}) +
                           (accumulate ? " accumulated" : "");
  Draws draws = session.draws(text);
  const auto groups = [&] {
    const auto index = random_indices(draws, sources, targets - 1);  // the last target stays alone
    return gpu::group_rows(index.data(), sources);
  }();
  auto x = session.normal<X>(targets * width);
  const auto rows = session.normal<R>(sources * width);
  DeviceArray<X> again(x.size());
  gpu::copy_on_device(again.data(), x.data(), x.bytes(), nullptr);
  const DeviceArray<int64_t> target(groups.target), begin(groups.begin), source(groups.source);
  const auto samples = Session::sample(groups.count(), 50);
  const auto row_of = [&](int64_t place) { return to_double(x.read(place * width, width)); };
  std::vector<std::vector<double>> want;
  for (const int64_t u : samples) {
    const auto at = static_cast<size_t>(u);
    want.push_back(accumulate ? row_of(groups.target[at])
                              : std::vector<double>(static_cast<size_t>(width), 0));
    for (int64_t k = groups.begin[at]; k < groups.begin[at + 1]; ++k) {
      const auto row = to_double(rows.read(groups.source[static_cast<size_t>(k)] * width, width));
      for (size_t c = 0; c < row.size(); ++c) want.back()[c] += row[c];
    }
  }
  const auto last = row_of(targets - 1);
  const auto run = [&](DeviceArray<X>& to) {
    gpu::sum_row_groups(to.data(), width, width, target.data(), begin.data(), source.data(),
                        groups.count(), rows.data(), accumulate, nullptr);
  };
  run(x);
  run(again);
  Comparison comparison(name, text);
  for (size_t k = 0; k < samples.size(); ++k)
    comparison.near("sum", row_of(groups.target[static_cast<size_t>(samples[k])]), want[k],
                    2e-6 + kRounding<X>, 4e-6);
  comparison.same_bits("row that is no target", row_of(targets - 1), last);
  comparison.exact("second run", Session::fingerprint(x) == Session::fingerprint(again));
  session.report(comparison);
  if (!timed) return;
  const double read = static_cast<double>(sources * width) * sizeof(R),
               written = static_cast<double>(groups.count() * width) * sizeof(X);
  session.time({"", name, text, read + written * (accumulate ? 2 : 1)}, [&] { run(x); });
}

void check_sequence_sums(Session& session, int64_t sequences, int64_t longest) {
  const std::string text =
      std::to_string(sequences) + " sequences of up to " + std::to_string(longest) + " labels";
  Draws draws = session.draws("sequence_sums");
  std::vector<int64_t> first = {0};
  for (int64_t s = 0; s < sequences; ++s)
    first.push_back(first.back() + (s % 7 == 3 ? 0 : draws.integer(1, longest)));
  const auto x = session.normal<float>(first.back()), y = session.normal<float>(first.back());
  const DeviceArray<int64_t> first_label(first);
  const auto sum = Session::output<double>(sequences), mean = Session::output<double>(sequences),
             again = Session::output<double>(sequences);
  const gpu::SequenceSum sums[] = {{x.data(), sum.data(), false}, {y.data(), mean.data(), true}};
  gpu::sequence_sums(first_label.data(), sequences, sums, 2, nullptr);
  const gpu::SequenceSum repeated = {x.data(), again.data(), false};
  gpu::sequence_sums(first_label.data(), sequences, &repeated, 1, nullptr);
  const auto xs = to_double(x.read()), ys = to_double(y.read());
  const auto got_sum = sum.read(), got_mean = mean.read();
  Comparison comparison("sequence_sums", text);
  for (size_t s = 0; s + 1 < first.size(); ++s) {
    double want_sum = 0, want_mean = 0;
    for (auto i = static_cast<size_t>(first[s]); i < static_cast<size_t>(first[s + 1]); ++i) {
      want_sum += xs[i];
      want_mean += ys[i];
    }
    const int64_t count = first[s + 1] - first[s];
    comparison.near("sum", got_sum[s], want_sum, 1e-13, 1e-12);
    comparison.near("mean", got_mean[s], count > 0 ? want_mean / static_cast<double>(count) : 0,
                    1e-13, 1e-12);
  }
  comparison.same_bits("second run", got_sum, again.read());
  session.report(comparison);

  const auto spread = Session::output<float>(first.back());
  gpu::spread_to_labels(sum.data(), first_label.data(), sequences, spread.data(), nullptr);
  const auto got = spread.read();
  Comparison back("spread_to_labels", text);
  for (size_t s = 0; s + 1 < first.size(); ++s)
    for (auto i = static_cast<size_t>(first[s]); i < static_cast<size_t>(first[s + 1]); ++i)
      back.near("coefficient", to_double(got[i]), to_double(static_cast<float>(got_sum[s])), 0, 0);
  session.report(back);

  // Sums by marks and their way back; log-probs are what stands in x, made negative.
  std::vector<float> logp;
  for (const double v : xs) logp.push_back(static_cast<float>(-std::abs(v)));
  const DeviceArray<float> logps(logp);
  const DeviceArray<double> mark(ys);
  const auto marked = Session::output<double>(sequences),
             unlikely = Session::output<double>(sequences);
  gpu::marked_sums(first_label.data(), sequences, mark.data(), logps.data(), marked.data(),
                   unlikely.data(), nullptr);
  gpu::spread_to_labels(sum.data(), first_label.data(), sequences, spread.data(), nullptr,
                        {mark.data(), logps.data(), mean.data(), sum.data()});
  const auto got_marked = marked.read(), got_unlikely = unlikely.read();
  const auto got_slopes = spread.read();
  Comparison marks("marked_sums", text);
  for (size_t s = 0; s + 1 < first.size(); ++s) {
    double want_marked = 0, want_unlikely = 0, size = 0;
    for (auto i = static_cast<size_t>(first[s]); i < static_cast<size_t>(first[s + 1]); ++i) {
      const auto rest = kernels::log_complement(to_double(logp[i]));
      want_marked += ys[i] * to_double(logp[i]);
      want_unlikely += ys[i] * rest.value;
      size += std::abs(ys[i] * rest.value);
      const double slope = got_sum[s] + ys[i] * (got_mean[s] + got_sum[s] * rest.slope);
      marks.near("coefficient", to_double(got_slopes[i]), slope, 2e-7,
                 1e-9 + 1e-12 * std::abs(got_sum[s] * rest.slope));
    }
    marks.near("marked", got_marked[s], want_marked, 1e-13, 1e-12 + 1e-13 * size);
    marks.near("unlikely", got_unlikely[s], want_unlikely, 1e-13, 1e-12 + 1e-13 * size);
  }
  session.report(marks);
}

}  // namespace

void check_rows(Session& session) {
  const int64_t width = session.pick<int64_t>(64, 4096, 4096);
  for (const int64_t odd : {1, 3, 40}) {
    check_gather<float>(session, 20, 33, odd, false);
    check_gather<BF16>(session, 20, 33, odd, false);
    check_sums<BF16, BF16>(session, 20, 60, odd, false, false);
  }
  check_gather<float>(session, 40, 50, width, false);
  check_gather<BF16>(session, session.pick<int64_t>(9, 16384, 32768),
                     session.pick<int64_t>(7, 12000, 24000), width, true);
  for (const bool accumulate : {false, true}) {
    check_sums<float, float>(session, 20, 60, width, accumulate, false);
    check_sums<BF16, float>(session, 20, 60, width, accumulate, false);
    check_sums<BF16, BF16>(session, 20, 60, width, accumulate, false);
    check_sums<float, BF16>(session, session.pick<int64_t>(9, 8192, 16384),
                            session.pick<int64_t>(20, 16384, 32768), width, accumulate, true);
  }
  check_sequence_sums(session, session.pick<int64_t>(9, 500, 5000),
                      session.pick<int64_t>(300, 1000, 2000));
}

}  // namespace pref::device_check
