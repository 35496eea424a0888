// SPDX-License-Identifier: Apache-2.0
// Progress of a long operation, to stderr: on a terminal one bar, redrawn in place at most ten
// times a second; elsewhere
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
    double redraw_seconds = 0.1;  ///< of the bar; the last unit is always drawn
    bool enabled = true;
  };
  /// total: units of work, e.g. steps or rows; `label` opens the line.
  Progress(std::string_view label, int64_t total);
  Progress(std::string_view label, int64_t total, Options options);
  ~Progress();  ///< finishes the line
  Progress(const Progress&) = delete;

  /// `done` units are complete; `status` is shown behind the bar (loss, rates). Time left comes
  /// from the rate so far.
  void update(int64_t done, std::string_view status = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// `fraction` of `columns` columns in full blocks and one of eighths, padded with spaces.
std::string format_bar(double fraction, int columns);

/// One terminal line of at most `columns` columns: label, percentage, bar, count, status, ending.
/// The bar takes the room that is left, up to 60 columns, and goes when there are fewer than 10.
/// total <= 0: unknown, no percentage and bar.
std::string format_progress_line(std::string_view label, int64_t done, int64_t total,
                                 std::string_view status, std::string_view ending, int columns);

/// The rate of units `first`..`done`, done in `seconds`, applied to the rest; NaN while nothing is
/// known.
double seconds_left(int64_t first, int64_t done, int64_t total, double seconds);

/// "2:41", "1:02:03" or "12 s" for seconds; "3.1k", "2.4M" for counts.
std::string format_duration(double seconds);
std::string format_count(double count);

}  // namespace pref
