// SPDX-License-Identifier: Apache-2.0
// The --help table, drawn by hand.
#include "libpref/base/option_help.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "libpref/base/utf8.h"

namespace pref {
namespace {

TEST(OptionHelp, ValueAligns) {
  EXPECT_EQ(render_option_help({{"beta", "0.1", "number", "above 0", "inverse temperature"},
                                {"shuffle", "true", "boolean", "", "new order"}},
                               80),
            "option   type     default  range    help\n"
            "beta     number   0.1      above 0  inverse temperature\n"
            "shuffle  boolean  true              new order\n");
}

TEST(OptionHelp, ValueWraps) {
  // The four columns take 8 + 6 + 9 + 7 = 30 with their gaps; help keeps its least width of 24.
  EXPECT_EQ(
      render_option_help({{"é", "1", "n", "", "one two three four five six seven eight"}}, 40),
      "option  type  default  range  help\n"
      "é       n     1               one two three four five\n"
      "                              six seven eight\n");
  const std::string wide = render_option_help(
      {{"a", std::string(50, 'x'), "choice", "one of alpha, beta, gamma, delta, epsilon", "h"}},
      100);
  std::istringstream lines(wide);
  std::string line;
  size_t letters = 0, count = 0;
  for (; std::getline(lines, line); ++count) {
    EXPECT_LE(display_width(line), 100u) << line;
    letters += static_cast<size_t>(std::count(line.begin(), line.end(), 'x'));
  }
  EXPECT_EQ(letters, 50u);
  EXPECT_EQ(count, 4u);  // the heading and ceil(50 / 20) lines
}

}  // namespace
}  // namespace pref
