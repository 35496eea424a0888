// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu/bench/bench_run.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>

#include "kernels/cuda/runtime.h"

namespace pref::bench {
namespace {

using kernels::cuda::Event;

const char* device = "cuda";

Times times_of(std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double share) {
    return ms[static_cast<size_t>(share * static_cast<double>(ms.size() - 1) + 0.5)];
  };
  return {at(0.5), at(0.2), at(0.8)};
}

// The quantile function of the standard normal distribution, by bisection of erfc.
double normal_quantile(double p) {
  double low = -8, high = 8;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return low;
}

}  // namespace

const char* device_name() { return device; }
void use_cpu() { device = "cpu"; }

double Bench::seconds_left() const {
  return seconds_ -
         std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Bench::run(const std::string& name, const std::function<void()>& body) {
  std::string reason = "no time is left";
  if (seconds_left() > 0) try {
      body();
      return;
    } catch (const std::exception& error) {
      reason = error.what();
    }
  print(JsonObject()
            .add("kind", "skipped")
            .add("name", name)
            .add("reason", reason.substr(0, reason.find('\n'))));
}

std::vector<Times> Bench::time(const std::vector<std::function<void()>>& steps, double milliseconds,
                               const std::function<void()>& restore) const {
  const int warm_rounds = tiny_ ? 1 : 10, rounds = tiny_ ? 2 : 30;
  const auto round = [&](std::vector<std::vector<double>>* out) {
    double total = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (restore) restore();
      Event before, after;
      before.record(nullptr);
      steps[i]();
      after.record(nullptr);
      const double ms = after.ms_since(before);
      total += ms;
      if (out) (*out)[i].push_back(ms);
    }
    return total;
  };
  double warm = 0;
  for (int i = 0; i < warm_rounds || (warm < 200 && !tiny_); ++i) warm += round(nullptr);
  std::vector<std::vector<double>> ms(steps.size());
  double spent = 0;
  for (int i = 0; i < rounds || (spent < milliseconds && !tiny_); ++i) {
    spent += round(&ms);
    if (spent > 8 * milliseconds && i >= 4) break;  // steps of seconds: five rounds
  }
  std::vector<Times> out;
  for (auto& values : ms) out.push_back(times_of(std::move(values)));
  return out;
}

void Bench::print(const JsonObject& line) const {
  std::printf("%s\n", line.str().c_str());
  std::fflush(stdout);
}

JsonObject Bench::line(const char* goal, const char* name, const std::string& what,
                       const Times& times) const {
  JsonObject out;
  out.add("kind", "bench").add("goal", goal).add("name", name).add("case", what);
  out.add("ms", times.median).add("ms_p20", times.p20).add("ms_p80", times.p80);
  return out;
}

std::vector<int64_t> log_normal_lengths(double median, double spread, int64_t count,
                                        int64_t stride) {
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(median * std::exp(spread * normal_quantile((static_cast<double>(i) + 0.5) /
                                                                static_cast<double>(count))));
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(
        std::max<int64_t>(1, std::llround(values[static_cast<size_t>(i * stride % count)])));
  return out;
}

}  // namespace pref::bench
