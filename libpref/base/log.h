// SPDX-License-Identifier: Apache-2.0
// Logging to stderr. The level comes from PREF_LOG (debug, info, warning, error; default info) or
// set_log_level. The header shows neither fmt nor spdlog: torch brings its own fmt, and the two do
// not mix.
#pragma once
#include <sstream>
#include <string>
#include <string_view>

namespace pref {

enum class LogLevel { debug, info, warning, error };

void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
/// One line; a progress bar on the terminal is cleared first and redrawn after.
void log_line(LogLevel level, std::string_view text);
/// A text of several lines, one log line each.
void log_lines(LogLevel level, std::string_view text);

template <class... Parts>
void log_parts(LogLevel level, const Parts&... parts) {
  if (!log_enabled(level)) return;
  std::ostringstream text;
  (text << ... << parts);
  log_line(level, text.str());
}
template <class... Parts>
void log_debug(const Parts&... parts) {
  log_parts(LogLevel::debug, parts...);
}
template <class... Parts>
void log_info(const Parts&... parts) {
  log_parts(LogLevel::info, parts...);
}
template <class... Parts>
void log_warning(const Parts&... parts) {
  log_parts(LogLevel::warning, parts...);
}
template <class... Parts>
void log_error(const Parts&... parts) {
  log_parts(LogLevel::error, parts...);
}

}  // namespace pref
