// SPDX-License-Identifier: Apache-2.0
// Bars as a stack of texts under one lock. "\r" goes to the first column, "\x1b[K" clears to the
// end of the line.
#include "libpref/base/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

namespace pref {
namespace {

struct Screen {
  std::mutex mutex;
  std::vector<TerminalBar*> bars;
};

Screen& screen() {
  static Screen* instance =
      new Screen;  // never destroyed: lines may be written by destructors at exit
  return *instance;
}

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

constexpr std::string_view kClear = "\r\x1b[K";

}  // namespace

bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }

int stderr_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void write_stderr_line(std::string_view line) {
  const std::lock_guard lock(screen().mutex);
  const TerminalBar* bar = screen().bars.empty() ? nullptr : screen().bars.back();
  std::string out;
  if (bar != nullptr && !bar->text_.empty()) out.append(kClear);
  out.append(line).append("\n");
  if (bar != nullptr) out.append(bar->text_);
  write_all(out);
}

TerminalBar::TerminalBar() {
  const std::lock_guard lock(screen().mutex);
  screen().bars.push_back(this);
}

TerminalBar::~TerminalBar() {
  if (open_) leave(std::string(kClear));
}

void TerminalBar::draw(std::string text) {
  const std::lock_guard lock(screen().mutex);
  text_ = std::move(text);
  // The text first and then the clearing of what is left of the old one: no flicker.
  if (screen().bars.back() == this) write_all("\r" + text_ + "\x1b[K");
}

void TerminalBar::finish(std::string_view text) {
  leave(std::string(kClear).append(text).append("\n"));
}

void TerminalBar::leave(std::string out) {
  const std::lock_guard lock(screen().mutex);
  open_ = false;
  std::vector<TerminalBar*>& bars = screen().bars;
  bars.erase(std::remove(bars.begin(), bars.end(), this), bars.end());
  if (!bars.empty()) out.append(bars.back()->text_);
  write_all(out);
}

}  // namespace pref
