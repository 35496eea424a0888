// SPDX-License-Identifier: Apache-2.0
// Progress of a long operation, to stderr: on a terminal one bar, redrawn in place at most ten times a second; elsewhere
// a plain line at most every `plain_interval_seconds`, so that a log stays readable.
//   train  38%|██████▏         | 380/1000  loss 0.512  acc 0.81  3.1k tok/s  2:41 left
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pref {

class Progress {
 public:
  struct Options {
    double plain_interval_seconds = 10;
    bool enabled = true;
  };
  /// total: units of work, e.g. steps or rows; `label` opens the line.
  Progress(std::string_view label, int64_t total);
  Progress(std::string_view label, int64_t total, Options options);
  ~Progress();  ///< finishes the line
  Progress(const Progress&) = delete;

  /// `done` units are complete; `status` is shown behind the bar (loss, rates). Time left comes from the rate so far.
  void update(int64_t done, std::string_view status = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "2:41", "1:02:03" or "12 s" for seconds; "3.1k", "2.4M" for counts.
std::string format_duration(double seconds);
std::string format_count(double count);

}  // namespace pref
