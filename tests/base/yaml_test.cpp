// SPDX-License-Identifier: Apache-2.0
// YAML run files: what is read, at which place, and everything that is refused.
#include "libpref/base/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/base/random.h"

namespace pref {
namespace {

using testing::HasSubstr;

/// "name=text@line:column;" of each setting.
std::string read_back(std::string_view text) {
  std::string out;
  for (const Setting& s : parse_yaml_settings(text, "t.yaml"))
    out += s.name + "=" + s.text + "@" + s.source.place.substr(7) + ";";
  return out;
}

std::string error_of(std::string_view text) {
  try {
    parse_yaml_settings(text, "t.yaml");
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(ErrorKind::option));
    return error.what();
  }
  return "no error";
}

TEST(Yaml, ValueScalarsAndPlaces) {
  EXPECT_EQ(read_back("beta: 0.1\n# comment\nmodel: /a/b c  # after\n  \nsteps: 010\n"),
            "beta=0.1@1:1;model=/a/b c@3:1;steps=010@5:1;");
  EXPECT_EQ(read_back("{a: 1, b: x}"), "a=1@1:2;b=x@1:8;");
  EXPECT_EQ(read_back("yes: no\non: True\n"), "yes=no@1:1;on=True@2:1;");  // words stay words
  EXPECT_EQ(read_back("a: \"x: y\"\nb: 'it''s'\nc: \"\"\n"), "a=x: y@1:1;b=it's@2:1;c=@3:1;");
  EXPECT_EQ(read_back("a: |\n  one\n  two\nb: >\n  one\n  two\n"),
            "a=\"one\\ntwo\\n\"@1:1;b=\"one two\\n\"@4:1;");
  EXPECT_EQ(read_back(""), "");
  EXPECT_EQ(read_back("# nothing\n"), "");
  EXPECT_EQ(read_back("---\na: 1\n...\n"), "a=1@2:1;");
}

TEST(Yaml, ValueNullsAndQuotedNulls) {
  EXPECT_EQ(read_back("a: null\nb: ~\nc:\nd: none\n"),
            "a=null@1:1;b=null@2:1;c=null@3:1;d=none@4:1;");
  EXPECT_EQ(read_back("a: \"null\"\nb: 'none'\nc: '\"x\"'\n"),
            "a=\"null\"@1:1;b=\"none\"@2:1;c=\"\\\"x\\\"\"@3:1;");
}

TEST(Yaml, ValueLists) {
  EXPECT_EQ(read_back("a: [x, y z, 'p, q', \"\"]\nb:\n  - 1\n  - two, three\nc: []\n"),
            "a=[x, y z, \"p, q\", \"\"]@1:1;b=[1, \"two, three\"]@2:1;c=[]@5:1;");
}

struct Strings {
  std::string text;
  std::optional<std::string> maybe;
  std::vector<std::string> list;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("text", self.text, any(), "");
    visit("maybe", self.maybe, any(), "");
    visit("list", self.list, any(), "");
  }
};

TEST(Yaml, RoundTripOfQuotedTexts) {
  // A YAML writer's double quotes around any text give that text back, whatever it looks like.
  constexpr uint64_t kSeed = 77;
  RandomStream random(kSeed, "yaml texts");
  const std::string pieces[] = {"a",    " ", ",", "[",  "]",    "'", "\\\"", "\\\\", "\\n",
                                "null", "~", "é", ": ", "none", "#", "{",    "\\t"};
  const std::string values[] = {"a",    " ", ",", "[",  "]",    "'", "\"", "\\", "\n",
                                "null", "~", "é", ": ", "none", "#", "{",  "\t"};
  for (int round = 0; round < 1000; ++round) {
    std::string written, wanted;
    for (uint64_t n = random.below(5); n > 0; --n) {
      const uint64_t k = random.below(std::size(pieces));
      written += pieces[k];
      wanted += values[k];
    }
    Strings options;
    apply_settings(options, parse_yaml_settings("text: \"" + written + "\"\nmaybe: \"" + written +
                                                    "\"\nlist: [\"" + written + "\", x]\n",
                                                "t.yaml"));
    EXPECT_EQ(options.text, wanted);
    EXPECT_EQ(options.maybe, wanted);
    EXPECT_EQ(options.list, (std::vector<std::string>{wanted, "x"}));
    ASSERT_FALSE(HasFailure()) << "round " << round << " of seed " << kSeed;
  }
}

