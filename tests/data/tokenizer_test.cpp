// SPDX-License-Identifier: Apache-2.0
// The sentencepiece tokenizer: a tiny model made by hand, crafted bad models, and a real one where
// present.
#include "libpref/data/tokenizer.h"

#include <gmock/gmock.h>

#include <random>

#include "libpref/base/file_system.h"
#include "libpref/data/jsonl.h"
#include "libpref/data/sentencepiece_model.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using testing::bytes_field;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::integer_field;
using testing::piece_field;
using testing::TempFolder;
using testing::tiny_model;
using Ids = std::vector<int32_t>;

// Ids of tiny_model: 259 "▁a", 260 "ab", 261 "▁ab", 262 "<|", 263 "|>", 264 "ba", 265 ".b", 266
// "▁", 267 "a", 268 "b".
constexpr int32_t kSpaceA = 259, kAb = 260, kSpaceAb = 261, kSpace = 266, kA = 267;

TEST(Tokenizer, ValueOfATinyModel) {
  const TempFolder folder;
  const auto t = load_tokenizer(folder.write("tokenizer.model", tiny_model()));
  EXPECT_THAT(t->encode("a"), ElementsAre(kSpaceA));
  EXPECT_THAT(t->encode("a ab"), ElementsAre(kSpaceA, kSpaceAb));
  EXPECT_THAT(t->encode_continuation("a"), ElementsAre(kA));
  EXPECT_THAT(t->encode_continuation(" a"), ElementsAre(kSpaceA));
  EXPECT_THAT(t->encode_continuation("ab"), ElementsAre(kAb));
  EXPECT_TRUE(t->encode("").empty());
  EXPECT_TRUE(t->encode_continuation("").empty());
  EXPECT_THAT(t->encode_continuation("é"), ElementsAre(3 + 0xC3, 3 + 0xA9));  // byte fallback
  EXPECT_EQ(t->special().bos, 1);
  EXPECT_EQ(t->special().eos, 2);
  EXPECT_EQ(t->special().unk, 0);
  EXPECT_TRUE(t->adds_bos());
  EXPECT_EQ(t->kind(), "sentencepiece bpe");
  EXPECT_EQ(t->vocab_size(), 259 + 7 + 9);
  EXPECT_EQ(t->piece(kSpaceAb), "▁ab");
  EXPECT_EQ(t->piece_id("ab"), kAb);
  EXPECT_EQ(t->piece_id("zz"), std::nullopt);
  EXPECT_NE(error_of([&] { t->decode({275}); }), "");
  EXPECT_THAT(error_of([&] { t->encode("a\xFF"); }), HasSubstr("byte 1"));
}

TEST(Tokenizer, ValueOfSpecialTokensInText) {
  const TempFolder folder;
  folder.write("tokenizer.model", tiny_model());
  const auto legacy = load_tokenizer(folder.path());
  EXPECT_THAT(legacy->encode("<s>a</s>a"), ElementsAre(1, kSpaceA, 2, kSpaceA));
  folder.write("tokenizer_config.json", R"({"legacy": false, "add_bos_token": false})");
  const auto modern = load_tokenizer(folder.path());
  EXPECT_THAT(modern->encode("a</s>a"), ElementsAre(kSpaceA, 2, kA));
  EXPECT_FALSE(modern->adds_bos());
  EXPECT_NE(modern->digest(), legacy->digest());
  for (const auto& t : {legacy, modern})
    for (const char* text : {"<s>a</s> a", "a </s>\nb", "</s>", " a", "a</s></s>ab <unk>."})
      EXPECT_EQ(t->decode(t->encode(text)), text);
}

TEST(Tokenizer, ValueOfAddedTokens) {
  const TempFolder folder;
  folder.write("tokenizer.model", tiny_model());
  folder.write("tokenizer_config.json",
               R"({"legacy": false, "eos_token": {"content": "<|end|>"}, "added_tokens_decoder": {
      "275": {"content": "<|end|>", "special": true, "rstrip": true}, "276": {"content": "<|end|>>", "lstrip": true}}})");
  const auto t = load_tokenizer(folder.path());
  EXPECT_EQ(t->vocab_size(), 277);
  EXPECT_EQ(t->special().eos, 275);
  EXPECT_THAT(t->encode("a<|end|> \n a"), ElementsAre(kSpaceA, 275, kA));
  EXPECT_THAT(t->encode("a <|end|>>a"),
              ElementsAre(kSpaceA, 276, kA));  // the longest token, and the space before it
  EXPECT_EQ(t->piece(275), "<|end|>");
}

