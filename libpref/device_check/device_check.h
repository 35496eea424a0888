// SPDX-License-Identifier: Apache-2.0
// Every kernel of kernels/cuda and every objective's loss on the device at hand, against references
// in double on the host, and how fast they are beside what the card does at best. Behind `pref
// doctor --device cuda`; the tests run the very same functions through kernels executed on the CPU.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <variant>

namespace pref::device_check {

/// How large the cases are: for a CPU that plays the device, for a minute on a card, for a report.
enum class Profile { tiny, doctor, full };

struct Options {
  int device = 0;
  Profile profile = Profile::doctor;
  uint64_t seed = 1;
  bool timings = true;
};

/// What the card does at best, GB/s.
struct Ceiling {
  std::string name;  ///< copy (bytes read and written), read, write
  double value = 0;
};

/// Of the numbers compared, the one nearest to its bound or farthest beyond. Numbers within
/// relative |want| + absolute pass: error = |got - want| / (|want| + absolute / relative), bound =
/// relative; where bits are compared, error counts those that differ and bound is 0. Infinite: NaN.
struct Check {
  std::string name, shape;  ///< the function; types, sizes and what is particular
  std::string quantity;     ///< which of its outputs
  double error = 0, bound = 0;
  bool ok = false;
};

/// A kernel's time by the device's clock. `wanted` is the goal for `share`, 0 where none is set.
struct Bench {
  std::string goal, name, shape;
  double ms = 0, ms_p20 = 0, ms_p80 = 0;  ///< median, 20th and 80th percentile
  double value = 0;                       ///< GB/s
  std::string of;                         ///< the ceiling
  double share = 0, wanted = 0;
};

/// A case that the card has no room for.
struct Skipped {
  std::string name, reason;
};

using Result = std::variant<Ceiling, Check, Bench, Skipped>;
using Report = std::function<void(const Result&)>;

struct Summary {
  int checks = 0, failed = 0, benches = 0, below_goal = 0, skipped = 0;
};

/// Runs every case on the device and reports each as it ends. Throws pref::Error where the device
/// refuses to work at all.
Summary check_device(const Options& options, const Report& report);

}  // namespace pref::device_check
