// SPDX-License-Identifier: Apache-2.0
// Column widths first, then each option as a block of lines.
#include "libpref/base/option_help.h"

#include <algorithm>
#include <array>

#include "libpref/base/utf8.h"

namespace pref {
namespace {

constexpr size_t kColumns = 5;
using Cells = std::array<std::string, kColumns>;

/// Lines of at most `width` columns, broken at spaces, within a word only when it is wider.
std::vector<std::string> wrap(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  size_t used = 0;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      ++at;
      continue;
    }
    const size_t end = std::min(text.find(' ', at), text.size());
    std::string word = text.substr(at, end - at);
    at = end;
    if (used > 0 && used + 1 + display_width(word) > width) {
      lines.emplace_back();
      used = 0;
    }
    while (used == 0 && display_width(word) > width) {
      const std::string part = cut_to_width(word, width);
      lines.back() = part;
      lines.emplace_back();
      word.erase(0, part.size());
    }
    if (used > 0) lines.back().push_back(' ');
    lines.back().append(word);
    used = display_width(lines.back());
  }
  return lines;
}

}  // namespace

std::string render_option_help(const std::vector<OptionText>& options, int columns) {
  constexpr size_t kGap = 2, kHelp = kColumns - 1;
  constexpr std::array<size_t, kHelp> kWidest = {0, 16, 20, 24};  // of type, default and range
  std::vector<Cells> rows = {{"option", "type", "default", "range", "help"}};
  for (const OptionText& option : options)
    rows.push_back({option.name, option.type, option.value, option.range, option.help});

  std::array<size_t, kColumns> widths{};
  size_t left = static_cast<size_t>(std::max(columns, 1));
  for (size_t column = 0; column < kHelp; ++column) {
    for (const Cells& row : rows)
      widths[column] = std::max(widths[column], display_width(row[column]));
    // A name is never broken, so that it can be copied and searched for.
    if (column > 0) widths[column] = std::min(widths[column], kWidest[column]);
    left -= std::min(left, widths[column] + kGap);
  }
  widths[kHelp] = std::max<size_t>(left, 24);

  std::string out;
  for (const Cells& row : rows) {
    std::array<std::vector<std::string>, kColumns> cells;
    size_t height = 0;
    for (size_t column = 0; column < kColumns; ++column) {
      cells[column] = wrap(row[column], widths[column]);
      height = std::max(height, cells[column].size());
    }
    for (size_t i = 0; i < height; ++i) {
      std::string line;
      size_t start = 0;
      for (size_t column = 0; column < kColumns; start += widths[column] + kGap, ++column) {
        if (i >= cells[column].size() || cells[column][i].empty()) continue;
        line.append(start - display_width(line), ' ').append(cells[column][i]);
      }
      out.append(line).append("\n");
    }
  }
  return out;
}

}  // namespace pref
