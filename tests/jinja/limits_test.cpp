// SPDX-License-Identifier: Apache-2.0
// A template that a stranger made may fail, but it neither hangs, nor fills the memory, nor
// crashes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "libpref/base/utf8.h"
#include "tests/jinja/jinja_test_util.h"

namespace pref::testing {
namespace {

using ::testing::HasSubstr;

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(TemplateLimits, RejectsTooManySteps) {
  EXPECT_THAT(
      render("{% for a in range(2000) %}{% for b in range(2000) %}x{% endfor %}{% endfor %}"),
      HasSubstr("more than 1000000 steps"));
  TemplateLimits few;
  few.steps = 100;
  EXPECT_THAT(render("{% for a in range(99) %}{% endfor %}", "[]", "", few),
              HasSubstr("100 steps"));
  EXPECT_EQ(render("{% for a in range(9) %}{% endfor %}", "[]", "", few), "");
}

TEST(TemplateLimits, RejectsLongRangesTextsAndLists) {
  EXPECT_EQ(value_of("range(100000)|length"), "100000");
  EXPECT_THAT(value_of("range(100001)"), HasSubstr("more than 100000 elements"));
  EXPECT_THAT(value_of("range(-9223372036854775807, 9223372036854775807)"), HasSubstr("range()"));
  EXPECT_THAT(value_of("'x' * 4000001"), HasSubstr("the cap is 4000000"));
  EXPECT_THAT(value_of("'x' * 9223372036854775807"), HasSubstr("the cap is 4000000"));
  EXPECT_THAT(value_of("[0] * 100001"), HasSubstr("more than 100000 elements"));
  EXPECT_THAT(value_of("'x'.center(99999999999)"), HasSubstr("the cap is 4000000"));
  EXPECT_THAT(value_of("('a' * 3000000)|replace('a', 'bb')"), HasSubstr("the cap is 4000000"));
  EXPECT_THAT(value_of("('<' * 3000000)|escape"), HasSubstr("the cap is 4000000"));
  EXPECT_THAT(render("{% set x = 'x' * 3000000 %}{{ x }}{{ x }}"), HasSubstr("the cap is 4000000"));
  EXPECT_THAT(render("{% set n = namespace(x='xx') %}{% for i in range(99) %}{% set n.x = n.x ~ "
                     "n.x %}{% endfor %}"),
              HasSubstr("the cap is 4000000"));
}

TEST(TemplateLimits, RejectsSharedValuesThatUnfold) {
  // Sixty doublings share their halves: small to make, endless to print or compare.
  const std::string doubled =
      "{% set n = namespace(x=[], y=[]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}"
      "{% set n.y = [n.y, n.y] %}{% endfor %}";
  for (const char* use : {"{{ n.x }}", "{{ n.x|tojson }}", "{{ n.x == n.y }}", "{{ n.x < n.y }}",
                          "{{ n.x in [n.y] }}", "{{ n.x|string|length }}"})
    EXPECT_THAT(render(doubled + use), HasSubstr("the cap")) << use;
}

TEST(TemplateLimits, RejectsDepth) {
  EXPECT_THAT(value_of(repeated("(", 300) + "1" + repeated(")", 300)), HasSubstr("200 levels"));
  EXPECT_THAT(value_of(repeated("[", 300) + repeated("]", 300)), HasSubstr("200 levels"));
  EXPECT_THAT(value_of(repeated("not ", 300) + "1"), HasSubstr("200 levels"));
  EXPECT_THAT(value_of(repeated("-", 300) + "1"), HasSubstr("200 levels"));
  EXPECT_THAT(value_of("1" + repeated(" + 1", 300)), HasSubstr("200 levels"));
  EXPECT_THAT(value_of("x" + repeated(".x", 300)), HasSubstr("200 levels"));
  EXPECT_THAT(value_of("x" + repeated("|trim", 300)), HasSubstr("200 levels"));
  EXPECT_THAT(value_of("1" + repeated(" if 1 else 1", 300)), HasSubstr("200 levels"));
  EXPECT_THAT(render(repeated("{% if 1 %}", 300)), HasSubstr("200 levels"));
  EXPECT_THAT(render("", repeated("[", 300)), HasSubstr("200 levels"));
  EXPECT_THAT(render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("200 levels"));
  EXPECT_THAT(
      render(
          "{% set n = namespace(x=1) %}{% for i in range(999) %}{% set n.x = [n.x] %}{% endfor %}"),
      HasSubstr("200 levels"));
  EXPECT_THAT(render("{% set n = namespace(x=[]) %}{% for i in range(999) %}{% set n.x = "
                     "n.x|map('string') %}{% endfor %}"),
              HasSubstr("200 levels"));
  EXPECT_THAT(render("{% set n = namespace(x=1) %}{% for i in range(999) %}{% for j in [n.x] %}{% "
                     "set n.x = loop %}{% endfor %}{% endfor %}"),
              HasSubstr("200 levels"));
  EXPECT_THAT(render("{% set n = namespace() %}{% set n.x = n %}{{ n }}"), HasSubstr("200 levels"));
}

TEST(TemplateLimits, RingsAndChainsAreFreed) {
  // Under the address sanitizer this also shows that nothing leaks.
  EXPECT_EQ(render("{% set n = namespace() %}{% set n.x = [n] %}{% macro m() %}{{ n }}{% endmacro "
                   "%}{% set n.m = m %}"),
            "");
  EXPECT_EQ(render("{% set n = namespace() %}{% for i in range(20000) %}{% set n.x = "
                   "namespace(x=n.x) %}{% endfor %}"),
            "");
  EXPECT_EQ(render("{% set n = namespace() %}{% for i in range(20000) %}{% macro m() %}{{ n.m }}{% "
                   "endmacro %}"
                   "{% set old = n.m %}{% set n.m = m %}{% endfor %}"),
            "");
}

TEST(TemplateLimits, RejectsLongInput) {
  TemplateLimits small;
  small.template_bytes = small.input_bytes = 10;
  EXPECT_THAT(render("12345678901", "[]", "", small), HasSubstr("has 11 bytes"));
  EXPECT_THAT(render("", "[          ]", "", small), HasSubstr("messages: has 12 bytes"));
}

TEST(TemplateLimits, MutatedTemplatesNeverCrashOrHang) {
  const std::vector<std::string> seeds{
      "{% for m in messages %}{{ '<|' + m.role + '|>' + m['content']|trim }}{% if loop.last %}E{% "
      "endif %}\n{% endfor %}",
      "{%- set ns = namespace(i=0, l=[]) -%}{% for m in messages[::-1] if m.content is string %}{% "
      "set ns.i = ns.i + 1 %}"
      "{% set ns.l = ns.l + [m.role] %}{{ ns.l|join(',') ~ loop.revindex }}{% else %}{{ "
      "raise_exception('x') }}{% endfor %}",
      "{% macro m(a, b={'k': [1, 2.5, none]}) %}{{ a|tojson(indent=2) }}{% for k, v in b|items "
      "%}{{ k ~ v|string }}{% endfor %}"
      "{% endmacro %}{{ m(messages, b=messages[0]) }}{% set x | upper %}{{ m(1) }}{% endset %}{{ "
      "x[2:-2:2] }}",
      "{{ messages|selectattr('role', 'eq', "
      "'user')|map(attribute='content')|list|sort|unique|first }}"
      "{{ '%s %5.2f' % ('a', 2) }}{{ '{:>5}'.format('x') }}{{ 'a b'.split()|map('title')|join }}{{ "
      "range(3, 9, 2)|sum ** 2 // 3 % 5 }}",
      "{# c #}{% raw %}{{ x }}{% endraw %}  {%+ if tools is none and not 1 in [2] %} a {% elif 'x' "
      "~ 1 is string %}{% endif -%} b "
      "{% generation %}{% filter lower %}ABC{% endfilter %}{% endgeneration %}{% with q = 1 %}{{ q "
      "}}{% endwith %}"};
  const std::string pieces = "{}%#-+|()[]'\"\\~:,.*/=<> \n_019aifxlo\x01\xc3\xa9";
  const char* words[] = {"{{",      "}}",       "{%",           "%}",
                         "for ",    " in ",     "if ",          "endfor",
                         "set ",    "loop",     "macro ",       "|list",
                         "|length", "|tojson",  "range(99999)", "9223372036854775807",
                         "**",      "//",       "[::-1]",       " * ",
                         "ns",      "messages", ".x",           "%s"};
  const unsigned seed = 20260726;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  TemplateLimits limits;
  limits.steps = 20000;  // many templates in little time
  int rendered = 0, refused = 0;
  const auto begin = std::chrono::steady_clock::now();
  double slowest = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = seeds[below(seeds.size())];
    for (size_t edits = 1 + below(3); edits > 0; --edits) {
      const size_t at = below(text.size() + 1), cut = std::min(below(9), text.size() - at);
      switch (below(4)) {
        case 0:
          text.erase(at, cut);
          break;
        case 1:
          text.insert(at, 1, pieces[below(pieces.size())]);
          break;
        case 2:
          text.insert(at, words[below(std::size(words))]);
          break;
        default:
          text.insert(at, text.substr(below(text.size() + 1), below(30)));
      }
    }
    const auto start = std::chrono::steady_clock::now();
    const std::string out = render(text, kTalk, "", limits);
    slowest = std::max(
        slowest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    (out.starts_with("! ") ? refused : rendered) += 1;
    EXPECT_EQ(find_invalid_utf8(out), std::string::npos) << text;
  }
  std::printf(
      "seed %u: %d rendered, %d refused in %.1f s, the slowest %.3f s\n", seed, rendered, refused,
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), slowest);
  EXPECT_GT(rendered, 500);
  EXPECT_GT(refused, 500);
  EXPECT_LT(slowest, 5.0);
}

}  // namespace
}  // namespace pref::testing
