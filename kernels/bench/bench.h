// SPDX-License-Identifier: Apache-2.0
// Shared by the benchmark programs: hardware line, medians over threads, and the two ceilings every
// figure is put beside, measured in the same run: streaming read (sum of a buffer) and copy
// (memcpy, bytes read plus bytes written).
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace pref::bench {

/// Bytes that leave every cache of a 32 MB third level behind, several times.
inline constexpr int64_t kOutOfCache = int64_t{256} << 20;

/// body(begin, end) on `threads` std::threads, which split [0, count) evenly.
inline void split(int threads, int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i)
    others.emplace_back(body, count * i / threads, count * (i + 1) / threads);
  body(0, count / threads);
  for (std::thread& thread : others) thread.join();
}

/// Median seconds of n calls, after one that is not counted.
inline double median_seconds(int n, const std::function<void()>& call) {
  std::vector<double> seconds;
  for (int i = 0; i <= n; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i > 0) seconds.push_back(took.count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + n / 2, seconds.end());
  return seconds[static_cast<size_t>(n) / 2];
}

/// Numbers in [-size, size), a fixed sequence.
inline std::vector<float> random_floats(int64_t count, float size = 1) {
  std::vector<float> out(static_cast<size_t>(count));
  uint32_t state = 12345;
  for (float& v : out) {
    state = state * 1664525 + 1013904223;
    v = size * (static_cast<float>(state >> 8) / 8388608.0f - 1);
  }
  return out;
}

class Bench {
 public:
  /// The first argument of the program, when given, is the number of repetitions.
  Bench(const char* name, int argc, char** argv) {
    if (argc > 1) n_ = std::max(1, std::atoi(argv[1]));
    threads_ = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    std::printf("%s: %s, %d threads; f32; median of %d\n", name, processor().c_str(), threads_, n_);
    const int64_t floats = kOutOfCache / 4;
    const std::vector<float> from = random_floats(floats);
    std::vector<float> to(from.size());
    for (const int threads : thread_counts()) {
      double sum = 0;
      const double read = median_seconds(n_, [&] {
        split(threads, floats, [&](int64_t begin, int64_t end) {
          const double part = sum_of_floats(from.data() + begin, end - begin);
          if (begin == 0) sum = part;
        });
      });
      const double copy = median_seconds(n_, [&] {
        split(threads, floats, [&](int64_t begin, int64_t end) {
          std::memcpy(to.data() + begin, from.data() + begin, static_cast<size_t>(end - begin) * 4);
        });
      });
      read_.push_back(kOutOfCache / read);
      copy_.push_back(2 * kOutOfCache / copy);
      // The sum is printed so that its loop cannot be dropped.
      std::printf(
          "  ceilings, %d thread%s: streaming read %.1f GB/s, copy %.1f GB/s (read + written); sum "
          "%.4g\n",
          threads, threads == 1 ? "" : "s", read_.back() / 1e9, copy_.back() / 1e9, sum);
    }
  }

  enum class Ceiling { read, copy };

  /// Times body over [0, count) with one and with all threads; `bytes` is what one call must move
  /// at least.
  void report(const std::string& what, int64_t bytes, Ceiling ceiling, int64_t count,
              const std::function<void(int64_t, int64_t)>& body) const {
    size_t at = 0;
    for (const int threads : thread_counts()) {
      const double seconds = median_seconds(n_, [&] { split(threads, count, body); });
      const double rate = static_cast<double>(bytes) / seconds;
      const double limit = (ceiling == Ceiling::read ? read_ : copy_)[at++];
      std::printf("  %-52s %d thread%s %9.3f ms %7.2f GB/s  %5.1f %% of %s\n", what.c_str(),
                  threads, threads == 1 ? " " : "s", seconds * 1e3, rate / 1e9, 100 * rate / limit,
                  ceiling == Ceiling::read ? "streaming read" : "copy");
    }
  }

 private:
  std::vector<int> thread_counts() const {
    return threads_ == 1 ? std::vector<int>{1} : std::vector<int>{1, threads_};
  }

  static std::string processor() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
      if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    }
    return "processor unknown";
  }

  // Independent lanes, so that the additions wait for memory and not for each other.
  static double sum_of_floats(const float* x, int64_t count) {
    constexpr int64_t kLanes = 64;
    float lanes[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane];
    }
    double sum = 0;
    for (const float lane : lanes) sum += lane;
    for (; i < count; ++i) sum += x[i];
    return sum;
  }

  int n_ = 9, threads_;
  std::vector<double> read_, copy_;
};

}  // namespace pref::bench