TEST(Tokenizer, RejectsFoldersThatContradictThemselves) {
  const TempFolder folder;
  EXPECT_THAT(error_of([&] { load_tokenizer(folder.path()); }),
              HasSubstr("no tokenizer.json, tokenizer.model"));
  EXPECT_THAT(error_of([&] { load_tokenizer(folder.path() + "/x"); }), HasSubstr("no such file"));
  folder.write("tokenizer.model", tiny_model());
  const auto error_with = [&](const char* config) {
    folder.write("tokenizer_config.json", config);
    return error_of([&] { load_tokenizer(folder.path()); });
  };
  EXPECT_THAT(error_with(R"({"eos_token": "<nothing>"})"), HasSubstr("eos_token"));
  EXPECT_THAT(error_with(R"({"added_tokens_decoder": {"259": {"content": "x"}}})"),
              HasSubstr("gives id 259"));
  EXPECT_THAT(error_with(R"({"added_tokens_decoder": {"-1": {"content": "x"}}})"),
              HasSubstr("a token id in [0,"));
  EXPECT_THAT(error_with(R"({"added_tokens_decoder": {"300": {"content": ""}}})"),
              HasSubstr("not empty"));
  EXPECT_THAT(error_with(R"({"add_bos_token": "yes"})"), HasSubstr("/add_bos_token"));
  EXPECT_THAT(error_with("[]"), HasSubstr("an object is required"));
}

std::string model_error(const std::string& bytes) {
  return error_of([&] { parse_sentencepiece_model(bytes, "t.model"); });
}

TEST(SentencePieceModel, RejectsCraftedFiles) {
  const std::string good = tiny_model();
  EXPECT_EQ(model_error(good), "");
  EXPECT_THAT(model_error(""), HasSubstr("there is no piece"));
  EXPECT_THAT(model_error(good + piece_field("a", 0, 1)), HasSubstr("occurs twice"));
  EXPECT_THAT(model_error(good + piece_field("<unk2>", 0, 2)), HasSubstr("2 unknown pieces"));
  EXPECT_THAT(model_error(good + piece_field(std::string(4097, 'x'), 0, 1)),
              HasSubstr("at most 4096"));
  EXPECT_THAT(model_error(good + piece_field(std::string("x\0y", 3), 0, 1)), HasSubstr("NUL"));
  EXPECT_THAT(model_error(good + piece_field("\xC3", 0, 1)), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(model_error(good + piece_field("", 0, 1)), HasSubstr("is empty"));
  EXPECT_THAT(model_error(good + piece_field("q", 0, 9)), HasSubstr("piece type 9"));
  EXPECT_THAT(model_error("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), HasSubstr("are left"));
  EXPECT_THAT(model_error(std::string(11, '\xff')), HasSubstr("more than 10 bytes"));
  EXPECT_THAT(model_error("\x0b"), HasSubstr("wire type 3"));
  EXPECT_THAT(model_error(good + integer_field(1, 5)), HasSubstr("not a string or message"));
  std::string nested = good;
  for (int n = 1; n <= 65; ++n)
    nested += piece_field("u" + std::string(static_cast<size_t>(n), 'u'), 0, 4);
  EXPECT_THAT(model_error(nested), HasSubstr("user-defined pieces begin one another"));
}

TEST(SentencePieceModel, RejectsEveryCut) {
  const std::string good = tiny_model();
  const TempFolder folder;
  for (size_t n = 0; n < good.size(); ++n) {
    const std::string cut = good.substr(0, n);
    try {  // a cut between two fields may leave a whole model; it must be read or refused, nothing
           // else
      parse_sentencepiece_model(cut, "cut.model");
      if (n % 40 == 0) load_tokenizer(folder.write("cut.model", cut));
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::data) << n;
    }
  }
}

TEST(SentencePieceModel, RejectsNormalizationTablesThatLeadOutside) {
  const auto with_table = [](const std::vector<uint32_t>& units, const std::string& strings) {
    std::string map(4 + units.size() * 4, '\0');
    const auto size = static_cast<uint32_t>(units.size() * 4);
    std::memcpy(map.data(), &size, 4);
    std::memcpy(map.data() + 4, units.data(), units.size() * 4);
    return model_error(tiny_model() + bytes_field(3, bytes_field(2, map + strings)));
  };
  std::vector<uint32_t> units(256, 0x80000000u);  // no label matches
  units[0] = 1u << 10;                            // the root's successors begin at 1
  EXPECT_EQ(with_table(units, std::string(2, '\0')), "");
  EXPECT_THAT(with_table(units, "ab"), HasSubstr("do not end in NUL"));
  EXPECT_THAT(with_table(std::vector<uint32_t>(100, 0), std::string(1, '\0')),
              HasSubstr("normalization trie has 400 bytes"));
  auto outside = units;
  outside[0] = 4096u << 10;
  EXPECT_THAT(with_table(outside, std::string(2, '\0')), HasSubstr("leads outside itself"));
  auto value = units;
  value[0] |= 1u << 8;  // a key ends at the root; its value is unit 1
  value[1] = 0x80000000u | 7;
  EXPECT_THAT(with_table(value, std::string(2, '\0')), HasSubstr("names a string outside"));
  auto loop = units;  // the root, with a value, is its own successor by the label 1
  loop[0] = 1u << 10 | 1u << 8 | 1u;
  loop[1] = 0;
  EXPECT_THAT(with_table(loop, std::string(2, '\0')), HasSubstr("nests more than 32"));
}

class RealTokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = testing::shared_file("tokenizers/mistral_v1_sentencepiece.model");
    PREF_SKIP_WITHOUT(path);
    tokenizer_ = load_tokenizer(path);
  }
  std::shared_ptr<const Tokenizer> tokenizer_;
};

