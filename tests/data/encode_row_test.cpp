// SPDX-License-Identifier: Apache-2.0
// Assembly of a row from token ids, on the tiny model: BOS, EOS policies, the seam, truncation.
#include "libpref/data/encode_row.h"

#include <gmock/gmock.h>

#include "libpref/data/json_row.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TempFolder;

constexpr int32_t kSpaceA = 259, kAb = 260, kSpaceAb = 261, kDotB = 265, kSpace = 266, kA = 267,
                  kB = 268, kC = 269, kDot = 270;

class EncodeRow : public ::testing::Test {
 protected:
  std::shared_ptr<const Tokenizer> tokenizer(const std::string& config = "{}") {
    folder_.write("tokenizer.model", testing::tiny_model());
    folder_.write("tokenizer_config.json", config);
    return load_tokenizer(folder_.path());
  }
  static PreferenceRow text_row(std::string prompt, std::string chosen, std::string rejected) {
    return {.id = "i",
            .place = "f:1",
            .prompt = {.text = std::move(prompt)},
            .branches = {{.text = std::move(chosen)}, {.text = std::move(rejected)}}};
  }
  static std::string error_code(const PreferenceRow& row, const Tokenizer& tokenizer,
                                const EncodeOptions& options = {}) {
    try {
      encode_row(row, tokenizer, options);
    } catch (const RowError& error) {
      return error.code;
    }
    return "";
  }
  TempFolder folder_;
};

TEST_F(EncodeRow, ValueOneBosOneEos) {
  const auto t = tokenizer();
  auto row = text_row("a", " a", "b");
  row.facts.weight = 3;
  row.facts.margin = -2;
  const EncodedRow out = encode_row(row, *t, {});
  EXPECT_THAT(out.row.prompt, ElementsAre(1, kSpaceA));
  EXPECT_THAT(out.row.branches[0], ElementsAre(kSpaceA, 2));
  EXPECT_THAT(out.row.branches[1],
              ElementsAre(kB, 2));  // no spurious space before the continuation
  EXPECT_EQ(out.row.facts.weight, 3);
  EXPECT_EQ(out.row.facts.margin, -2);
  EXPECT_EQ(out.row.id, "i");
}

TEST_F(EncodeRow, BosOfTheTextIsNotDoubled) {
  const auto t = tokenizer();
  EncodedRow out = encode_row(text_row("<s>a", "a", "b"), *t, {});
  EXPECT_THAT(out.row.prompt, ElementsAre(1, kSpaceA));
  EXPECT_THAT(out.notes, Not(Contains("double_bos")));
  EXPECT_THAT(out.notes, Contains("special_in_text"));
  out = encode_row(text_row("<s><s>a", "a", "b"), *t, {});
  EXPECT_THAT(out.row.prompt, ElementsAre(1, kSpaceA));
  EXPECT_THAT(out.notes, Contains("double_bos"));
  const auto without = tokenizer(R"({"add_bos_token": false})");
  EXPECT_THAT(encode_row(text_row("a", "a", "b"), *without, {}).row.prompt, ElementsAre(kSpaceA));
}

TEST_F(EncodeRow, ValueOfEosPolicies) {
  const auto t = tokenizer();
  const auto chosen = [&](const std::string& text, EosPolicy policy) {
    return encode_row(text_row("a", text, "c"), *t, {.eos_policy = policy}).row.branches[0];
  };
  EXPECT_THAT(chosen("b", EosPolicy::append_if_absent), ElementsAre(kB, 2));
  EXPECT_THAT(chosen("b</s>", EosPolicy::append_if_absent), ElementsAre(kB, 2));
  EXPECT_THAT(chosen("b</s> ", EosPolicy::append_if_absent),
              ElementsAre(kB, 2));  // the tail is left out
  EXPECT_THAT(chosen("b</s></s>", EosPolicy::append_if_absent),
              ElementsAre(kB, 2));  // never doubled
  EXPECT_THAT(chosen("b</s> ", EosPolicy::keep_tail), ElementsAre(kB, 2, kSpace, kSpace));
  EXPECT_THAT(chosen("b</s>a", EosPolicy::keep_tail),
              ElementsAre(kB, 2, kSpaceA, 2));  // EOS inside does not end it
  EXPECT_THAT(chosen("b", EosPolicy::keep_tail), ElementsAre(kB, 2));
  EXPECT_THAT(chosen("b", EosPolicy::never), ElementsAre(kB));
}

TEST_F(EncodeRow, SeamThatWouldMergeIsNoted) {
  const auto t = tokenizer();
  EncodedRow out = encode_row(text_row("a.", "b", "c"), *t, {});  // ".b" is a piece
  EXPECT_THAT(out.notes, Contains("boundary_merge"));
  EXPECT_THAT(out.row.prompt, ElementsAre(1, kSpaceA, kDot));
  EXPECT_THAT(out.row.branches[0], ElementsAre(kB, 2));
  EXPECT_THAT(t->encode("a.b"), ElementsAre(kSpaceA, kDotB));
  EXPECT_THAT(encode_row(text_row("a.", "c", "ab"), *t, {}).notes, IsEmpty());
  EXPECT_TRUE(merges_across(*t, std::string(1000, 'c') + ".", "b" + std::string(1000, 'c')));
  EXPECT_FALSE(merges_across(*t, std::string(1000, 'c'), std::string(1000, 'c')));
  EXPECT_TRUE(merges_across(*t, "c ", "a"));
}

