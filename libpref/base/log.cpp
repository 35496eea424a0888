// SPDX-License-Identifier: Apache-2.0
// The logger: spdlog formats a line ("2025-03-01 12:00:00 info    text"), the shared screen writes
// it.
#include "libpref/base/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "libpref/base/option_text.h"
#include "libpref/base/terminal.h"

namespace pref {
namespace {

constexpr std::string_view kLevelNames[] = {"debug", "info", "warning", "error"};
constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                 spdlog::level::warn, spdlog::level::err};

spdlog::level::level_enum spdlog_level(LogLevel level) { return kLevels[static_cast<int>(level)]; }

class ScreenSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::string_view text(line.data(), line.size());
    if (!stderr_is_terminal() || message.color_range_end <= message.color_range_start)
      return write_stderr_line(text);
    std::string coloured(text.substr(0, message.color_range_start));
    coloured.append(colour(message.level));
    coloured.append(text.substr(message.color_range_start,
                                message.color_range_end - message.color_range_start));
    coloured.append("\x1b[0m").append(text.substr(message.color_range_end));
    write_stderr_line(coloured);
  }
  void flush_() override {}

 private:
  static std::string_view colour(spdlog::level::level_enum level) {
    switch (level) {
      case spdlog::level::err:
        return "\x1b[31m";
      case spdlog::level::warn:
        return "\x1b[33m";
      case spdlog::level::info:
        return "\x1b[32m";
      default:
        return "\x1b[36m";
    }
  }
};

/// Never destroyed: destructors at exit may log.
spdlog::logger& logger() {
  static spdlog::logger* const instance = [] {
    auto* made = new spdlog::logger("pref", std::make_shared<ScreenSink>());
    made->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%Y-%m-%d %H:%M:%S %^%-7l%$ %v", spdlog::pattern_time_type::local, ""));
    made->set_level(spdlog::level::info);
    const char* wanted = std::getenv("PREF_LOG");
    if (wanted == nullptr || *wanted == '\0') return made;
    for (size_t i = 0; i < std::size(kLevelNames); ++i) {
      if (kLevelNames[i] != wanted) continue;
      made->set_level(kLevels[i]);
      return made;
    }
    made->warn(
        "[log] PREF_LOG must be debug, info, warning or error, got {}; the level stays info.",
        option_detail::quoted(wanted));
    return made;
  }();
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) { logger().set_level(spdlog_level(level)); }

bool log_enabled(LogLevel level) { return logger().should_log(spdlog_level(level)); }

void log_line(LogLevel level, std::string_view text) {
  // One line, whatever a file's contents brought into the text: no newline, no escape sequence for
  // the terminal.
  const std::string line = option_detail::escaped_controls(text);
  logger().log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

void log_lines(LogLevel level, std::string_view text) {
  for (size_t end; !text.empty(); text.remove_prefix(std::min(text.size(), end + 1))) {
    end = std::min(text.find('\n'), text.size());
    log_line(level, text.substr(0, end));
  }
}

}  // namespace pref
