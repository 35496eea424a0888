// SPDX-License-Identifier: Apache-2.0
// Options: exact types, ranges, error texts, splicing, round trips through their own text.
#include "libpref/base/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "libpref/base/error.h"
#include "libpref/base/random.h"

namespace recipes {  // not pref: enum_names is found by argument-dependent lookup

enum class Link { sigmoid, hinge, none };
constexpr std::array<pref::EnumName<Link>, 3> enum_names(Link) {
  return {{{Link::sigmoid, "sigmoid"}, {Link::hinge, "hinge"}, {Link::none, "none"}}};
}

struct Inner {
  double beta = 0.1;
  Link link = Link::sigmoid;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, pref::above(0), "inverse temperature");
    visit("link", self.link, pref::any(), "loss of the margin");
  }
};

struct Outer {
  Inner inner;
  bool shuffle = true;
  int64_t steps = 100;
  double warmup = 0;
  std::string folder = "out";
  std::vector<std::string> files;
  std::vector<double> betas = {0.9, 0.95};
  std::optional<int64_t> max_rows;
  std::optional<double> clip = 1.0;
  std::optional<bool> compile;
  std::optional<std::string> template_text;
  std::optional<Link> other_link;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("shuffle", self.shuffle, pref::any(), "draw a new order each epoch");
    Inner::fields(self.inner, visit);
    visit("steps", self.steps, pref::at_least(1), "optimizer steps");
    visit("warmup", self.warmup, pref::half_open(0, 1), "fraction of the steps");
    visit("folder", self.folder, pref::any(), "output");
    visit("files", self.files, pref::any(), "inputs");
    visit("betas", self.betas, pref::half_open(0, 1), "moment decay");
    visit("max_rows", self.max_rows, pref::between(1, 10), "stop early");
    visit("clip", self.clip, pref::above(0), "gradient norm");
    visit("compile", self.compile, pref::any(), "true, false or by device");
    visit("template", self.template_text, pref::any(), "chat template");
    visit("other_link", self.other_link, pref::any(), "");
  }
};

}  // namespace recipes

namespace pref {
namespace {

using recipes::Inner;
using recipes::Link;
using recipes::Outer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <class Run>
std::string error_of(Run run, ErrorKind kind = ErrorKind::option) {
  try {
    run();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind));
    return error.what();
  }
  return "no error";
}

std::string set_error(std::string_view name, std::string_view text) {
  Outer options;
  return error_of([&] { set_option(options, name, text, {"train.yaml:12:1"}); });
}

Outer with(std::string_view name, std::string_view text) {
  Outer options;
  EXPECT_TRUE(set_option(options, name, text, {"command line"}));
  return options;
}

TEST(Options, ValueSetsEachType) {
  EXPECT_EQ(with("beta", "5e-7").inner.beta, 5e-7);
  EXPECT_EQ(with("beta", " +2 ").inner.beta, 2.0);
  EXPECT_EQ(with("steps", "7").steps, 7);
  EXPECT_EQ(with("folder", "a b").folder, "a b");
  EXPECT_EQ(with("folder", "").folder, "");
  EXPECT_EQ(with("folder", "none").folder, "none");
  EXPECT_EQ(with("folder", "\"null\"").folder, "null");
  EXPECT_EQ(with("folder", "'it''s'").folder, "it's");
  EXPECT_EQ(with("link", "hinge").inner.link, Link::hinge);
  EXPECT_THAT(with("files", "[a.jsonl, \"b, c.jsonl\", 'd']").files,
              ElementsAre("a.jsonl", "b, c.jsonl", "d"));
  EXPECT_THAT(with("files", "a.jsonl,b.jsonl").files, ElementsAre("a.jsonl", "b.jsonl"));
  EXPECT_THAT(with("files", "one").files, ElementsAre("one"));
  EXPECT_THAT(with("betas", "[]").betas, IsEmpty());
  EXPECT_THAT(with("betas", "0.8, 0.99").betas, ElementsAre(0.8, 0.99));
  for (const char* word : {"false", "False", "FALSE", "no", "No", "0"})
    EXPECT_FALSE(with("shuffle", word).shuffle) << word;
  for (const char* word : {"true", "True", "yes", "YES", "1"}) {
    Outer options;
    options.shuffle = false;
    set_option(options, "shuffle", word, {"command line"});
    EXPECT_TRUE(options.shuffle) << word;
  }
}

