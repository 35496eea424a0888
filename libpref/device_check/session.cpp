// SPDX-License-Identifier: Apache-2.0
#include "libpref/device_check/session.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "kernels/cuda/ceilings.h"
#include "libpref/base/error.h"

namespace pref::device_check {
namespace {

using kernels::cuda::Event;
constexpr int64_t kMega = int64_t{1} << 20;

}  // namespace

std::string shape_text(const char* type, const std::vector<int64_t>& sizes) {
  std::string out = std::string(type) + " [";
  for (size_t i = 0; i < sizes.size(); ++i) out += (i == 0 ? "" : ", ") + std::to_string(sizes[i]);
  return out + "]";
}

void Comparison::add(const char* quantity, double error, double bound) {
  if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
  const double in_bounds = error == 0  ? 0
                           : bound > 0 ? error / bound
                                       : std::numeric_limits<double>::infinity();
  if (in_bounds <= worst_) return;
  worst_ = in_bounds;
  check_.quantity = quantity;
  check_.error = error;
  check_.bound = bound;
}

void Comparison::near(const char* quantity, double got, double want, double relative,
                      double absolute) {
  const double distance = got == want ? 0 : std::abs(got - want);
  if (relative > 0) {
    add(quantity, distance == 0 ? 0 : distance / (std::abs(want) + absolute / relative), relative);
  } else {
    add(quantity, distance, absolute);
  }
}

void Comparison::near(const char* quantity, const std::vector<double>& got,
                      const std::vector<double>& want, double relative, double absolute) {
  if (got.size() != want.size())
    return add(quantity, std::numeric_limits<double>::infinity(), relative);
  for (size_t i = 0; i < got.size(); ++i) near(quantity, got[i], want[i], relative, absolute);
}

Check Comparison::result() const {
  Check out = check_;
  out.ok = worst_ >= 0 && worst_ <= 1;
  if (worst_ < 0) out.error = std::numeric_limits<double>::infinity();
  return out;
}

Session::Session(const Options& options, const Report& report)
    : options_(options), report_(report), facts_(kernels::cuda::device_facts(options.device)) {
  if (options_.timings)
    flushed_ = DeviceArray<char>(
        std::max(pick<int64_t>(4096, 256 * kMega, 256 * kMega), 2 * facts_.l2_cache));
}

int64_t Session::rows_that_fit(int64_t wanted, int64_t bytes_per_row) const {
  return std::clamp<int64_t>(facts_.free_memory / 4 / bytes_per_row, 1, wanted);
}

std::vector<int64_t> Session::sample(int64_t rows, int64_t count) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count && i < rows; ++i)
    out.push_back(count >= rows ? i : i * (rows - 1) / (count - 1));
  return out;
}

void Session::report(Result result) {
  if (const auto* check = std::get_if<Check>(&result)) {
    ++summary_.checks;
    summary_.failed += !check->ok;
  } else if (const auto* bench = std::get_if<Bench>(&result)) {
    ++summary_.benches;
    summary_.below_goal += bench->share < bench->wanted;
  } else if (std::holds_alternative<Skipped>(result)) {
    ++summary_.skipped;
  }
  report_(result);
}
void Session::report(const Comparison& comparison) { report(Result(comparison.result())); }

void Session::attempt(const std::string& name, const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    const std::string text = error.what();
    if (!text.starts_with("[allocate]")) throw;
    report(Result(Skipped{name, text}));
  }
}

double Session::ceiling(const std::string& name) const {
  for (const Ceiling& one : ceilings_)
    if (one.name == name) return one.value;
  return 0;
}

// At least ten runs and 200 ms to warm up, then at least thirty, all enqueued ahead, each between
// its own two events.
Session::Quantiles Session::milliseconds(const std::function<void()>& run,
                                         const std::function<void()>& between) {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + std::chrono::milliseconds(pick(0, 200, 200));
  for (int i = 0; i < pick(1, 10, 10) || Clock::now() < until; ++i) {
    if (between) between();
    run();
    kernels::cuda::synchronize(nullptr);
  }
  std::vector<Event> begin(pick<size_t>(3, 30, 60)), end(begin.size());
  for (size_t i = 0; i < begin.size(); ++i) {
    if (between) between();
    begin[i].record(nullptr);
    run();
    end[i].record(nullptr);
  }
  std::vector<double> ms;
  for (size_t i = 0; i < begin.size(); ++i) ms.push_back(end[i].ms_since(begin[i]));
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double part) {
    return ms[static_cast<size_t>(part * static_cast<double>(ms.size() - 1) + 0.5)];
  };
  return {at(0.5), at(0.2), at(0.8)};
}

