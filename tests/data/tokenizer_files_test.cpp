// SPDX-License-Identifier: Apache-2.0
// Tokenizer files: hand values through load_tokenizer, what the folder's configuration adds, the
// choice among files, and bad files with the error each must give.
#include <gmock/gmock.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "libpref/data/tokenizer.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using nlohmann::ordered_json;
using testing::byte_level_json;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::TempFolder;

TEST(TokenizerJson, ValueAndRoundTrip) {
  const TempFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  const auto t = load_tokenizer(folder.path());
  EXPECT_THAT(t->encode("ab a<|end|>b"), ElementsAre(256, 257, 258, 'b'));
  EXPECT_THAT(t->encode("é"), ElementsAre(0xC3, 0xA9));
  EXPECT_TRUE(t->encode("").empty());
  EXPECT_EQ(t->kind(), "tokenizer.json, byte-level bpe");
  EXPECT_EQ(t->vocab_size(), 259);
  EXPECT_EQ(t->piece(257), "Ġa");
  EXPECT_EQ(t->piece_id("<|end|>"), 258);
  EXPECT_EQ(t->piece_id("nothing"), std::nullopt);
  EXPECT_FALSE(t->adds_bos());
  for (const char* text : {"ab a<|end|>b", " \n\t é日😀", "<|end|>", "<|end|", "a  b"})
    EXPECT_EQ(t->decode(t->encode(text)), text);
  EXPECT_THAT(error_of([&] { t->encode("a\xFF"); }), HasSubstr("byte 1"));
  EXPECT_THAT(error_of([&] { t->decode({259}); }), HasSubstr("outside [0, 259)"));
}

TEST(TokenizerJson, ValueOfTheFoldersConfiguration) {
  const TempFolder folder;
  ordered_json json = byte_level_json();
  json["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", {{"id", "<|end|>"}, {"type_id", 0}}}},
        {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
      {"pair", ordered_json::array()},
      {"special_tokens",
       {{"<|end|>", {{"id", "<|end|>"}, {"ids", {258}}, {"tokens", {"<|end|>"}}}}}}};
  folder.write("tokenizer.json", json.dump());
  const auto plain = load_tokenizer(folder.path());
  EXPECT_EQ(plain->special().bos, 258);  // known, and not in the ids
  EXPECT_TRUE(plain->adds_bos());
  EXPECT_THAT(plain->encode("b"), ElementsAre('b'));
  folder.write("tokenizer_config.json", R"({"add_bos_token": false, "bos_token": "<|end|>",
      "eos_token": {"content": "<eos>"}, "add_eos_token": true, "chat_template": "{{ x }}",
      "added_tokens_decoder": {"259": {"content": "<eos>", "special": true, "lstrip": true}}})");
  folder.write("special_tokens_map.json", R"({"pad_token": "<|end|>", "unk_token": "!"})");
  const auto t = load_tokenizer(folder.path());
  EXPECT_FALSE(t->adds_bos());
  EXPECT_TRUE(t->adds_eos());
  EXPECT_EQ(t->special().eos, 259);
  EXPECT_EQ(t->special().pad, 258);
  EXPECT_EQ(t->special().unk, '!');
  EXPECT_EQ(t->vocab_size(), 260);
  EXPECT_EQ(t->chat_template(), "{{ x }}");
  EXPECT_THAT(t->encode("b  <eos>"), ElementsAre('b', 259));
  EXPECT_NE(t->digest(), plain->digest());
}

TEST(TokenizerJson, ValueOfContinuations) {
  const TempFolder folder;
  ordered_json json = byte_level_json();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  const auto t = load_tokenizer(folder.write("tokenizer.json", json.dump()));
  EXPECT_THAT(t->encode("a"), ElementsAre(257));
  EXPECT_THAT(t->encode_continuation("a"), ElementsAre('a'));
  EXPECT_THAT(t->encode_continuation(" a"), ElementsAre(257));
}

TEST(TokenizerJson, ValueOfTheByteLevelDecoderByDefault) {
  const TempFolder folder;
  ordered_json json = byte_level_json();
  json["decoder"] = nullptr;
  const auto t = load_tokenizer(folder.write("tokenizer.json", json.dump()));
  EXPECT_EQ(t->decode(t->encode("ab a é")), "ab a é");
}

TEST(TokenizerJson, ValueOfPrefixesBehindNormalizedTokens) {
  const TempFolder folder;
  ordered_json json = byte_level_json();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  json["added_tokens"].push_back({{"id", 259}, {"content", "<x>"}, {"normalized", true}});
  const auto t = load_tokenizer(folder.write("tokenizer.json", json.dump()));
  // Behind a token a stretch begins, which gets its prefix even where the text goes on another.
  EXPECT_THAT(t->encode_continuation("a<x>a"), ElementsAre('a', 259, 257));
}