TEST(Options, ValueOptionalsAreEmptyOrSet) {
  for (const char* word : {"null", "None", "~", "NULL"})
    EXPECT_FALSE(with("clip", word).clip.has_value()) << word;
  EXPECT_EQ(with("clip", "0.5").clip, 0.5);
  EXPECT_EQ(with("max_rows", "3").max_rows, 3);
  EXPECT_EQ(with("compile", "no").compile, false);
  EXPECT_EQ(with("template", "chatml").template_text, "chatml");
  EXPECT_EQ(with("template", "\"none\"").template_text, "none");
  EXPECT_EQ(with("other_link", "hinge").other_link, Link::hinge);
  // A choice called none is that choice; null is no choice.
  EXPECT_EQ(with("other_link", "none").other_link, Link::none);
  Outer options;
  options.other_link = Link::hinge;
  set_option(options, "other_link", "null", {"command line"});
  EXPECT_FALSE(options.other_link.has_value());
}

TEST(Options, RejectsTextsOfAnotherType) {
  EXPECT_EQ(set_error("steps", "1e3"),
            "[config] train.yaml:12:1: option \"steps\" must be an integer, got \"1e3\"");
  EXPECT_EQ(set_error("beta", "abc"),
            "[config] train.yaml:12:1: option \"beta\" must be a finite number, got \"abc\"");
  EXPECT_EQ(set_error("shuffle", "on"),
            "[config] train.yaml:12:1: option \"shuffle\" must be true or false, got \"on\"");
  EXPECT_EQ(set_error("link", "hing"),
            "[config] train.yaml:12:1: option \"link\" must be one of sigmoid, hinge, none, got "
            "\"hing\"");
  EXPECT_THAT(set_error("other_link", "x"), HasSubstr("one of sigmoid, hinge, none, or null"));
  for (const char* text :
       {"", "1 2", "0x10", "1.0.0", "nan", "inf", ".inf", "-inf", "1e999", "+-1", "--1", "1,5"})
    EXPECT_THAT(set_error("beta", text), HasSubstr("must be a finite number")) << text;
  for (const char* text : {"", "1.0", "9223372036854775808", "0x10", "1_000", "true", "null"})
    EXPECT_THAT(set_error("steps", text), HasSubstr("must be an integer")) << text;
  for (const char* text : {"[a", "[a, [b]]", "[a, , b]", "a,", "[\"a]", "[\"a\"b]", "[a, null]"})
    EXPECT_THAT(set_error("files", text), HasSubstr("must be a list of texts")) << text;
  for (const char* text : {"null", "~", "Null"})
    EXPECT_THAT(set_error("folder", text), HasSubstr("must be a text")) << text;
}

TEST(Options, RejectsValuesOutOfRange) {
  Outer options;
  EXPECT_EQ(error_of([&] { set_option(options, "beta", "-1", {"command line"}); }),
            "[config] command line: option \"beta\" must be above 0, got -1");
  EXPECT_EQ(options.inner.beta, 0.1);  // unchanged
  EXPECT_THAT(set_error("beta", "0"), HasSubstr("above 0"));
  EXPECT_THAT(set_error("steps", "0"), HasSubstr("must be at least 1, got 0"));
  EXPECT_THAT(set_error("warmup", "1"), HasSubstr("must be at least 0 and below 1, got 1"));
  EXPECT_THAT(set_error("max_rows", "11"), HasSubstr("must be between 1 and 10, got 11"));
  EXPECT_THAT(set_error("betas", "[0.9, 1]"), HasSubstr("below 1, got [0.9, 1]"));
  EXPECT_EQ(with("max_rows", "10").max_rows, 10);
  EXPECT_EQ(with("warmup", "0").warmup, 0.0);
}

TEST(Options, RejectsUnknownNames) {
  EXPECT_EQ(set_error("betta", "1"),
            "[config] train.yaml:12:1: unknown option \"betta\"; did you mean \"beta\"?");
  EXPECT_THAT(set_error("optimizer", "1"),
              HasSubstr("unknown option \"optimizer\"; the options are shuffle, beta, link"));
  Outer options;
  EXPECT_FALSE(set_option(options, "betta", "1", {"command line"}, false));
  EXPECT_TRUE(set_option(options, "beta", "1", {"command line"}, false));
}

