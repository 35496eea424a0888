// SPDX-License-Identifier: Apache-2.0
// What the GPU benchmarks share: times by device events, alternating with what they are compared
// to, one JSON line a figure, and an end to the time there is.
#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "libpref/base/json_text.h"

namespace pref::bench {

/// Milliseconds: the median with the 20th and 80th percentiles.
struct Times {
  double median = 0, p20 = 0, p80 = 0;
};

class Bench {
 public:
  /// `tiny`: sizes for a trial on an emulated device; its times mean nothing.
  Bench(double seconds, bool tiny) : seconds_(seconds), tiny_(tiny) {}

  bool tiny() const { return tiny_; }
  /// `full`, or `small` in a trial.
  int64_t size(int64_t full, int64_t small) const { return tiny_ ? small : full; }
  double seconds_left() const;

  /// Runs `body` unless the time is over; what it throws becomes a "skipped" line.
  void run(const std::string& name, const std::function<void()>& body);

  /// Each of `steps` in turn, again and again: at least 10 rounds and 200 ms to warm up, at least 30
  /// rounds timed, up to `milliseconds`. `restore` stands before every step and is not timed.
  std::vector<Times> time(const std::vector<std::function<void()>>& steps,
                          double milliseconds = 1500,
                          const std::function<void()>& restore = {}) const;

  void print(const JsonObject& line) const;
  /// A "bench" line with its name, case and times.
  JsonObject line(const char* goal, const char* name, const std::string& what,
                  const Times& times) const;

 private:
  double seconds_;
  bool tiny_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "cuda", or "cpu" where the device is emulated.
const char* device_name();
void use_cpu();

/// `count` lengths at the quantiles of a log-normal distribution around `median`, in a fixed order.
std::vector<int64_t> log_normal_lengths(double median, double spread, int64_t count,
                                        int64_t stride);

void head_cases(Bench& bench);  ///< G4, G6, G7
void step_cases(Bench& bench);  ///< G8, G9, G11
void peer_cases(Bench& bench);  ///< our side of G3 and G5, for tests/gpu/peers.py

}  // namespace pref::bench
