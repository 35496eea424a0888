// SPDX-License-Identifier: Apache-2.0
// Chat templates, worked by hand. tests/python/test_chat_template_evaluator.py compares thousands
// of renderings with jinja2 itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tests/jinja/jinja_test_util.h"

namespace pref::testing {
namespace {

using ::testing::HasSubstr;

TEST(Evaluator, ValueChatml) {
  const std::string chatml =
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m['content'] | trim "
      "}}<|im_end|>\n"
      "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  EXPECT_EQ(render(chatml, kTalk, R"({"add_generation_prompt":true})"),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
            "<|im_start|>assistant\nho<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(render_chat_template("{{ messages|length }}{{ tools is none }}{{ bos }}", kTalk,
                                 R"({"bos":"<s>"})"),
            "3True<s>");
}

TEST(Evaluator, ValueWhiteSpaceControl) {
  // trim_blocks drops the newline behind a block, lstrip_blocks the space before one.
  EXPECT_EQ(render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(render("a\n  {%+ if true %} b{% endif +%}\nc"), "a\n   b\nc");
  EXPECT_EQ(render("a \n {{- 1 -}} \n b"), "a1b");
  EXPECT_EQ(render("a {#- note -#} b{# x #}\nc"), "abc");
  EXPECT_EQ(render("{% raw %}{{ x }}{% endraw %}"), "{{ x }}");
}

TEST(Evaluator, ValuePythonText) {
  EXPECT_EQ(value_of("[1, 1.0, none, true, 'a\\'b', \"q\\\"'\", '\\n', 1e16, 1e-5]"),
            R"([1, 1.0, None, True, "a'b", 'q"\'', '\n', 1e+16, 1e-05])");
  EXPECT_EQ(value_of("{'a': (1,), 2: {}}"), "{'a': (1,), 2: {}}");
  EXPECT_EQ(value_of("missing ~ none ~ true"), "NoneTrue");
  EXPECT_EQ(value_of("s[1:4] ~ s[::-1] ~ s|length", R"({"s":"aé日😀x"})"), "é日😀x😀日éa5");
  EXPECT_EQ(value_of("s.title() ~ s|upper", R"({"s":"straße ǆ"})"), "Straße ǅSTRASSE Ǆ");
}

TEST(Evaluator, ValueArithmetic) {
  EXPECT_EQ(value_of("[7 // -2, -7 % 3, 7 / 2, 2 ** 10, -2 ** 2, 2 ** -1]"),
            "[-4, 2, 3.5, 1024, 4, 0.5]");
  EXPECT_THAT(value_of("1 + 2 ~ 3 * 2"),  // ~ binds tighter than +
              HasSubstr("t.jinja:1: no + between a int object and a str object"));
  EXPECT_EQ(value_of("1 < 2 < 3 and not 3 in [1, 2]"), "True");
}

TEST(Evaluator, ValueToJson) {
  const std::string variables = R"({"d":{"b":[1,2.0,null,true],"a":"<é\"\n\u0001>"}})";
  EXPECT_EQ(value_of("d|tojson", variables),
            "{\"b\": [1, 2.0, null, true], \"a\": \"<é\\\"\\n\\u0001>\"}");
  EXPECT_EQ(value_of("d|tojson(indent=2, sort_keys=true, ensure_ascii=true)", variables),
            "{\n  \"a\": \"<\\u00e9\\\"\\n\\u0001>\",\n  \"b\": [\n    1,\n    2.0,\n    null,\n   "
            " true\n  ]\n}");
  EXPECT_EQ(value_of("d|tojson(separators=(',', ':'))", R"({"d":{"a":[1,2]}})"), "{\"a\":[1,2]}");
}

TEST(Evaluator, ValueLoopsAndScopes) {
  EXPECT_EQ(render("{% for x in [3, 1, 2] if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }}"
                   "{{ ',' if not loop.last }}{% endfor %}"),
            "1/2:3,2/2:2");
  EXPECT_EQ(render("{% set x = 0 %}{% for i in range(3) %}{% set x = x + i %}{% endfor %}{{ x }}"),
            "0");
  EXPECT_EQ(render("{% set n = namespace(x=0) %}{% for i in range(3) %}{% set n.x = n.x + i %}"
                   "{% endfor %}{{ n.x }}"),
            "3");
  EXPECT_EQ(
      render("{% for x in [] %}a{% else %}b{% endfor %}"
             "{% for x in [1, 2, 3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}"),
      "b13");
  EXPECT_EQ(
      render("{% macro m(a, b='B') %}{{ a }}{{ b }}{{ kwargs }}{% endmacro %}{{ m(1, c=2) }}"),
      "1B{'c': 2}");
  EXPECT_EQ(render("{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}"), "1");
}

