// SPDX-License-Identifier: Apache-2.0
// One row's tokens, mask, cuts and seam, and the template that a user names.
#include "libpref/data/audit/inspect.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "libpref/data/tokenizer_with_template.h"
#include "tests/audit/toy_tokenizer.h"
#include "tests/data/data_test_util.h"

namespace pref::audit {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempFolder;
using testing::ToyTokenizer;
using Ids = std::vector<int32_t>;

class InspectTest : public ::testing::Test {
 protected:
  InspectTest()
      : path_(folder_.write("rows.jsonl",
                            R"({"prompt":"ab","chosen":"cde","rejected":"f"})"
                            "\n\n{\n"
                            R"({"id":"x","prompt":"a t","chosen":"he","rejected":"g"})"
                            "\n"
                            R"({"prompt":"p","chosen":"\u0434","rejected":"\u001b[31m\n."})"
                            "\n")) {}
  InspectedRow inspect(int64_t row, const DataOptions& options = {}) const {
    return inspect_row({path_}, tokenizer_, options, row);
  }
  static std::string text(const InspectedPart& part) {
    std::string out;
    for (const InspectedToken& token : part.tokens) out += token.text;
    return out;
  }
  TempFolder folder_;
  std::string path_;
  ToyTokenizer tokenizer_;
};

TEST_F(InspectTest, ValueOfParts) {
  const InspectedRow row = inspect(1);
  EXPECT_TRUE(row.usable());
  EXPECT_EQ(row.place, path_ + ":1");
  EXPECT_EQ(row.layout, "preference");
  ASSERT_EQ(row.parts.size(), 3u);
  EXPECT_EQ(row.parts[0].name, "prompt");
  EXPECT_EQ(row.parts[1].name, "chosen");
  EXPECT_EQ(row.parts[2].name, "rejected");
  EXPECT_EQ(text(row.parts[0]), "<s>ab");
  EXPECT_EQ(text(row.parts[1]), "cde</s>");
  EXPECT_EQ(row.parts[0].tokens[0], (InspectedToken{ToyTokenizer::kBos, "<s>", true, true, false}));
  EXPECT_EQ(row.parts[1].tokens[3], (InspectedToken{ToyTokenizer::kEos, "</s>", true, true, true}));
  for (const InspectedToken& token : row.parts[0].tokens) EXPECT_FALSE(token.trained);
  for (const InspectedToken& token : row.parts[2].tokens) EXPECT_TRUE(token.trained);
  EXPECT_EQ(row.seams[0].before, tokenizer_.encode("<s>ab"));
  EXPECT_EQ(row.seams[0].after, tokenizer_.encode("cde</s>"));
  EXPECT_FALSE(row.seams[0].merges);
  EXPECT_EQ(inspect_text(row), "row 1, " + path_ + R"(:1, layout preference
tokens between bars: [[special]], ~cut~

prompt: 3 tokens, none trained on
|[[<s>]]|a|b|

chosen: 4 tokens, 4 trained on
|c|d|e|[[</s>]]|
seam: ... [1,72,73] | [74,75,76,2] ...

rejected: 2 tokens, 2 trained on
|f|[[</s>]]|
seam: ... [1,72,73] | [77,2] ...
)");
}

TEST_F(InspectTest, ValueOfCuts) {
  const InspectedRow row = inspect(1, {.max_length = 5});
  EXPECT_EQ(row.parts[1].kept(), 2);
  EXPECT_FALSE(row.parts[1].tokens[2].kept);
  EXPECT_FALSE(row.parts[1].tokens[3].trained);
  EXPECT_THAT(inspect_text(row),
              HasSubstr("chosen: 4 tokens, 2 cut, 2 trained on\n|c|d|~e~|~[[</s>]]~|"));
  const InspectedRow left =
      inspect(1, {.max_length = 5, .truncation_mode = TruncationMode::prompt_left});
  EXPECT_TRUE(left.parts[0].tokens[0].kept);  // BOS stays
  EXPECT_EQ(left.parts[0].kept(), 1);
  const InspectedRow dropped =
      inspect(1, {.max_length = 5, .truncation_mode = TruncationMode::drop});
  EXPECT_EQ(dropped.code, "too_long");
  EXPECT_THAT(inspect_text(dropped), HasSubstr("cannot be used (too_long): "));
  EXPECT_THAT(inspect_text(dropped), HasSubstr("0 trained on"));
}

TEST_F(InspectTest, ValueOfASeamInsideAToken) {
  const InspectedRow row = inspect(3);
  EXPECT_EQ(row.id, "x");
  EXPECT_EQ(row.place, path_ + ":4");
  EXPECT_THAT(row.notes, ElementsAre("boundary_merge"));
  EXPECT_TRUE(row.seams[0].merges);
  // Together "a th e" and EOS; apart "a t" and "h e".
  EXPECT_EQ(row.seams[0].together.at(0), ToyTokenizer::kTh);
  EXPECT_FALSE(row.seams[1].merges);
  EXPECT_THAT(inspect_text(row), HasSubstr("a token would span it"));
}

TEST_F(InspectTest, ValueOfABadRow) {
  const InspectedRow row = inspect(2);
  EXPECT_EQ(row.place, path_ + ":3");
  EXPECT_EQ(row.code, "bad_json");
  EXPECT_TRUE(row.parts.empty());
  EXPECT_THAT(inspect_text(row), HasSubstr("cannot be used (bad_json): not JSON"));
}

TEST_F(InspectTest, ValueOfTextThatWouldSteerATerminal) {
  const InspectedRow row = inspect(4);
  EXPECT_EQ(row.parts[1].tokens[0].text, "<unk>");
  EXPECT_THAT(inspect_text(row), Not(HasSubstr("\x1b")));
  EXPECT_THAT(inspect_text(row), HasSubstr("|\\x1b|[|3|1|m|\\n\n|.|"));
  EXPECT_THAT(inspect_text(row, true), HasSubstr("\x1b[7m<s>\x1b[0m"));
}

TEST_F(InspectTest, RoundTripOfJson) {
  for (const int64_t n : {1, 2, 3, 4}) {
    const InspectedRow row = inspect(n, {.max_length = 4});
    const json out = json::parse(inspect_json(row));
    EXPECT_EQ(out["row"], n);
    EXPECT_EQ(out["code"], row.code);
    ASSERT_EQ(out["parts"].size(), row.parts.size());
    for (size_t p = 0; p < row.parts.size(); ++p) {
      EXPECT_EQ(out["parts"][p]["kept"], row.parts[p].kept());
      for (size_t i = 0; i < row.parts[p].tokens.size(); ++i) {
        const json& token = out["parts"][p]["tokens"][i];
        EXPECT_EQ((InspectedToken{token["id"], token["text"], token["special"], token["kept"],
                                  token["trained"]}),
                  row.parts[p].tokens[i]);
      }
    }
    for (size_t s = 0; s < row.seams.size(); ++s)
      EXPECT_EQ(out["seams"][s]["after"], json(row.seams[s].after));
  }
}

TEST_F(InspectTest, InvariantToThreads) {
  std::string rows;
  for (int i = 0; i < 300; ++i)
    rows += R"({"prompt":"p","chosen":")" + std::to_string(i) +
            R"( ","rejected":"x"})"
            "\n";
  const std::string path = folder_.write("many.jsonl", rows);
  for (const int64_t workers : {1, 4}) {
    const InspectedRow row =
        inspect_row({path_, path}, tokenizer_, {.preprocessing_num_workers = workers}, 4 + 257);
    EXPECT_EQ(row.place, path + ":257");
    EXPECT_EQ(text(row.parts[1]), "256 </s>");
  }
}

