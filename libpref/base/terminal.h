// SPDX-License-Identifier: Apache-2.0
// Standard error as a screen that log lines and progress bars share: a line never lands inside a
// bar. Only log.cpp and progress.cpp write to it. Every change is one write(2), and one that fails is
// dropped: nothing can be told of it.
#pragma once
#include <string>
#include <string_view>

namespace pref {

bool stderr_is_terminal();
bool stdout_is_terminal();  ///< then tables may have colours
/// Columns of the terminal on stderr; 80 where it does not tell.
int stderr_columns();

/// The line and a newline; a bar on the screen is cleared first and redrawn after.
void write_stderr_line(std::string_view line);

/// A bar in the last line of the terminal. Of several, the newest shows.
class TerminalBar {
 public:
  TerminalBar();
  ~TerminalBar();  ///< clears the bar, unless finish() left it
  TerminalBar(const TerminalBar&) = delete;
  void draw(std::string text);
  void finish(std::string_view text);  ///< the text stays as an ordinary line; the bar is gone

 private:
  friend void write_stderr_line(std::string_view line);
  void leave(std::string out);
  std::string text_;
  bool open_ = true;
};

}  // namespace pref