// Golden ids from PyPI sentencepiece 0.2.3 on the same model.
TEST_F(RealTokenizer, MatchesReference) {
  EXPECT_EQ(tokenizer_->vocab_size(), 32000);
  EXPECT_THAT(tokenizer_->encode("hello"), ElementsAre(6312, 28709));
  EXPECT_THAT(tokenizer_->encode("hello</s>\n<|user|>\nhi"),
              ElementsAre(6312, 28709, 2, 28705, 13, 28789, 28766, 1838, 28766, 28767, 13, 5365));
  EXPECT_THAT(tokenizer_->encode("a\n\n\tb é 🎉"),
              ElementsAre(264, 13, 13, 12, 28726, 1233, 28705, 31862));
}

/// Where joint tokenization splits at the seam, apart and together agree; decoding always gives the
/// text back.
TEST_F(RealTokenizer, RoundTripOfSplitTexts) {
  const uint32_t seed = 20240607;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::vector<std::string> words{"hello", " ",   "\n", "  ",      "é",  "日本", "🎉", "123",
                                       "</s>",  "<s>", ".",  "Answer:", "\t", "ß",    "'s"};
  int agreeing = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string prompt = "Q", completion;
    for (uint32_t n = random() % 6; n > 0; --n) prompt += words[random() % words.size()];
    for (uint32_t n = 1 + random() % 6; n > 0; --n) completion += words[random() % words.size()];
    const Ids first = tokenizer_->encode(prompt),
              second = tokenizer_->encode_continuation(completion);
    const Ids joint = tokenizer_->encode(prompt + completion);
    Ids apart = first;
    apart.insert(apart.end(), second.begin(), second.end());
    // A completion behind a special token is the one place where the two differ by rule: no dummy
    // prefix is added.
    const bool after_special = prompt.ends_with("s>");
    if (!after_special) {
      EXPECT_EQ(tokenizer_->decode(apart), prompt + completion);
    }
    EXPECT_EQ(tokenizer_->decode(joint), prompt + completion);
    if (!after_special && joint == apart) ++agreeing;
  }
  EXPECT_GT(agreeing, 1000);
}

}  // namespace
}  // namespace pref
