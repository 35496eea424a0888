// SPDX-License-Identifier: Apache-2.0
// The parts of tokenizers by hand: merging and its growth with the length of a word, Viterbi paths,
// splitting, patterns, added tokens, tries.
#include <gmock/gmock.h>

#include <map>
#include <random>

#include "libpref/data/tokenizers/added_token_finder.h"
#include "libpref/data/tokenizers/bpe.h"
#include "libpref/data/tokenizers/byte_level.h"
#include "libpref/data/tokenizers/byte_trie.h"
#include "libpref/data/tokenizers/decoder.h"
#include "libpref/data/tokenizers/normalizer.h"
#include "libpref/data/tokenizers/pre_tokenizer.h"
#include "libpref/data/tokenizers/unigram.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;
using Texts = std::vector<std::string>;

Vocabulary vocabulary_of(const Texts& tokens) {
  Vocabulary out;
  for (const std::string& token : tokens) out.add(token, out.end_id());
  return out;
}

Bpe bpe_of(const Texts& tokens, const std::vector<std::pair<std::string, std::string>>& merges,
           BpeOptions options) {
  Vocabulary vocabulary = vocabulary_of(tokens);
  MergeTable table;
  uint32_t rank = 0;
  for (const auto& [left, right] : merges)
    table.set(vocabulary.find(left), vocabulary.find(right),
              {rank++, vocabulary.find(left + right)});
  return Bpe(std::move(vocabulary), std::move(table), options);
}

Ids encode(const TokenModel& model, std::string_view text) {
  ModelScratch scratch;
  Ids out;
  model.encode(text, scratch, out);
  return out;
}

TEST(Bpe, ValueOfMerges) {
  // Rank 0 "bc", rank 1 "ab", rank 2 "abc": "abc" is a + bc, for bc goes first and nothing joins a.
  const Bpe bpe = bpe_of({"a", "b", "c", "bc", "ab", "abc"}, {{"b", "c"}, {"a", "b"}, {"ab", "c"}},
                         {.byte_level = true});
  EXPECT_THAT(encode(bpe, "abc"), ElementsAre(0, 3));
  EXPECT_THAT(encode(bpe, "aab"), ElementsAre(0, 4));
  EXPECT_THAT(encode(bpe, "ababc"), ElementsAre(4, 0, 3));
  const Bpe whole =
      bpe_of({"a", "b", "c", "bc", "ab", "abc"}, {{"b", "c"}, {"a", "b"}, {"ab", "c"}},
             {.byte_level = true, .ignore_merges = true});
  EXPECT_THAT(encode(whole, "abc"), ElementsAre(5));
  EXPECT_THAT(encode(whole, "abcabc"), ElementsAre(0, 3, 0, 3));
  // Equal ranks: the leftmost pair first.
  const Bpe twins = bpe_of({"a", "aa"}, {{"a", "a"}}, {.byte_level = true});
  EXPECT_THAT(encode(twins, "aaa"), ElementsAre(1, 0));
}

TEST(Bpe, ValueOfUnknownCharacters) {
  const Texts tokens{"<unk>", "a", "▁", "<0xC3>", "<0xA9>", "<0xE6>"};
  const auto with = [&](BpeOptions options) {
    options.unk = 0;
    return bpe_of(tokens, {}, options);
  };
  EXPECT_THAT(encode(with({}), "axya"), ElementsAre(1, 0, 0, 1));
  EXPECT_THAT(encode(with({.fuse_unk = true}), "axya"), ElementsAre(1, 0, 1));
  EXPECT_THAT(encode(with({.byte_fallback = true}), "aé"), ElementsAre(1, 3, 4));
  EXPECT_THAT(encode(with({.byte_fallback = true}), "a日"),
              ElementsAre(1, 0));  // two bytes missing
  EXPECT_TRUE(encode(bpe_of({"a"}, {}, {}), "xx").empty());
}

