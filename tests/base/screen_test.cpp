// SPDX-License-Identifier: Apache-2.0
// Log lines and progress bars, on a pseudo-terminal and on a plain file.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <memory>
#include <thread>

#include "libpref/base/log.h"
#include "libpref/base/progress.h"
#include "libpref/base/terminal.h"
#include "libpref/base/utf8.h"

namespace pref {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// Stderr is a pseudo-terminal of `columns` columns while this lives.
class FakeTerminal {
 public:
  explicit FakeTerminal(unsigned short columns) : saved_(::dup(STDERR_FILENO)) {
    winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    EXPECT_EQ(::openpty(&own_, &theirs_, nullptr, nullptr, &size), 0);
    ::dup2(theirs_, STDERR_FILENO);
  }
  ~FakeTerminal() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
    ::close(own_);
    ::close(theirs_);
  }
  std::string output() {
    std::string out;
    pollfd waiting{.fd = own_, .events = POLLIN, .revents = 0};
    char buffer[4096];
    while (::poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLIN)) {
      const ssize_t got = ::read(own_, buffer, sizeof buffer);
      if (got <= 0) break;
      out.append(buffer, static_cast<size_t>(got));
    }
    return out;
  }

 private:
  int saved_, own_ = -1, theirs_ = -1;
};

/// What a terminal of one long screen shows after the bytes: lines, with \r and "\x1b[K" obeyed.
std::vector<std::string> shown(const std::string& bytes) {
  std::vector<std::string> lines(1);
  bool overwrite = false;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '\n') {
      lines.emplace_back();
      overwrite = false;
    } else if (bytes[i] == '\r') {
      overwrite = true;
    } else if (bytes.compare(i, 3, "\x1b[K") == 0) {
      if (overwrite) lines.back().clear();
      overwrite = false;
      i += 2;
    } else {
      if (overwrite) lines.back().clear();  // our bars always redraw from the first column
      overwrite = false;
      lines.back().push_back(bytes[i]);
    }
  }
  return lines;
}

TEST(FormatBar, Value) {
  EXPECT_EQ(format_bar(0, 4), "    ");
  EXPECT_EQ(format_bar(1, 4), "████");
  EXPECT_EQ(format_bar(0.5, 4), "██  ");
  EXPECT_EQ(format_bar(1.0 / 32, 4), "▏   ");
  EXPECT_EQ(format_bar(13.0 / 32, 4), "█▋  ");
  EXPECT_EQ(format_bar(31.0 / 32, 4), "███▉");
  EXPECT_EQ(format_bar(7, 2), "██");
  EXPECT_EQ(format_bar(-1, 2), "  ");
  for (int i = 0; i <= 1000; ++i) EXPECT_EQ(display_width(format_bar(i / 1000.0, 17)), 17u) << i;
}

TEST(FormatProgressLine, Value) {
  // 59 columns less "train  38%" (10), " 380/1000  loss 0.512  2:41 left" (32) and two bounds leave
  // 15; 0.38 x 120 = 45 eighths.
  EXPECT_EQ(format_progress_line("train", 380, 1000, "loss 0.512", "2:41 left", 59),
            "train  38%|█████▋         | 380/1000  loss 0.512  2:41 left");
  EXPECT_EQ(format_progress_line("train", 999, 1000, "", "", 20), "train  99% 999/1000");
  EXPECT_EQ(format_progress_line("read", 5, 0, "x", "", 40), "read 5  x");
  for (int columns = 0; columns < 200; ++columns)
    EXPECT_LE(display_width(format_progress_line("étrain", 3, 7, "loss 1", "1:00 left", columns)),
              static_cast<size_t>(columns));
}

TEST(SecondsLeft, Value) {
  EXPECT_EQ(seconds_left(0, 10, 40, 5), 15);      // half a second a unit, 30 to go
  EXPECT_EQ(seconds_left(500, 510, 540, 5), 15);  // units before this run took no time of it
  EXPECT_EQ(seconds_left(0, 50, 40, 5), 0);
  EXPECT_TRUE(std::isnan(seconds_left(3, 3, 40, 5)));
  EXPECT_TRUE(std::isnan(seconds_left(0, 3, 0, 5)));
}