TEST_F(InspectTest, RejectsRowsThatAreNotThere) {
  EXPECT_THAT(testing::error_of([&] { inspect(5); }), HasSubstr("there are only 4 rows"));
  EXPECT_THAT(testing::error_of([&] { inspect(0); }), HasSubstr("rows count from 1"));
  EXPECT_THAT(testing::error_of([&] { inspect(1, {.max_rows = 2}); }), HasSubstr("max_rows"));
}

TEST_F(InspectTest, ValueOfANamedTemplate) {
  folder_.write("tokenizer.model", testing::tiny_model());
  const std::string jinja =
      folder_.write("own.jinja",
                    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
                    "{% if add_generation_prompt %}<assistant>{% endif %}");
  const std::string chat = folder_.write(
      "chat.jsonl",
      R"({"prompt":[{"role":"user","content":"ab"}],"chosen":[{"role":"assistant","content":"c"}],)"
      R"("rejected":[{"role":"assistant","content":"b"}]})");
  DataOptions options;
  const auto own = load_tokenizer_for(folder_.path(), jinja, options);
  EXPECT_EQ(options.chat_format, ChatFormat::automatic);
  EXPECT_EQ(text(inspect_row({chat}, *own, options, 1).parts[0]), "<s>▁<user>ab<assistant>");
  const auto named = load_tokenizer_for(folder_.path(), "zephyr", options);
  EXPECT_EQ(options.chat_format, ChatFormat::zephyr);
  EXPECT_THAT(text(inspect_row({chat}, *named, options, 1).parts[0]), HasSubstr("<|user|>"));
  EXPECT_NE(own->digest(), named->digest());
  EXPECT_THAT(testing::error_of([&] { load_tokenizer_for(folder_.path(), jinja, options); }),
              HasSubstr("give one of them"));
  DataOptions fresh;
  EXPECT_THAT(testing::error_of([&] { load_tokenizer_for(folder_.path(), "zefyr", fresh); }),
              HasSubstr("did you mean \"zephyr\""));
}

}  // namespace
}  // namespace pref::audit