TEST(TokenizerJson, RejectsBadFiles) {
  const TempFolder folder;
  const auto error_with = [&](const auto& change) {
    ordered_json json = byte_level_json();
    change(json);
    return error_of([&] { load_tokenizer(folder.write("tokenizer.json", json.dump())); });
  };
  using J = ordered_json;
  const std::vector<std::pair<std::function<void(J&)>, const char*>> cases{
      {[](J&) {}, ""},
      {[](J& j) { j.erase("model"); }, "/: the key \"model\" is missing"},
      {[](J& j) { j["model"]["vocab"]["zz"] = 256; }, "/model/vocab/\"zz\": the id 256 belongs"},
      {[](J& j) { j["model"]["vocab"]["zz"] = -1; }, "/model/vocab/\"zz\": an integer from 0"},
      {[](J& j) { j["model"]["vocab"]["zz"] = 1.5; }, "found 1.5"},
      {[](J& j) { j["model"]["vocab"]["zz"] = 100000000; }, "an integer from 0 to 65"},
      {[](J& j) { j["model"]["vocab"] = J::array(); }, "/model/vocab: an object is required"},
      {[](J& j) { j["model"]["vocab"] = J::object(); }, "1 to 2097152 tokens"},
      {[](J& j) { j["model"]["merges"].push_back("a c"); },
       "/model/merges/2: \"ac\" is not in the vocabulary"},
      {[](J& j) { j["model"]["merges"].push_back("a"); }, "two tokens with one space"},
      {[](J& j) { j["model"]["merges"].push_back("a b c"); }, "two tokens with one space"},
      {[](J& j) {
         j["model"]["merges"].push_back({"", "a"});
       },
       "a part of the merge is empty"},
      {[](J& j) { j["model"]["merges"].push_back(7); }, "/model/merges/2: two tokens is required"},
      {[](J& j) { j["model"]["dropout"] = 0.1; }, "BPE dropout"},
      {[](J& j) { j["model"]["unk_token"] = "<unk>"; }, "a token of the vocabulary"},
      {[](J& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, "a end_of_word_suffix"},
      {[](J& j) { j["model"]["type"] = "WordPiece"; }, "the model \"WordPiece\" is not supported"},
      {[](J& j) { j["model"]["cache_capacity"] = 1; }, "the option \"cache_capacity\""},
      {[](J& j) {
         j["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
       },
       "the pre-tokenizer \"BertPreTokenizer\" is not supported"},
      {[](J& j) { j["pre_tokenizer"]["use_regex"] = "yes"; },
       "/pre_tokenizer/use_regex: true or false is required, found \"yes\""},
      {[](J& j) {
         j["pre_tokenizer"] = {
             {"type", "Split"}, {"pattern", {{"Regex", "(?<x>a)"}}}, {"behavior", "Isolated"}};
       },
       "/pre_tokenizer/pattern/Regex: the pattern"},
      {[](J& j) {
         j["pre_tokenizer"] = {
             {"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Both"}};
       },
       "/pre_tokenizer/behavior: Removed, Isolated"},
      {[](J& j) {
         j["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "AA=="}};
       },
       "the normalizer \"Precompiled\" is not supported"},
      {[](J& j) {
         j["normalizer"] = {{"type", "Prepend"}};
       },
       "/normalizer: the key \"prepend\" is missing"},
      {[](J& j) {
         j["decoder"] = {{"type", "CTC"}};
       },
       "the decoder \"CTC\" is not supported"},
      {[](J& j) {
         j["post_processor"] = {{"type", "Other"}};
       },
       "the post-processor \"Other\""},
      {[](J& j) { j["added_tokens"][0]["id"] = 3; }, "which the vocabulary gives to"},
      {[](J& j) { j["added_tokens"][0]["content"] = "ab"; }, "in the vocabulary it has 256"},
      {[](J& j) { j["added_tokens"][0]["content"] = ""; }, "a token of 1 to 65536 bytes"},
      {[](J& j) { j["added_tokens"].push_back(j["added_tokens"][0]); }, "the id stands twice"},
      {[](J& j) {
         j["added_tokens"].push_back(j["added_tokens"][0]);
         j["added_tokens"][1]["id"] = 300;
       },
       "has two ids"},
      {[](J& j) { j["future"] = 1; }, "the option \"future\""}};
  for (const auto& [change, expected] : cases) {
    const std::string error = error_with(change);
    const bool fine = *expected == '\0';
    EXPECT_EQ(error.empty(), fine) << error;
    EXPECT_THAT(error, HasSubstr(expected));
    EXPECT_THAT(error, HasSubstr(fine ? "" : "tokenizer.json"));
  }
  const std::string good = byte_level_json().dump();
  for (size_t cut = 0; cut < good.size(); cut += 97)
    EXPECT_NE(
        error_of([&] { load_tokenizer(folder.write("tokenizer.json", good.substr(0, cut))); }), "")
        << cut;
}

/// All bytes, then "ab" (256) and "abc" (257).
std::string tiny_ranks() {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (unsigned b = 0; b < 256; ++b)
    out += std::string{kDigits[b >> 2], kDigits[(b & 3) << 4], '=', '='} + " " + std::to_string(b) +
           "\n";
  return out + "YWI= 256\nYWJj 257\n";
}

TEST(Tiktoken, ValueOfALlama3Folder) {
  const TempFolder folder;
  folder.write("tokenizer.model", tiny_ranks());
  const auto t = load_tokenizer(folder.path());
  EXPECT_EQ(t->kind(), "tiktoken, split as llama-3, byte-level bpe");
  EXPECT_THAT(t->encode("abcab c"), ElementsAre(257, 256, ' ', 'c'));
  EXPECT_THAT(t->encode("<|begin_of_text|>a<|eot_id|>"), ElementsAre(258, 'a', 267));
  EXPECT_EQ(t->special().bos, 258);
  EXPECT_EQ(t->special().eos, 259);
  EXPECT_TRUE(t->adds_bos());
  EXPECT_EQ(t->vocab_size(), 258 + 256);
  EXPECT_EQ(t->decode(t->encode("abc é<|eot_id|>")), "abc é<|eot_id|>");
}

TEST(Tiktoken, RejectsBadFiles) {
  const TempFolder folder;
  const std::string good = tiny_ranks();
  const auto error_with = [&](const std::string& text, const char* name = "tokenizer.model") {
    return error_of([&] { load_tokenizer(folder.write(name, text)); });
  };
  EXPECT_EQ(error_with(good), "");
  EXPECT_THAT(error_with(good + "YWJj 300\n"), HasSubstr(":259: the token or its rank"));
  EXPECT_THAT(error_with(good + "YWJjZA== 257\n"), HasSubstr("stands twice"));
  EXPECT_THAT(error_with(good + "YW?j 258\n"), HasSubstr("not base64"));
  EXPECT_THAT(error_with(good + "YWJjZA==\n"), HasSubstr("the rank is not a number"));
  EXPECT_THAT(error_with(good + "YWJjZA== -1\n"), HasSubstr("the rank is not a number"));
  EXPECT_THAT(error_with(good + "YWJjZA== 9999999\n"), HasSubstr("the rank is not a number"));
  EXPECT_THAT(error_with(good.substr(good.find('\n') + 1)), HasSubstr("the byte 0 has no rank"));
  EXPECT_THAT(error_with(good, "mine.tiktoken"), HasSubstr("a rank file of 258 tokens"));
  EXPECT_EQ(error_with(good, "cl100k_base.tiktoken"), "");
}

TEST(LoadTokenizer, ValueOfTheChoice) {
  const TempFolder folder;
  folder.write("vocab.json", "{}");
  EXPECT_THAT(error_of([&] { load_tokenizer(folder.path()); }),
              HasSubstr("vocab.json alone is not supported"));
  folder.write("cl100k_base.tiktoken", tiny_ranks());
  EXPECT_THAT(load_tokenizer(folder.path())->kind(), HasSubstr("split as cl100k_base"));
  folder.write("tokenizer.model", testing::tiny_model());
  EXPECT_EQ(load_tokenizer(folder.path())->kind(), "sentencepiece bpe");
  ordered_json json = byte_level_json();
  json["model"]["type"] = "WordPiece";  // sound, not built: the other file is used
  folder.write("tokenizer.json", json.dump());
  EXPECT_EQ(load_tokenizer(folder.path())->kind(), "sentencepiece bpe");
  folder.write("tokenizer.json", "{");  // damaged: never passed over
  EXPECT_THAT(error_of([&] { load_tokenizer(folder.path()); }), HasSubstr("tokenizer.json:1"));
  folder.write("tokenizer.json", byte_level_json().dump());
  EXPECT_EQ(load_tokenizer(folder.path())->kind(), "tokenizer.json, byte-level bpe");
}

}  // namespace
}  // namespace pref