TEST_F(EncodeRow, EmptyPromptStartsTheText) {
  const auto t = tokenizer();
  const EncodedRow out = encode_row(text_row("", "ab", "c"), *t, {});
  EXPECT_THAT(out.row.prompt, ElementsAre(1));
  EXPECT_THAT(out.row.branches[0],
              ElementsAre(kSpaceAb, 2));  // with the dummy prefix of a text's start
  EXPECT_EQ(error_code(text_row("", "ab", "c"), *tokenizer(R"({"add_bos_token": false})")),
            "empty_prompt");
}

TEST_F(EncodeRow, TruncationIsPlannedForBothBranches) {
  const auto t = tokenizer();
  const auto row = text_row("c c c", "ababab", "c");
  EncodedRow out = encode_row(row, *t, {.limits = {.max_length = 9}});
  EXPECT_EQ(out.row.prompt.size(), 7u);                     // BOS, then "▁" and "c" three times
  EXPECT_THAT(out.row.branches[0], ElementsAre(kAb, kAb));  // EOS is cut like any token
  EXPECT_THAT(out.row.branches[1], ElementsAre(kC, 2));
  EXPECT_THAT(out.notes, ElementsAre("truncated_response"));
  out = encode_row(row, *t, {.limits = {.max_length = 6, .mode = TruncationMode::prompt_left}});
  EXPECT_THAT(out.row.prompt, ElementsAre(1, kC));
  EXPECT_THAT(out.row.branches[0], ElementsAre(kAb, kAb, kAb, 2));
  EXPECT_THAT(out.notes, ElementsAre("truncated_prompt"));
  EXPECT_EQ(error_code(row, *t, {.limits = {.max_length = 7}}), "no_response_tokens");
  EXPECT_EQ(error_code(row, *t, {.limits = {.max_length = 7, .mode = TruncationMode::drop}}),
            "too_long");
  EXPECT_EQ(error_code(text_row("a", "abc", "ab."), *t, {.limits = {.max_completion_length = 1}}),
            "identical_pair");
}

TEST_F(EncodeRow, ValueOfAConversation) {
  const auto t = tokenizer();
  PreferenceRow row{
      .prompt = {.messages = {{"user", "a"}}},
      .branches = {{.messages = {{"assistant", "b"}}}, {.messages = {{"assistant", "c"}}}}};
  const EncodedRow out = encode_row(
      row, *t, {.chat_format = ChatFormat::llama2, .eos_policy = EosPolicy::append_if_absent});
  EXPECT_EQ(t->decode(out.row.prompt), "<s>[INST] a [/INST]");
  EXPECT_EQ(out.row.prompt[0], 1);
  EXPECT_NE(out.row.prompt[1], 1);
  EXPECT_THAT(out.row.branches[0], ElementsAre(kSpace, kB, kSpace, 2));
  EXPECT_THAT(out.notes, IsEmpty());
  EXPECT_THAT(testing::error_of([&] { encode_row(row, *t, {}); }), HasSubstr("Set chat_format"));
  row.prompt.messages.push_back({"user", "again"});
  EXPECT_EQ(error_code(row, *t, {.chat_format = ChatFormat::llama2}), "bad_turns");
}

TEST_F(EncodeRow, ValueByTheFoldersTemplate) {
  const auto t = tokenizer();
  PreferenceRow row{
      .prompt = {.messages = {{"user", "a"}}},
      .branches = {{.messages = {{"assistant", "b"}}}, {.messages = {{"assistant", "c"}}}}};
  const auto by = [](const char* text) {
    return EncodeOptions{.folder_template = std::make_shared<ChatTemplate>(text)};
  };
  const EncodedRow out = encode_row(
      row, *t,
      by("{{ bos_token }}{% for m in messages %}{{ ' [INST] ' if m.role == 'user' else '' }}"
         "{{ m.content }}{{ ' [/INST] ' if m.role == 'user' else eos_token }}{% endfor %}"));
  EXPECT_EQ(t->decode(out.row.prompt), "<s> [INST] a [/INST] ");
  EXPECT_EQ(out.row.branches[0].back(), 2);
  EXPECT_EQ(t->decode(out.row.branches[1]), "c</s>");
  // What the template refuses names its reason; a prompt that is no beginning of the whole, too.
  EXPECT_EQ(error_code(row, *t, by("{{ raise_exception('no such role') }}")), "bad_turns");
  EXPECT_EQ(error_code(row, *t, by("{{ messages | length }}{{ messages[-1].content }}")),
            "bad_turns");
}

}  // namespace
}  // namespace pref
