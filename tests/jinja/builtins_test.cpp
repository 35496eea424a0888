// SPDX-License-Identifier: Apache-2.0
// Loops, filters, tests and methods by hand, where tests/python compares whole templates with
// jinja2. The values are jinja2's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/jinja/jinja_test_util.h"

namespace pref::testing {
namespace {

using ::testing::HasSubstr;

TEST(Builtins, ValueOfLoops) {
  EXPECT_EQ(render("{% for a in [1,2,3] %}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}"),
            "32 21 10 ");
  // A round that ends in continue is none for the else.
  EXPECT_EQ(render("{% for a in [1, 2] %}{% continue %}{% else %}e{% endfor %}"), "e");
  EXPECT_EQ(render("{% for a in [1, 2] %}{{ a }}{% else %}e{% endfor %}"), "12");
}

TEST(Builtins, ValueOfFilters) {
  EXPECT_EQ(render("{{ ''|default('x', true) }}|{{ ''|default('x') }}|"
                   "{{ none|default('x', boolean=true) }}"),
            "x||x");
  EXPECT_EQ(render("{{ [1, 2]|join(', ') }}|{{ []|join('x') }}|{{ [7]|join('x') }}"), "1, 2||7");
  EXPECT_THAT(value_of("range(100000)|map(attribute='x')|join('y' * 3999999)"),
              HasSubstr("the cap is 4000000"));
}

TEST(Builtins, ValueOfSlices) {
  EXPECT_EQ(render("{{ 'abcd'[-3:-1] }}|{{ [1,2,3][-1:] }}|{{ 'abc'[::-1] }}|{{ 'abcd'[-9:2] }}|"
                   "{{ 'abcd'[:-2] }}"),
            "bc|[3]|cba|ab|ab");
}

TEST(Builtins, ValueOfTestsAndMethods) {
  EXPECT_EQ(render("{{ 'a' is sequence }}{{ {} is sequence }}{{ 1 is sequence }}"),
            "TrueTrueFalse");
  EXPECT_EQ(render("{{ 'a-b-c'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}"),
            "('a', '-', 'b-c')('a-b', '-', 'c')");
}

TEST(Builtins, ValueOfReasoningUnderThreeNames) {
  constexpr const char* kText = "{{ messages[0].reasoning_content }}{{ messages[0].thinking }}";
  EXPECT_EQ(render(kText, R"([{"reasoning":"r"}])"), "rr");
  EXPECT_EQ(render(kText, R"([{"reasoning":"r","thinking":"t"}])"), "tt");
  EXPECT_EQ(render("{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(1, b=2) }}"), "12");
  EXPECT_THAT(render("{% macro m(a, a) %}{% endmacro %}"), HasSubstr("\"a\" stands twice"));
}

}  // namespace
}  // namespace pref::testing