TEST(FormatDuration, Value) {
  EXPECT_EQ(format_duration(0.4), "0 s");
  EXPECT_EQ(format_duration(12), "12 s");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(161), "2:41");
  EXPECT_EQ(format_duration(3723), "1:02:03");
  EXPECT_EQ(format_duration(360000), "100:00:00");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(NAN), "?");
}

TEST(FormatCount, Value) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(0.42), "0.4");
  EXPECT_EQ(format_count(7), "7");
  EXPECT_EQ(format_count(9.97), "10");
  EXPECT_EQ(format_count(999.4), "999");
  EXPECT_EQ(format_count(999.7), "1.0k");
  EXPECT_EQ(format_count(3120), "3.1k");
  EXPECT_EQ(format_count(31200), "31.2k");
  EXPECT_EQ(format_count(312000), "312k");
  EXPECT_EQ(format_count(999700), "1.0M");
  EXPECT_EQ(format_count(2.4e6), "2.4M");
  EXPECT_EQ(format_count(8.03e9), "8.0G");
  EXPECT_EQ(format_count(-3120), "-3.1k");
  EXPECT_EQ(format_count(NAN), "nan");
}

TEST(Log, ValueLineAndLevels) {
  testing::internal::CaptureStderr();
  log_info("loss ", 0.5, " at step ", 3);
  log_debug("hidden");
  set_log_level(LogLevel::error);
  log_warning("hidden too");
  log_error("wrong {}");
  EXPECT_FALSE(log_enabled(LogLevel::warning));
  set_log_level(LogLevel::debug);
  log_debug("seen\nagain\x1b[2J");
  set_log_level(LogLevel::info);
  const std::string out = testing::internal::GetCapturedStderr();
  const std::string stamp = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} ";
  EXPECT_THAT(out, testing::MatchesRegex(stamp + "info    loss 0\\.5 at step 3\n" + stamp +
                                         "error   wrong \\{\\}\n" + stamp +
                                         "debug   seen\\\\nagain\\\\x1b\\[2J\n"));
}

TEST(Log, ValueLevelFromEnvironment) {
  // The level is read once per process: each case is a process of its own.
  const auto output_with = [](const char* level) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], STDERR_FILENO);
      ::setenv("PREF_LOG", level, 1);
      ::execl("/proc/self/exe", "screen", "--gtest_filter=LogChild.DISABLED_Speaks",
              "--gtest_also_run_disabled_tests", nullptr);
      ::_exit(1);
    }
    ::close(ends[1]);
    std::string out;
    char buffer[1024];
    for (ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
      out.append(buffer, static_cast<size_t>(got));
    ::close(ends[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    return out;
  };
  EXPECT_THAT(output_with("debug"), HasSubstr("child debug"));
  const std::string warning = output_with("warning");
  EXPECT_THAT(warning, HasSubstr("child warning"));
  EXPECT_THAT(warning, Not(HasSubstr("child info")));
  const std::string wrong = output_with("loud");
  EXPECT_THAT(
      wrong,
      HasSubstr(
          "PREF_LOG must be debug, info, warning or error, got \"loud\"; the level stays info."));
  EXPECT_THAT(wrong, HasSubstr("child info"));
  EXPECT_THAT(wrong, Not(HasSubstr("child debug")));
}

// Run by the test above in a process of its own.
TEST(LogChild, DISABLED_Speaks) {
  log_debug("child debug");
  log_info("child info");
  log_warning("child warning");
}

TEST(Progress, ValueOnATerminal) {
  FakeTerminal terminal(60);
  {
    Progress progress("train", 1000, {.redraw_seconds = 1e9});
    progress.update(0);
    const std::string first = terminal.output();
    EXPECT_THAT(first, StartsWith("\rtrain   0%|"));
    EXPECT_THAT(first, Not(HasSubstr("\n")));
    progress.update(1, "loss 9");  // too early for another drawing
    EXPECT_EQ(terminal.output(), "");
    progress.update(1000, "loss 0.5");
    const std::string last = terminal.output();
    EXPECT_THAT(last, HasSubstr("train 100%|█"));
    EXPECT_THAT(last, HasSubstr("1000/1000  loss 0.5  0 s left\x1b[K"));
    const auto lines = shown(first + last);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(display_width(lines[0]), 59u);
  }
  EXPECT_THAT(terminal.output(), ContainsRegex("loss 0.5  in [0-9]+ s\r\n$"));
}

TEST(Progress, InvariantLogLinesDoNotTearTheBar) {
  FakeTerminal terminal(70);
  std::string bytes;
  {
    Progress progress("train", 10);
    progress.update(3, "loss 1");
    log_info("first");
    log_warning("second");
    bytes = terminal.output();
    const auto lines = shown(bytes);
    ASSERT_EQ(lines.size(), 3u) << bytes;
    EXPECT_THAT(lines[0], HasSubstr(" first"));
    EXPECT_THAT(lines[0], Not(HasSubstr("train")));
    EXPECT_THAT(lines[1], HasSubstr("\x1b[33mwarning\x1b[0m second"));
    EXPECT_THAT(lines[2], StartsWith("train  30%|"));
  }
  bytes += terminal.output();
  log_info("after");
  bytes += terminal.output();
  const auto lines = shown(bytes);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[2], HasSubstr("3/10  loss 1  in "));
  EXPECT_THAT(lines[3], HasSubstr(" after"));
  EXPECT_EQ(lines[4], "");
}