/// The definition, quadratic: merge the leftmost pair of the lowest rank until there is none.
Ids merge_by_definition(Ids ids, const MergeTable& merges) {
  for (;;) {
    size_t best = ids.size();
    uint32_t rank = ~0u;
    for (size_t i = 0; i + 1 < ids.size(); ++i)
      if (const auto* merge = merges.find(ids[i], ids[i + 1]); merge != nullptr)
        if (merge->rank < rank) rank = merge->rank, best = i;
    if (best == ids.size()) return ids;
    ids[best] = merges.find(ids[best], ids[best + 1])->id;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

/// A vocabulary over a, b, c, d of `count` merges.
struct RandomBpe {
  explicit RandomBpe(uint32_t seed, size_t count = 120) {
    std::mt19937 random(seed);
    for (const char* letter : {"a", "b", "c", "d"}) vocabulary.add(letter, vocabulary.end_id());
    while (vocabulary.size() < count) {
      const auto pick = [&] { return static_cast<int32_t>(random() % vocabulary.size()); };
      const int32_t left = pick(), right = pick();
      const std::string joined =
          std::string(vocabulary.text(left)) + std::string(vocabulary.text(right));
      if (joined.size() > 12 || vocabulary.find(joined) >= 0) continue;
      merges.set(left, right, {static_cast<uint32_t>(merges.size()), vocabulary.end_id()});
      vocabulary.add(joined, vocabulary.end_id());
    }
  }
  Vocabulary vocabulary;
  MergeTable merges;
};

TEST(Bpe, MatchesReferenceOfTheDefinition) {
  const uint32_t seed = 11;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (uint32_t round = 0; round < 20; ++round) {
    const RandomBpe made(seed + round);
    const Bpe bpe(made.vocabulary, made.merges, {.byte_level = true});
    for (size_t length : {1u, 2u, 5u, 27u, 28u, 29u, 30u, 64u, 200u}) {
      std::string word;
      Ids letters;
      for (size_t i = 0; i < length; ++i) {
        letters.push_back(static_cast<int32_t>(random() % 4));
        word += static_cast<char>('a' + letters.back());
      }
      EXPECT_EQ(encode(bpe, word), merge_by_definition(letters, made.merges)) << word;
    }
  }
}

TEST(Bpe, InvariantWorkPerLetter) {
  const RandomBpe made(3);
  const Bpe bpe(made.vocabulary, made.merges, {.byte_level = true});
  std::mt19937 random(4);
  std::string letters;
  for (int i = 0; i < 100000; ++i) letters += static_cast<char>('a' + random() % 4);
  for (const std::string& word : {letters, std::string(100000, 'a')}) {
    ModelScratch scratch;
    Ids out;
    bpe.encode(word, scratch, out);
    // n - 1 pairs at first, and two new ones for each of at most n - 1 merges.
    EXPECT_LT(scratch.operations, 3 * word.size());
    EXPECT_GE(scratch.operations, word.size() - 1);
    std::string back;
    for (const int32_t id : out) back += made.vocabulary.text(id);
    EXPECT_EQ(back, word);
  }
}

TEST(Bpe, InvariantWordsCutAtSpaces) {
  // "x▁y" is a token: a merge crosses the place before ▁, so nothing may be cut there.
  const Texts crossing{"x", "y", "▁", "▁y", "x▁y"};
  const Texts apart{"x", "y", "▁", "▁y", "▁▁"};
  EXPECT_FALSE(bpe_of(crossing, {{"▁", "y"}, {"x", "▁y"}}, {}).splits_at_spaces());
  const Bpe cut = bpe_of(apart, {{"▁", "y"}, {"▁", "▁"}}, {});
  EXPECT_TRUE(cut.splits_at_spaces());
  EXPECT_THAT(encode(cut, "x▁y▁▁y▁"), ElementsAre(0, 3, 2, 3, 2));
  // Neighbouring marks stay together: ▁▁ goes before ▁y where its rank is lower.
  EXPECT_THAT(encode(bpe_of(apart, {{"▁", "▁"}, {"▁", "y"}}, {}), "x▁▁y"), ElementsAre(0, 4, 1));
  EXPECT_THAT(encode(bpe_of(crossing, {{"▁", "y"}, {"x", "▁y"}}, {}), "x▁yx"), ElementsAre(4, 0));
}

TEST(Unigram, ValueOfThePath) {
  // ab + c = -3 beats a + bc = -4 and a + b + c = -6; unknown x and y fuse to one.
  const Unigram model(vocabulary_of({"<unk>", "a", "b", "c", "ab", "bc"}), {0, -2, -2, -2, -1, -2},
                      0, false);
  EXPECT_THAT(encode(model, "abc"), ElementsAre(4, 3));
  EXPECT_THAT(encode(model, "axyb"), ElementsAre(1, 0, 2));
  // Of equal paths the one found first stays: ab is offered before a + b reaches the same place.
  const Unigram tie(vocabulary_of({"<unk>", "a", "b", "ab"}), {0, -1, -1, -2}, 0, false);
  EXPECT_THAT(encode(tie, "ab"), ElementsAre(3));
  // An unknown character costs ten more than the worst token: xy = -15 beats <unk> + y = -24.5.
  const Unigram worst(vocabulary_of({"<unk>", "xy", "y"}), {0, -15, 0.5}, 0, false);
  EXPECT_THAT(encode(worst, "xy"), ElementsAre(1));
  const Unigram bytes(vocabulary_of({"<unk>", "a", "<0x78>"}), {0, -1, -9}, 0, true);
  EXPECT_THAT(encode(bytes, "ax"), ElementsAre(1, 2));
  EXPECT_THAT(encode(bytes, "ay"), ElementsAre(1, 0));
  const Unigram strict(vocabulary_of({"a"}), {-1}, std::nullopt, false);
  EXPECT_THAT(error_of([&] { encode(strict, "ab"); }), HasSubstr("has no unknown token"));
}

TEST(Unigram, InvariantWorkPerLetter) {
  const Unigram model(vocabulary_of({"<unk>", "a", "aa", "aaa"}), {0, -1, -1.5, -2}, 0, false);
  ModelScratch scratch;
  Ids out;
  model.encode(std::string(100000, 'a'), scratch, out);
  EXPECT_LE(scratch.operations, 300000u);
}

TEST(ByteTrie, MatchesReferenceOfAMap) {
  const uint32_t seed = 5;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::map<std::string, int32_t> keys;
  while (keys.size() < 3000) {
    std::string key;
    for (uint32_t n = 1 + random() % 6; n > 0; --n)
      key += static_cast<char>(random() % (random() % 4 == 0 ? 256 : 5));
    keys.emplace(key, static_cast<int32_t>(keys.size()));
  }
  const ByteTrie trie({keys.begin(), keys.end()});
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (int n = 0; n < 8; ++n) text += static_cast<char>(random() % 6);
    std::vector<std::pair<size_t, int32_t>> found, expected;
    trie.prefixes(text, 1, [&](size_t length, int32_t id) { found.emplace_back(length, id); });
    for (size_t length = 1; length < text.size(); ++length)
      if (const auto key = keys.find(text.substr(1, length)); key != keys.end())
        expected.emplace_back(length, key->second);
    EXPECT_EQ(found, expected);
  }
}

Texts pieces(std::vector<PreTokenizerStep> steps, std::string_view text, bool prefix = true) {
  const PreTokenizer pre(std::move(steps));
  PreTokenizerScratch scratch;
  Texts out;
  pre.run(text, true, prefix, scratch, [&](std::string_view piece) { out.emplace_back(piece); });
  return out;
}

PreTokenizerStep split(const char* pattern, SplitBehavior behavior = SplitBehavior::isolated,
                       bool invert = false) {
  return {.behavior = behavior,
          .invert = invert,
          .regex = std::make_shared<Regex>(pattern, RegexDialect::oniguruma, "test")};
}

TEST(PreTokenizer, ValueOfBehaviors) {
  using enum SplitBehavior;
  EXPECT_THAT(pieces({split("-", isolated)}, "a--b"), ElementsAre("a", "-", "-", "b"));
  EXPECT_THAT(pieces({split("-", removed)}, "a--b"), ElementsAre("a", "b"));
  EXPECT_THAT(pieces({split("-", contiguous)}, "a--b"), ElementsAre("a", "--", "b"));
  EXPECT_THAT(pieces({split("-", merged_with_previous)}, "a--b-"), ElementsAre("a-", "-", "b-"));
  EXPECT_THAT(pieces({split("-", merged_with_next)}, "-a--b"), ElementsAre("-a", "-", "-b"));
  EXPECT_THAT(pieces({split("[a-z]+", removed, true)}, "a--b1"), ElementsAre("a", "b"));
  EXPECT_THAT(pieces({split("-", removed)}, "---"), ElementsAre());
  EXPECT_THAT(pieces({split("x*", isolated)}, "axb"), ElementsAre("a", "x", "b"));  // empty matches
  EXPECT_THAT(pieces({split("x*", isolated)}, "éa"), ElementsAre("é", "a"));        // by characters
  EXPECT_THAT(pieces({split("x*", contiguous)}, "éa"), ElementsAre("é", "a"));
}

TEST(PreTokenizer, ValueOfPrefixes) {
  PreTokenizerStep meta{
      .kind = PreTokenizerStep::Kind::metaspace, .text = "▁", .prefix = PrefixScheme::always};
  EXPECT_THAT(pieces({meta}, "a b"), ElementsAre("▁a", "▁b"));
  EXPECT_THAT(pieces({meta}, "a b", false), ElementsAre("a", "▁b"));
  EXPECT_THAT(pieces({meta}, "  b"), ElementsAre("▁", "▁b"));
  meta.split = false;
  EXPECT_THAT(pieces({meta}, "a b"), ElementsAre("▁a▁b"));
}

TEST(Regex, ValueOfDialects) {
  const auto matches = [](const char* pattern, RegexDialect dialect, std::string_view text) {
    const Regex regex(pattern, dialect, "test");
    std::string buffer;
    size_t begin = 0, end = 0;
    return regex.find(Regex::subject(text, buffer), 0, begin, end);
  };
  for (const auto dialect : {RegexDialect::oniguruma, RegexDialect::rust}) {
    EXPECT_FALSE(matches(R"(\s)", dialect, "\u180e"));  // white space to PCRE2 alone
    EXPECT_TRUE(matches(R"(^\s+$)", dialect, "\u2003\u0085"));
    EXPECT_TRUE(matches(R"(\w)", dialect, "\u0301"));
    EXPECT_TRUE(matches(R"(\p{Lo})", dialect, "\U00031350"));  // Unicode 15
    EXPECT_FALSE(matches(R"(\p{Cn})", dialect, "\U00031350"));
    EXPECT_TRUE(matches(R"((?i:'s))", dialect, "'\u017f"));
  }
  EXPECT_TRUE(matches("a$", RegexDialect::oniguruma, "a\nb"));  // every line to Ruby
  EXPECT_FALSE(matches("a$", RegexDialect::rust, "a\nb"));
  EXPECT_FALSE(matches("a$", RegexDialect::rust, "a\n"));
}

TEST(Regex, RejectsWhatIsNotTranslated) {
  for (const auto& [pattern, what] : std::vector<std::pair<const char*, const char*>>{
           {R"([\p{L}&&[^a]])", "a set operation"},
           {R"((?<name>a))", "the group"},
           {R"((a)\1)", "the escape"},
           {R"(\p{Klingon})", "the property"},
           {R"(\p{N}{1,3}+)", "+ behind an interval"},
           {R"(a{,})", "no interval"},
           {R"([a)", "a class without ]"},
           {R"([[:alpha:]])", "a class inside a class"},
           {R"(\)", "a backslash at the end"},
           {R"((a)", "cannot be compiled"}})
    EXPECT_THAT(error_of([&, p = pattern] { Regex(p, RegexDialect::oniguruma, "file: /x"); }),
                HasSubstr(what))
        << pattern;
  const Regex evil("(?:a|a)*[bc]", RegexDialect::oniguruma, "test");
  size_t begin = 0, end = 0;
  EXPECT_THAT(error_of([&] { evil.find(std::string(64, 'a'), 0, begin, end); }),
              HasSubstr("gives up on this text"));
}

Texts found(std::vector<AddedTokenFinder::Entry> entries, std::string_view text) {
  std::vector<AddedTokenFinder::Part> parts;
  AddedTokenFinder(std::move(entries)).split(text, parts);
  Texts out;
  for (const auto& part : parts)
    out.push_back((part.id < 0 ? "" : std::to_string(part.id) + ":") +
                  std::string(text.substr(part.begin, part.end - part.begin)));
  return out;
}

TEST(AddedTokenFinder, ValueOfRules) {
  const auto entry = [](int32_t id, std::string text, AddedToken token = {}) {
    token.content = text;
    return AddedTokenFinder::Entry{id, text, token};
  };
  EXPECT_THAT(found({entry(1, "<a>"), entry(2, "<a>>")}, "x<a>><a>"),
              ElementsAre("x", "2:<a>>", "1:<a>"));
  EXPECT_THAT(found({entry(1, "<a>", {.lstrip = true}), entry(2, "<b>", {.rstrip = true})},
                    "x \u00a0<a> <b> \ny"),
              ElementsAre("x", "1: \u00a0<a>", " ", "2:<b> \n", "y"));
  // White space that an earlier token took is not taken again.
  EXPECT_THAT(
      found({entry(1, "<a>", {.rstrip = true}), entry(2, "<b>", {.lstrip = true})}, "x<a> <b>"),
      ElementsAre("x", "1:<a> ", "2:<b>"));
  EXPECT_THAT(found({entry(1, "in", {.single_word = true})}, "in win inn (in)_in"),
              ElementsAre("1:in", " win inn (", "1:in", ")_in"));
}

TEST(Normalizer, ValueOfSteps) {
  using Kind = NormalizerStep::Kind;
  std::string buffers[3];
  const auto apply = [&](NormalizerStep step, std::string_view text, bool prefix = true) {
    return std::string(Normalizer({std::move(step)}).apply(text, prefix, buffers));
  };
  EXPECT_EQ(apply({.form = NormalForm::nfc}, "e\u0301"), "é");
  EXPECT_EQ(apply({.form = NormalForm::nfd}, "é"), "e\u0301");
  EXPECT_EQ(apply({.form = NormalForm::nfkc}, "ﬁ²"), "fi2");
  EXPECT_EQ(apply({.kind = Kind::lower_case}, "AÉİΣ"), "aéi\u0307σ");
  EXPECT_EQ(apply({.kind = Kind::strip_accents}, "e\u0301"), "e");
  EXPECT_EQ(apply({.kind = Kind::prepend, .text = "▁"}, "a"), "▁a");
  EXPECT_EQ(apply({.kind = Kind::prepend, .text = "▁"}, "a", false), "a");
  EXPECT_EQ(apply({.kind = Kind::prepend, .text = "▁"}, ""), "");
  EXPECT_EQ(apply({.kind = Kind::replace, .text = " ", .content = "▁"}, " a b"), "▁a▁b");
  EXPECT_EQ(apply({.kind = Kind::strip, .right = false}, "\u3000 a "), "a ");
}

TEST(Decoder, ValueOfSteps) {
  using Kind = DecoderStep::Kind;
  const Decoder meta({{.kind = Kind::metaspace, .text = "▁", .strips_first = true}});
  EXPECT_EQ(meta.decode({"▁a", "▁b"}, true), "a b");  // the first token alone loses its space
  EXPECT_EQ(meta.decode({"▁a", "▁b"}, false), " a b");
  const Decoder strip({{.kind = Kind::strip, .text = " ", .start = 1, .stop = 1}});
  EXPECT_EQ(strip.decode({"  a  "}, true), " a ");
  EXPECT_EQ(strip.decode({"  a  "}, false), "  a ");  // what goes on keeps its first space
}

TEST(Normalizer, RejectsGrowthWithoutEnd) {
  std::vector<NormalizerStep> steps;
  std::vector<DecoderStep> back;
  for (int i = 0; i < 40; ++i) {
    steps.push_back({.kind = NormalizerStep::Kind::replace, .text = "a", .content = "aa"});
    back.push_back({.kind = DecoderStep::Kind::replace, .text = "a", .content = "aa"});
  }
  std::string buffers[3];
  const Normalizer normalizer(std::move(steps));
  EXPECT_THAT(error_of([&] { normalizer.apply("a", true, buffers); }), HasSubstr("64 times"));
  EXPECT_EQ(normalizer.apply("b", true, buffers), "b");
  EXPECT_THAT(error_of([&] { Decoder(back).decode({"a"}, true); }), HasSubstr("64 times"));
}

TEST(Decoder, ValueOfBrokenBytes) {
  const Decoder bytes({{.kind = DecoderStep::Kind::byte_level}});
  EXPECT_EQ(bytes.decode({"Ġa", "Ã", "©"}, true), " aé");
  EXPECT_EQ(bytes.decode({"Ã", "a"}, true), "\uFFFDa");
  const Decoder fallback({{.kind = DecoderStep::Kind::byte_fallback}});
  EXPECT_EQ(fallback.decode({"<0xC3>", "<0xA9>", "x", "<0xE6>", "<0x97>"}, true), "éx\uFFFD\uFFFD");
  std::string lossy;
  append_lossy("\xE6\x97|\xF0\x9F\x98|\xC3|\xFF\xED\xA0\x80", lossy);
  EXPECT_EQ(lossy, "\uFFFD|\uFFFD|\uFFFD|\uFFFD\uFFFD\uFFFD\uFFFD");
}

}  // namespace
}  // namespace pref