TEST(Options, RejectsValuesSetInCode) {
  Outer options;
  EXPECT_NO_THROW(check_options(options, "dpo"));
  options.inner.beta = -1;
  EXPECT_EQ(error_of([&] { check_options(options, "dpo"); }),
            "[dpo] option \"beta\" must be above 0, got -1");
  options.inner.beta = std::nan("");
  EXPECT_THAT(error_of([&] { check_options(options, "dpo"); }),
              HasSubstr("\"beta\" must be a finite number, got nan"));
  options = {};
  options.clip = INFINITY;
  EXPECT_THAT(error_of([&] { check_options(options, "dpo"); }),
              HasSubstr("\"clip\" must be a finite number"));
  options = {};
  options.inner.link = static_cast<Link>(9);
  EXPECT_THAT(error_of([&] { check_options(options, "dpo"); }),
              HasSubstr("\"link\" must be one of sigmoid"));
  options = {};
  options.betas = {0.5, -1};
  EXPECT_THAT(error_of([&] { check_options(options, "dpo"); }), HasSubstr("\"betas\""));
}

TEST(Options, RejectsTwoDeclarationsOfOneName) {
  struct Twice {
    Inner inner;
    double beta = 1;
    static void fields(Twice& self, option_detail::Collector& visit) {
      Inner::fields(self.inner, visit);
      visit("beta", self.beta, any(), "");
    }
  };
  Twice options;
  EXPECT_THAT(error_of([&] { set_option(options, "beta", "1", {"x"}); }, ErrorKind::internal),
              HasSubstr("\"beta\" twice"));
}

TEST(Options, ValueDescribesInOrderOfDeclaration) {
  const Outer options;
  const auto texts = describe_options(options);
  EXPECT_THAT(option_names<Outer>(),
              ElementsAre("shuffle", "beta", "link", "steps", "warmup", "folder", "files", "betas",
                          "max_rows", "clip", "compile", "template", "other_link"));
  ASSERT_EQ(texts.size(), 13u);
  EXPECT_EQ(texts[1].name, "beta");
  EXPECT_EQ(texts[1].value, "0.1");
  EXPECT_EQ(texts[1].type, "number");
  EXPECT_EQ(texts[1].range, "above 0");
  EXPECT_EQ(texts[1].help, "inverse temperature");
  EXPECT_EQ(texts[2].type, "choice");
  EXPECT_EQ(texts[2].range, "one of sigmoid, hinge, none");
  EXPECT_EQ(texts[7].value, "[0.9, 0.95]");
  EXPECT_EQ(texts[8].value, "null");
  EXPECT_EQ(texts[8].type, "integer or null");
  EXPECT_TRUE(known_option<Outer>("link"));
  EXPECT_FALSE(known_option<Outer>("Link"));
}