TEST(Progress, InvariantUnderThreads) {
  FakeTerminal terminal(70);
  {
    TerminalBar bar;
    std::jthread drawing([&] {
      for (int i = 0; i < 20; ++i) bar.draw("BAR " + std::to_string(i));
    });
    std::jthread logging([&] {
      for (int i = 0; i < 10; ++i) write_stderr_line("LINE " + std::to_string(i));
    });
  }
  const auto lines = shown(terminal.output());
  ASSERT_EQ(lines.size(), 11u);
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(lines[static_cast<size_t>(i)], "LINE " + std::to_string(i));
}

TEST(Progress, ValueOfTwoBars) {
  FakeTerminal terminal(60);
  TerminalBar outer;
  outer.draw("OUTER");
  {
    TerminalBar inner;
    inner.draw("INNER");
    outer.draw("OUTER 2");
    EXPECT_EQ(shown(terminal.output()).back(), "INNER");
    inner.finish("INNER DONE");
  }
  const auto lines = shown(terminal.output());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], StartsWith("INNER DONE"));
  EXPECT_EQ(lines[1], "OUTER 2");
}

TEST(Progress, ValueOnAPlainFile) {
  testing::internal::CaptureStderr();
  {
    Progress progress("train", 8, {.plain_interval_seconds = 0});
    progress.update(2);
    progress.update(4, "loss 1");
  }
  {
    Progress slow("slow", 8, {.plain_interval_seconds = 1e9});
    slow.update(1);
    slow.update(2);
  }
  { Progress never("never", 8); }
  {
    Progress off("off", 8, {.enabled = false});
    off.update(8);
  }
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_THAT(out, HasSubstr("info    train 2/8 (25%)\n"));
  EXPECT_THAT(out, ContainsRegex("train 4/8 \\(50%\\)  loss 1  [0-9]+ s left\n"));
  EXPECT_THAT(out, ContainsRegex("train 4/8 \\(50%\\)  loss 1  in [0-9]+ s\n"));
  EXPECT_THAT(out, HasSubstr("slow 2/8 (25%)  in "));  // only the end: the interval had not passed
  EXPECT_THAT(out, Not(HasSubstr("slow 1/8")));
  EXPECT_THAT(out, Not(HasSubstr("never")));
  EXPECT_THAT(out, Not(HasSubstr("off")));
  EXPECT_THAT(out, Not(HasSubstr("\r")));
}

}  // namespace
}  // namespace pref