void Session::time(const Timed& timed, const std::function<void()>& run,
                   const std::function<void()>& reset) {
  if (!options_.timings) return;
  std::function<void()> between = reset;
  // What fits the cache would be read from there in the next run.
  if (!between && timed.bytes < std::max(6e7, 2.0 * static_cast<double>(facts_.l2_cache)))
    between = [this] { flushed_.fill(1); };
  const Quantiles ms = milliseconds(run, between);
  Bench bench{timed.goal, timed.name, timed.shape, ms.median, ms.p20, ms.p80};
  bench.value = timed.bytes / ms.median * 1e-6;
  bench.of = timed.of;
  bench.share = ceiling(timed.of) > 0 ? bench.value / ceiling(timed.of) : 0;
  bench.wanted = timed.wanted;
  report(Result(bench));
}

// Proves the streams, then times the best form of each on 4 GB or a quarter of the free memory.
void Session::measure_ceilings() {
  using namespace kernels::cuda;  // NOLINT: the streams
  const int64_t small = pick<int64_t>(16 * 5000, 64 * kMega + 16 * 77, 64 * kMega + 16 * 77);
  for (const int loads : {4, 8}) {
    const auto x = normal<float>(small / 4);
    auto y = output<float>(small / 4);
    auto words = output<uint32_t>(stream_read_words(small, loads));
    Comparison same("streams",
                    shape_text("bytes", {small}) + " " + std::to_string(loads) + " loads");
    stream_copy(x.data(), y.data(), small, loads, nullptr);
    same.exact("copy", fingerprint(x) == fingerprint(y));
    stream_read(x.data(), small, loads, words.data(), nullptr);
    uint32_t got = 0, want = 0;
    for (const uint32_t word : words.read()) got ^= word;
    for (const float value : x.read()) want ^= std::bit_cast<uint32_t>(value);
    same.exact("read", got == want);
    stream_write(y.data(), small, std::bit_cast<uint32_t>(1.0f), loads, nullptr);
    const auto written = y.read();
    same.exact("write",
               std::all_of(written.begin(), written.end(), [](float v) { return v == 1; }));
    report(same);
  }
  if (!options_.timings) return;
  const int64_t bytes =
      pick(small, rows_that_fit(4096, kMega) * kMega, rows_that_fit(4096, kMega) * kMega);
  const auto x = normal<float>(bytes / 4);
  DeviceArray<char> y(bytes);
  DeviceArray<uint32_t> words(stream_read_words(bytes, 4));
  const auto best = [&](const char* name, double moved,
                        const std::vector<std::function<void()>>& forms) {
    double value = 0;
    for (const auto& form : forms)
      value = std::max(value, moved / milliseconds(form, {}).median * 1e-6);
    ceilings_.push_back({name, value});
    report(Result(ceilings_.back()));
  };
  const auto size = static_cast<double>(bytes);
  best("copy", 2 * size,
       {[&] { copy_on_device(y.data(), x.data(), bytes, nullptr); },
        [&] { stream_copy(x.data(), y.data(), bytes, 4, nullptr); },
        [&] { stream_copy(x.data(), y.data(), bytes, 8, nullptr); }});
  best("read", size,
       {[&] { stream_read(x.data(), bytes, 4, words.data(), nullptr); },
        [&] { stream_read(x.data(), bytes, 8, words.data(), nullptr); }});
  best("write", size,
       {[&] { fill_bytes(y.data(), 1, bytes, nullptr); },
        [&] { stream_write(y.data(), bytes, 1, 4, nullptr); },
        [&] { stream_write(y.data(), bytes, 1, 8, nullptr); }});
}

}  // namespace pref::device_check
