// SPDX-License-Identifier: Apache-2.0
// When to draw, and what: a bar on a terminal, a log line elsewhere.
#include "libpref/base/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <optional>

#include "libpref/base/log.h"
#include "libpref/base/terminal.h"
#include "libpref/base/utf8.h"

namespace pref {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int percent(int64_t done, int64_t total) {
  // Rounded down: 100% is said when all is done.
  return static_cast<int>(std::clamp(
      std::floor(100.0 * static_cast<double>(done) / static_cast<double>(total)), 0.0, 100.0));
}

void append_part(std::string& out, std::string_view part) {
  if (!part.empty()) out.append("  ").append(part);
}

}  // namespace

std::string format_bar(double fraction, int columns) {
  static constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  columns = std::max(columns, 0);
  const auto eighths = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 8 * columns);
  std::string out;
  for (int i = 0; i < eighths / 8; ++i) out.append("█");
  out.append(kEighths[eighths % 8]);
  return out.append(static_cast<size_t>(columns - (eighths + 7) / 8), ' ');
}

std::string format_progress_line(std::string_view label, int64_t done, int64_t total,
                                 std::string_view status, std::string_view ending, int columns) {
  std::string tail;
  if (total <= 0) {
    tail.append(label).append(" ").append(std::to_string(done));
    append_part(tail, status);
    append_part(tail, ending);
    return cut_to_width(tail, static_cast<size_t>(std::max(columns, 0)));
  }
  char number[8];
  std::snprintf(number, sizeof number, "%3d%%", percent(done, total));
  const std::string head = std::string(label) + " " + number;
  tail = " " + std::to_string(done) + "/" + std::to_string(total);
  append_part(tail, status);
  append_part(tail, ending);
  const int room = columns - static_cast<int>(display_width(head) + display_width(tail)) - 2;
  const std::string bar =
      room < 10 ? ""
                : "|" +
                      format_bar(static_cast<double>(done) / static_cast<double>(total),
                                 std::min(room, 60)) +
                      "|";
  return cut_to_width(head + bar + tail, static_cast<size_t>(std::max(columns, 0)));
}

double seconds_left(int64_t first, int64_t done, int64_t total, double seconds) {
  if (total <= 0 || done <= first) return NAN;
  return seconds / static_cast<double>(done - first) *
         static_cast<double>(std::max<int64_t>(total - done, 0));
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "?";
  const auto whole = static_cast<long long>(std::llround(seconds));
  char text[48];
  if (whole < 60)
    std::snprintf(text, sizeof text, "%lld s", whole);
  else if (whole < 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                  whole % 60);
  return text;
}

std::string format_count(double count) {
  if (!std::isfinite(count)) return std::isnan(count) ? "nan" : count < 0 ? "-inf" : "inf";
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T"};
  double size = std::abs(count);
  size_t unit = 0;
  // 999.95k would print as 1000.0k: the step up is at the value that rounds to 1000.
  for (; size >= 999.5 && unit + 1 < std::size(kUnits); ++unit) size /= 1000;
  const bool fraction = unit == 0 ? size < 9.95 && size != std::floor(size) : size < 99.95;
  char text[64];
  std::snprintf(text, sizeof text, "%s%.*f%s", count < 0 ? "-" : "", fraction ? 1 : 0, size,
                kUnits[unit]);
  return text;
}

struct Progress::State {
  std::mutex mutex;
  std::string label, status;
  int64_t total = 0, done = 0;
  Options options;
  Clock::time_point start = Clock::now(), last_shown = start;
  // The first update: the rate counts from there, so that a resumed run's earlier steps cost no
  // time.
  std::optional<std::pair<int64_t, Clock::time_point>> first;
  bool shown = false;
  std::optional<TerminalBar> bar;

  std::string time_left() const {
    const double left =
        first ? seconds_left(first->first, done, total, seconds_since(first->second)) : NAN;
    return std::isnan(left) ? "" : format_duration(left) + " left";
  }
  std::string bar_line(std::string_view ending) const {
    // A full last column would wrap on some terminals.
    return format_progress_line(label, done, total, status, ending, stderr_columns() - 1);
  }
  std::string plain_line(std::string_view ending) const {
    std::string out = label + " " + std::to_string(done);
    if (total > 0)
      out.append("/")
          .append(std::to_string(total))
          .append(" (")
          .append(std::to_string(percent(done, total)))
          .append("%)");
    append_part(out, status);
    append_part(out, ending);
    return out;
  }
};

Progress::Progress(std::string_view label, int64_t total) : Progress(label, total, Options{}) {}

Progress::Progress(std::string_view label, int64_t total, Options options)
    : state_(std::make_unique<State>()) {
  state_->label = label;
  state_->total = total;
  state_->options = options;
  if (options.enabled && stderr_is_terminal()) state_->bar.emplace();
}

void Progress::update(int64_t done, std::string_view status) {
  State& state = *state_;
  if (!state.options.enabled) return;
  const std::lock_guard lock(state.mutex);
  state.done = done;
  state.status = status;
  if (!state.first || done < state.first->first) state.first = {done, Clock::now()};
  const double waited = seconds_since(state.last_shown);
  if (state.bar) {
    if (state.shown && waited < state.options.redraw_seconds && done < state.total) return;
    state.bar->draw(state.bar_line(state.time_left()));
  } else {
    if (waited < state.options.plain_interval_seconds) return;
    log_line(LogLevel::info, state.plain_line(state.time_left()));
  }
  state.shown = true;
  state.last_shown = Clock::now();
}

Progress::~Progress() {
  State& state = *state_;
  if (!state.first) return;  // nothing was done, or progress is off: no line
  const std::string ending = "in " + format_duration(seconds_since(state.start));
  if (state.bar)
    state.bar->finish(state.bar_line(ending));
  else
    log_line(LogLevel::info, state.plain_line(ending));
}

}  // namespace pref