TEST(Evaluator, ValueGeneratorsAreTrueAndReadOnce) {
  EXPECT_EQ(value_of("'y' if [1]|select('gt', 5) else 'n'"), "y");
  EXPECT_EQ(render("{% set g = [1, 2]|map('string') %}{{ g|list }}{{ g|list }}"), "['1', '2'][]");
  EXPECT_THAT(value_of("([1]|select)|length"), HasSubstr("has no length"));
}

TEST(Evaluator, ValueReasoningUnderBothNames) {
  const std::string talk = R"([{"role":"assistant","reasoning":"r","content":""}])";
  EXPECT_EQ(render("{{ messages[0].thinking }}{{ messages[0].reasoning_content }}", talk), "rr");
}

TEST(Evaluator, ValueClock) { EXPECT_EQ(value_of("strftime_now('%Y %f%z')"), "1971 000000"); }

TEST(Evaluator, InvariantOneTemplateManyThreads) {
  const ChatTemplate shared("{% for m in messages %}{{ m.role|upper ~ 'x' }}{% endfor %}");
  std::vector<std::string> out(4);
  std::vector<std::thread> threads;
  for (auto& text : out)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) text = shared.render(kTalk);
    });
  for (auto& thread : threads) thread.join();
  for (const auto& text : out) EXPECT_EQ(text, "SYSTEMxUSERxASSISTANTx");
}

TEST(Evaluator, RejectsByTheTemplateWithItsMessage) {
  EXPECT_EQ(render("{% for m in messages %}\n{{ raise_exception('roles must \"alternate\"') }}\n{% "
                   "endfor %}",
                   kTalk),
            "! [chat_template] t.jinja:2: the template refuses the conversation: "
            "roles must \\\"alternate\\\". Correct the conversation or the template, or name a "
            "built-in one by chat_format.");
}

TEST(Evaluator, RejectsWithTheLine) {
  EXPECT_THAT(render("a\n{{ b\n + missing }}"), HasSubstr("t.jinja:3: \"b\" is undefined"));
  EXPECT_THAT(render("\n\n{{ 'x'.nope() }}"),
              HasSubstr("t.jinja:3: a str object has no attribute \"nope\""));
  EXPECT_THAT(render("{% macro m() %}\n{{ 1 / 0 }}{% endmacro %}\n\n{{ m() }}"),
              HasSubstr("t.jinja:2: division by zero"));
  EXPECT_THAT(render("{% if true %}\n{{ x|nope }}\n{% endif %}"),
              HasSubstr("t.jinja:2: no filter of the name \"nope\""));
}

TEST(Evaluator, RejectsSyntax) {
  EXPECT_THAT(render("a\n{{ 1 + }}"), HasSubstr("t.jinja:2: a value is expected, not }}"));
  EXPECT_THAT(render("{% if true %}\n"), HasSubstr("{% endif %} is still missing"));
  EXPECT_THAT(render("{% include 'x' %}"), HasSubstr("{% include %} is not supported"));
  EXPECT_THAT(render("{% endfor %}"), HasSubstr("misplaced tag, \"endfor\""));
  EXPECT_THAT(render("\n{{ 'abc }}"), HasSubstr("t.jinja:2: a string without its closing quote"));
  EXPECT_THAT(render("{{ [1, 2) }}"), HasSubstr("an unexpected )"));
  EXPECT_THAT(render("{% break %}"), HasSubstr("outside of a loop"));
  EXPECT_THAT(render("\xff"), HasSubstr("byte 0 is not UTF-8"));
}

TEST(Evaluator, RejectsChangesOfValues) {
  for (const char* call : {"[].append(1)", "{}.update({})", "{}.pop('a')", "[].sort()"})
    EXPECT_THAT(value_of(call), HasSubstr("it changes the object")) << call;
  EXPECT_EQ(value_of("[].append is defined"), "False");
  EXPECT_EQ(value_of("''.__class__ is defined"), "False");
  EXPECT_THAT(render("{% set n = namespace() %}{% set n._x = 1 %}"), HasSubstr("underscore"));
}

TEST(Evaluator, RejectsBadInput) {
  EXPECT_THAT(render("", "{}"), HasSubstr("a list of messages is required"));
  EXPECT_THAT(render("", "[1]"), HasSubstr("messages/0: a message is an object"));
  EXPECT_THAT(render("", "[{\"a\":1,\n\"a\":2}]"),
              HasSubstr("messages:2:1: the key \"a\" stands twice"));
  EXPECT_THAT(render("", "[{\"a\":18446744073709551615}]"), HasSubstr("beyond 64 bits"));
  EXPECT_THAT(render("", "[", ""), HasSubstr("messages:1:"));
  EXPECT_THAT(render("", "[]", "[]"), HasSubstr("variables: an object is required"));
  EXPECT_THAT(render("", "[]", "{\"messages\":[]}"), HasSubstr("messages come apart"));
}

}  // namespace
}  // namespace pref::testing
