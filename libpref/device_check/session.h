// SPDX-License-Identifier: Apache-2.0
// What the cases of a device check share: sizes by profile, random inputs, comparison with a bound,
// timing beside a ceiling.
#pragma once
#include <bit>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/runtime.h"
#include "kernels/cuda/samples.h"
#include "libpref/base/random.h"
#include "libpref/device_check/device_check.h"

namespace pref::device_check {

using kernels::cuda::BF16;
using kernels::cuda::DeviceArray;

inline double to_double(float x) { return static_cast<double>(x); }
inline double to_double(double x) { return x; }
inline double to_double(BF16 x) {
  return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16));
}
template <class T>
std::vector<double> to_double(const std::vector<T>& x) {
  std::vector<double> out;
  out.reserve(x.size());
  for (const T v : x) out.push_back(to_double(v));
  return out;
}

template <class T>
constexpr bool kIsBF16 = sizeof(T) == 2;
template <class T>
constexpr const char* kTypeName = kIsBF16<T> ? "bf16" : "f32";
/// Half a step of T's rounding, relative.
template <class T>
constexpr double kRounding = kIsBF16<T> ? 1.0 / 256 : 1.0 / (1 << 24);

/// "bf16 [8192, 128256]"
std::string shape_text(const char* type, const std::vector<int64_t>& sizes);

/// Makes one Check of many numbers.
class Comparison {
 public:
  Comparison(std::string name, std::string shape) : check_{std::move(name), std::move(shape)} {}
  void near(const char* quantity, double got, double want, double relative, double absolute);
  void near(const char* quantity, const std::vector<double>& got, const std::vector<double>& want,
            double relative, double absolute);
  void exact(const char* quantity, bool equal) { add(quantity, equal ? 0 : 1, 0); }
  template <class T>
  void same_bits(const char* quantity, const std::vector<T>& a, const std::vector<T>& b) {
    const bool fits = a.size() == b.size();
    int64_t different = fits ? 0 : 1;
    for (size_t i = 0; fits && i < a.size(); ++i)
      different += std::memcmp(&a[i], &b[i], sizeof(T)) != 0;
    add(quantity, static_cast<double>(different), 0);
  }
  /// Fails where nothing was compared.
  Check result() const;

 private:
  void add(const char* quantity, double error, double bound);
  Check check_;
  double worst_ = -1;  ///< error in units of its bound
};

/// A timed call: which goal, what it must move, of which ceiling it should reach which share.
struct Timed {
  std::string goal, name, shape;
  double bytes = 0;
  const char* of = "copy";
  double wanted = 0;
};

/// Random numbers of the host, in the form that random_row asks for.
class Draws {
 public:
  Draws(uint64_t seed, std::string_view purpose) : stream_(seed, purpose) {}
  double uniform(double low, double high) { return low + (high - low) * stream_.uniform(); }
  double normal() { return stream_.normal(); }
  int64_t integer(int64_t low, int64_t high) {  // both ends included
    return low + static_cast<int64_t>(stream_.below(static_cast<uint64_t>(high - low) + 1));
  }
  bool coin() { return stream_.bernoulli(0.5); }

 private:
  RandomStream stream_;
};

class Session {
 public:
  Session(const Options& options, const Report& report);

  template <class T>
  T pick(T tiny, T doctor, T full) const {
    return options_.profile == Profile::tiny     ? tiny
           : options_.profile == Profile::doctor ? doctor
                                                 : full;
  }
  Profile profile() const { return options_.profile; }
  uint64_t seed() const { return options_.seed; }
  /// A seed that no other call gets.
  uint64_t next_seed() { return options_.seed * 0x9e3779b97f4a7c15u + ++seeds_; }
  Draws draws(std::string_view purpose) const { return {options_.seed, purpose}; }

  /// Normal numbers on the device.
  template <class T>
  DeviceArray<T> normal(int64_t count, double deviation = 1, double mean = 0) {
    DeviceArray<T> out(count);
    kernels::cuda::fill_normal(out.data(), count, static_cast<float>(mean),
                               static_cast<float>(deviation), next_seed(), nullptr);
    return out;
  }
  /// An output: NaN before anything is written.
  template <class T>
  static DeviceArray<T> output(int64_t count) {
    DeviceArray<T> out(count);
    out.fill(0xff);
    return out;
  }
  template <class T>
  static uint64_t fingerprint(const DeviceArray<T>& x) {
    DeviceArray<uint64_t> sum(std::vector<uint64_t>{0});
    kernels::cuda::fingerprint(x.data(), x.bytes(), sum.data(), nullptr);
    return sum.read()[0];
  }
  static std::vector<double> normal_on_host(Draws& draws, int64_t count) {
    std::vector<double> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(draws.normal());
    return out;
  }

  /// At most `wanted` rows of `bytes_per_row`, so that a quarter of the free memory is enough.
  int64_t rows_that_fit(int64_t wanted, int64_t bytes_per_row) const;
  /// `count` rows of [0, rows), the first and the last among them.
  static std::vector<int64_t> sample(int64_t rows, int64_t count);

  /// Runs a case; reports it as skipped where the device has too little memory for it.
  void attempt(const std::string& name, const std::function<void()>& run);
  void report(const Comparison& comparison);
  void report(Result result);
  void measure_ceilings();
  /// Times `run`; `reset` restores what it has overwritten, outside of the time. Nothing where
  /// timings are off.
  void time(const Timed& timed, const std::function<void()>& run,
            const std::function<void()>& reset = {});
  bool timings() const { return options_.timings; }
  const Summary& summary() const { return summary_; }

 private:
  struct Quantiles {
    double median, p20, p80;
  };
  Quantiles milliseconds(const std::function<void()>& run, const std::function<void()>& between);
  double ceiling(const std::string& name) const;

  Options options_;
  Report report_;
  kernels::cuda::DeviceFacts facts_;
  std::vector<Ceiling> ceilings_;
  DeviceArray<char> flushed_;  ///< written between short runs, so that none finds its data cached
  uint64_t seeds_ = 0;
  Summary summary_;
};

// The cases, by file.
void check_logprobs(Session& session);
void check_pair_losses(Session& session);
void check_rows(Session& session);
void check_network(Session& session);
void check_optimizer(Session& session);

}  // namespace pref::device_check