TEST(Options, RoundTripThroughDescribedTexts) {
  constexpr uint64_t kSeed = 20240601;
  RandomStream random(kSeed, "options round trip");
  const std::string alphabet[] = {"a",    " ",    ",", "[", "]", "\"",   "'", "\\", "\n",
                                  "\x01", "null", "~", "é", ":", "none", "{", "\t"};
  const auto word = [&] {
    std::string out;
    for (uint64_t n = random.below(5); n > 0; --n)
      out += alphabet[random.below(std::size(alphabet))];
    return out;
  };
  for (int round = 0; round < 2000; ++round) {
    Outer options;
    options.shuffle = random.bernoulli(0.5);
    options.inner.beta = std::exp(20 * random.normal());
    options.inner.link = static_cast<Link>(random.below(3));
    options.steps = 1 + static_cast<int64_t>(random.next_u64() >> 2 >> random.below(60));
    options.folder = word();
    for (uint64_t n = random.below(4); n > 0; --n) options.files.push_back(word());
    options.betas = {random.uniform(), random.uniform()};
    if (random.bernoulli(0.5)) options.max_rows = 1 + static_cast<int64_t>(random.below(10));
    if (random.bernoulli(0.5)) options.clip.reset();
    if (random.bernoulli(0.5)) options.compile = random.bernoulli(0.5);
    if (random.bernoulli(0.5)) options.template_text = word();
    if (random.bernoulli(0.5)) options.other_link = static_cast<Link>(random.below(3));
    Outer back;
    for (const OptionText& text : describe_options(options))
      set_option(back, text.name, text.value, {"seed 20240601"});
    EXPECT_EQ(back.shuffle, options.shuffle);
    EXPECT_EQ(back.inner.beta, options.inner.beta);
    EXPECT_EQ(back.inner.link, options.inner.link);
    EXPECT_EQ(back.steps, options.steps);
    EXPECT_EQ(back.folder, options.folder);
    EXPECT_EQ(back.files, options.files);
    EXPECT_EQ(back.betas, options.betas);
    EXPECT_EQ(back.max_rows, options.max_rows);
    EXPECT_EQ(back.clip, options.clip);
    EXPECT_EQ(back.compile, options.compile);
    EXPECT_EQ(back.template_text, options.template_text);
    EXPECT_EQ(back.other_link, options.other_link);
    ASSERT_FALSE(HasFailure()) << "round " << round << " of seed " << kSeed;
  }
}

TEST(Settings, ValueLaterSourcesOverride) {
  Outer options;
  apply_settings(options, {{"beta", "0.5", {"train.yaml:1:1"}},
                           {"steps", "5", {"train.yaml:2:1"}},
                           {"beta", "0.7", {"command line"}}});
  EXPECT_EQ(options.inner.beta, 0.7);
  EXPECT_EQ(options.steps, 5);
  apply_settings(options, {{"beta", "0.5", {"a.yaml:1:1"}}, {"beta", "0.6", {"b.yaml:1:1"}}});
  EXPECT_EQ(options.inner.beta, 0.6);
}

TEST(Settings, RejectsANameGivenTwiceInOneSource) {
  Outer options;
  EXPECT_EQ(error_of([&] {
              apply_settings(options, {{"beta", "0.5", {"train.yaml:1:1"}},
                                       {"beta", "0.6", {"train.yaml:30:2"}}});
            }),
            "[config] train.yaml:30:2: option \"beta\" is given twice; the first is at "
            "train.yaml:1:1. Keep one of them.");
  EXPECT_THAT(error_of([&] {
                apply_settings(options, {{"beta", "0.5", {"command line"}},
                                         {"beta", "0.6", {"command line"}}});
              }),
              HasSubstr("given twice"));
}

TEST(Settings, RejectsAsAWhole) {
  Outer options;
  EXPECT_THAT(
      error_of([&] {
        apply_settings(options, {{"beta", "0.5", {"t.yaml:1:1"}}, {"steps", "x", {"t.yaml:2:1"}}});
      }),
      HasSubstr("t.yaml:2:1: option \"steps\""));
  EXPECT_EQ(options.inner.beta, 0.1);
}

TEST(NearestName, Value) {
  const std::vector<std::string> names = {"beta", "label_smoothing", "learning_rate", "steps"};
  EXPECT_EQ(nearest_name("betta", names), "beta");
  EXPECT_EQ(nearest_name("beat", names),
            "beta");  // one transposition; two substitutions would be too far
  EXPECT_EQ(nearest_name("label_smothing", names), "label_smoothing");
  EXPECT_EQ(nearest_name("Learning-Rate", names), "learning_rate");
  EXPECT_EQ(nearest_name("dataset", names), "");
  EXPECT_EQ(nearest_name("x", {"y"}), "");  // nothing in common
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("step", {"stop", "steps"}), "stop");  // equally near: the first
}

TEST(RangeText, Value) {
  EXPECT_EQ(range_text(any()), "");
  EXPECT_EQ(range_text(above(0)), "above 0");
  EXPECT_EQ(range_text(at_least(1)), "at least 1");
  EXPECT_EQ(range_text(between(0, 0.5)), "between 0 and 0.5");
  EXPECT_EQ(range_text(half_open(0, 1)), "at least 0 and below 1");
  EXPECT_EQ(range_text({.high = 2}), "at most 2");
}

}  // namespace
}  // namespace pref