TEST(Yaml, RejectsByPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"a: 1\nb: 2\na: 3\n",
       "[config] t.yaml:3:1: option \"a\" is given twice; the first is at t.yaml:1:1."},
      {"a: &x 1\nb: *x\n", "t.yaml:1:4: anchors"},
      {"a: *x\n", "t.yaml:1:4: "},
      {"a: !!int 1\n", "t.yaml:1:4: tags are not allowed, got \"tag:yaml.org,2002:int\""},
      {"a: !mine [1]\n", "t.yaml:1:4: tags"},
      {"!mine {a: 1}\n", "t.yaml:1:1: tags"},
      {"optimizer:\n  lr: 1\n",
       "t.yaml:2:3: option \"optimizer\" must be a value or a list, got a nested mapping"},
      {"a: [1, {b: 2}]\n", "t.yaml:1:8: option \"a\" must be a flat list, got a mapping in it"},
      {"a: [1, [2]]\n", "t.yaml:1:8: option \"a\" must be a flat list"},
      {"- a\n- b\n", "t.yaml:1:1: lines of the form \"option: value\" are required, got a list"},
      {"just words\n", "got \"just words\""},
      {"a: 1\n---\nb: 2\n", "t.yaml:2:1: one YAML document is required"},
      {"? [a]\n: 1\n", "t.yaml:1:3: an option name is required, got a list"},
      {"? {a: 1}\n: 1\n", "an option name is required, got a mapping"},
      {"~: 1\n", "an option name is required before"},
      {"b: 1\na: [1, 2\n", "t.yaml:2:1: not readable as YAML: end of sequence flow not found"},
      {"a: \"x\n", "not readable as YAML: illegal EOF in scalar"},
      {"c: 1\na: \"x\nb: 2\n", "t.yaml:2:1: not readable as YAML: illegal EOF in scalar"},
      {"a: 'x\nb: 2", "not readable as YAML: illegal EOF in scalar"},
      {"a: 1\nb\n", "not readable as YAML"},
      {"a: 1\nb", "not readable as YAML"},
      {"a: b: c\n", "t.yaml:1:5: not readable as YAML"},
      {"a: 1\n\tb: 2\n", "not readable as YAML"},
      {"ab: \xff\n", "t.yaml:1:5: must be UTF-8 text, byte 4 is not"},
  };
  for (const auto& [text, expected] : cases)
    EXPECT_THAT(error_of(text), HasSubstr(expected)) << text;
  EXPECT_THAT(error_of(std::string_view("a: 1\nb\0c: 2", 11)),
              HasSubstr("t.yaml:2:2: must be UTF-8 text, byte 6 is a NUL"));
}

TEST(Yaml, RejectsDeepNestingAndSize) {
  EXPECT_THAT(error_of("a: " + std::string(100000, '[')), HasSubstr("t.yaml:1:"));
  EXPECT_THAT(error_of(std::string(100000, '[')), HasSubstr("t.yaml:1:"));
  EXPECT_THAT(error_of(std::string(100000, '{')), HasSubstr("t.yaml:1:"));
  std::string indented = "a:\n";
  for (int depth = 1; depth < 40; ++depth)
    indented += std::string(static_cast<size_t>(depth), ' ') + "b:\n";
  EXPECT_THAT(error_of(indented), HasSubstr("nested mapping"));
  EXPECT_EQ(read_back("a: " + std::string(999000, 'x')).size(), 999000u + 7);
  EXPECT_THAT(error_of("a: " + std::string(1000000, 'x')),
              HasSubstr("t.yaml: must have at most 1000000 bytes, has 1000003"));
}

TEST(Yaml, RejectsOrReadsAnyBytes) {
  constexpr uint64_t kSeed = 4242;
  RandomStream random(kSeed, "yaml bytes");
  const std::string start =
      "a: [1, \"x\", 'y']\nb: |\n  t\n  u\n? c\n: {}\n--- &x *y !z\nd: 1 # e\n";
  int read = 0, refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = start.substr(random.below(8) * 2, 1 + random.below(start.size()));
    for (uint64_t n = random.below(6); n > 0 && !text.empty(); --n) {
      const char byte = random.bernoulli(0.5) ? start[random.below(start.size())]
                                              : static_cast<char>(random.next_u32());
      text[random.below(text.size())] = byte;
    }
    try {
      parse_yaml_settings(text, "t.yaml");
      ++read;
    } catch (const Error& error) {
      EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(ErrorKind::option))
          << "round " << round << " of seed " << kSeed;
      ++refused;
    }
  }
  EXPECT_GT(read, 20);
  EXPECT_GT(refused, 20);
}

TEST(Yaml, ReadsFiles) {
  std::string pattern = testing::TempDir() + "pref_yaml_XXXXXX";
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const std::string path = join_path(pattern, "run.yaml");
  posix_file_system().create(path)->write("beta: 1\n");
  const auto settings = read_yaml_settings(path);
  ASSERT_EQ(settings.size(), 1u);
  EXPECT_EQ(settings[0].source.place, path + ":1:1");
  posix_file_system().append(path)->write(std::string(1000000, '#'));
  EXPECT_THROW(read_yaml_settings(path), Error);
  try {
    read_yaml_settings(join_path(pattern, "none.yaml"));
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(ErrorKind::missing_input));
  }
  EXPECT_EQ(::unlink(path.c_str()), 0);
  EXPECT_EQ(::rmdir(pattern.c_str()), 0);
}

TEST(SettingArgument, Value) {
  const Setting setting = parse_setting_argument("beta=a=b");
  EXPECT_EQ(setting.name, "beta");
  EXPECT_EQ(setting.text, "a=b");
  EXPECT_EQ(setting.source.place, "command line");
  EXPECT_EQ(parse_setting_argument("x=").text, "");
}

TEST(SettingArgument, RejectsOtherForms) {
  for (const char* argument : {"", "beta", "=1", " =1"}) {
    try {
      parse_setting_argument(argument);
      ADD_FAILURE() << argument;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("[config] command line: name=value is required, got \""));
    }
  }
}

}  // namespace
}  // namespace pref
