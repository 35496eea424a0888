// SPDX-License-Identifier: Apache-2.0
// Every layout read, every bad row refused with its code and place.
#include "libpref/data/dialect.h"

#include <gmock/gmock.h>

#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

#define MSG(role, content) "{\"role\":\"" role "\",\"content\":\"" content "\"}"

TEST(Dialect, ValueStandard) {
  const auto parsed = parse_row(
      R"({"prompt":"p","chosen":"c","rejected":"r","id":7,"weight":0.5,"margin":-1,"x":[1]})", {});
  EXPECT_EQ(parsed.dialect, Dialect::preference);
  EXPECT_EQ(parsed.row.prompt.text, "p");
  EXPECT_EQ(parsed.row.branches[0].text, "c");
  EXPECT_EQ(parsed.row.branches[1].text, "r");
  EXPECT_EQ(parsed.row.id, "7");
  EXPECT_EQ(parsed.row.facts.weight, 0.5);
  EXPECT_EQ(parsed.row.facts.margin, -1);
  EXPECT_THAT(parsed.extra_keys, ElementsAre("x"));
}

TEST(Dialect, ValueConversational) {
  for (const char* chosen :
       {"[" MSG("assistant", "c") "]", "[" MSG("user", "p") "," MSG("assistant", "c") "]"}) {
    const auto parsed = parse_row(std::string("{\"prompt\":[" MSG("user", "p") "],\"chosen\":") +
                                      chosen + ",\"rejected\":[" MSG("assistant", "r") "]}",
                                  {});
    EXPECT_EQ(parsed.dialect, Dialect::conversational);
    EXPECT_THAT(parsed.row.prompt.messages, ElementsAre(Message{"user", "p"}));
    EXPECT_THAT(parsed.row.branches[0].messages, ElementsAre(Message{"assistant", "c"}));
  }
}

TEST(Dialect, ValueImplicitChatAndUltraFeedback) {
  const std::string dialogues = "\"chosen\":[" MSG("system", "s") "," MSG("user", "p") "," MSG("assistant", "c") "],"
                                "\"rejected\":[" MSG("system", "s") "," MSG("user", "p") "," MSG("assistant", "r") "]}";
  for (const char* head :
       {"{",
        "{\"prompt\":\"p\",\"prompt_id\":\"h\",\"score_chosen\":8.5,\"score_rejected\":8.5,"}) {
    const auto parsed = parse_row(head + dialogues, {});
    EXPECT_EQ(parsed.dialect,
              std::string(head) == "{" ? Dialect::implicit_chat : Dialect::ultrafeedback);
    EXPECT_THAT(parsed.row.prompt.messages,
                ElementsAre(Message{"system", "s"}, Message{"user", "p"}));
    EXPECT_THAT(parsed.row.branches[1].messages, ElementsAre(Message{"assistant", "r"}));
    EXPECT_TRUE(parsed.extra_keys.empty());
  }
  const auto answers =
      parse_row("{\"prompt\":\"p\",\"chosen\":[" MSG("assistant", "c") "],\"rejected\":[" MSG(
                    "assistant", "r") "]}",
                {});
  EXPECT_EQ(answers.dialect, Dialect::ultrafeedback);
  EXPECT_THAT(answers.row.prompt.messages, ElementsAre(Message{"user", "p"}));
}

std::vector<std::string> implicit_split(const std::string& chosen, const std::string& rejected) {
  const auto parsed =
      parse_row("{\"chosen\":\"" + chosen + "\",\"rejected\":\"" + rejected + "\"}", {});
  EXPECT_EQ(parsed.dialect, Dialect::implicit);
  return {parsed.row.prompt.text, parsed.row.branches[0].text, parsed.row.branches[1].text};
}

TEST(Dialect, ValueThirdBranch) {
  const std::string row = R"({"prompt":"p","chosen":"c","rejected":"r","reference_response":"z"})";
  const auto pair = parse_row(row, {});
  EXPECT_EQ(pair.row.branches.size(), 2u);
  EXPECT_THAT(pair.extra_keys, ElementsAre("reference_response"));
  const DialectOptions three{.reference_response = true};
  const auto parsed = parse_row(row, three);
  ASSERT_EQ(parsed.row.branches.size(), 3u);
  EXPECT_EQ(parsed.row.branches[2].text, "z");
  EXPECT_TRUE(parsed.extra_keys.empty());
  const auto chat =
      parse_row(
          "{\"prompt\":\"p\",\"chosen\":[" MSG("user", "p") "," MSG(
              "assistant",
              "c") "],\"rejected\":[" MSG("user", "p") "," MSG("assistant",
                                                               "r") "],\"reference_response\":"
                                                                    "[" MSG("user",
                                                                            "p") "," MSG("assistan"
                                                                                         "t",
                                                                                         "z") "]}",
          three);
  ASSERT_EQ(chat.row.branches.size(), 3u);
  EXPECT_THAT(chat.row.branches[2].messages, ElementsAre(Message{"assistant", "z"}));
  for (const char* bad : {R"({"prompt":"p","chosen":"c","rejected":"r"})",
                          R"({"prompt":"p","chosen":"c","rejected":"r","reference_response":[]})",
                          R"({"prompt":"p","chosen":"c","rejected":"r","reference_response":" "})",
                          R"({"chosen":"a c","rejected":"a r","reference_response":"a z"})"})
    EXPECT_THROW(parse_row(bad, three), RowError) << bad;
}

TEST(Dialect, ValueImplicitTextSplitsAtAWord) {
  EXPECT_THAT(implicit_split("Q? A: yes", "Q? A: yellow"), ElementsAre("Q? A:", " yes", " yellow"));
  EXPECT_THAT(implicit_split("A b", "A b c"),
              ElementsAre("A", " b", " b c"));  // one begins the other
  EXPECT_THAT(implicit_split("A b ", "A b c"),
              ElementsAre("A", " b ", " b c"));  // nor is white space a response
  EXPECT_THAT(implicit_split("é", "è"),
              ElementsAre("", "é", "è"));  // equal first byte, not a character
  EXPECT_THAT(implicit_split("x\\né", "x\\nè"), ElementsAre("x\n", "é", "è"));
  EXPECT_THAT(implicit_split("yes", "no"), ElementsAre("", "yes", "no"));
}

TEST(Dialect, ValueTranscripts) {
  const std::string line =
      R"({"chosen":"\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d","rejected":"\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: e"})";
  const auto text = parse_row(line, {});
  EXPECT_EQ(text.dialect, Dialect::hh);
  EXPECT_EQ(text.row.prompt.text, "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:");
  EXPECT_EQ(text.row.branches[1].text, " e");
  const auto chat = parse_row(line, {.hh_as_messages = true});
  EXPECT_THAT(chat.row.prompt.messages,
              ElementsAre(Message{"user", "a"}, Message{"assistant", "b"}, Message{"user", "c"}));
  EXPECT_THAT(chat.row.branches[0].messages, ElementsAre(Message{"assistant", "d"}));
  // Forced to be text, the common beginning is the prompt.
  EXPECT_EQ(parse_row(line, {.dialect = Dialect::implicit}).row.branches[0].text, " d");
}

TEST(Dialect, ValueSupervised) {
  EXPECT_EQ(parse_row(R"({"prompt":"p","completion":"c"})", {}).row.branches[0].text, "c");
  const auto parsed =
      parse_row("{\"messages\":[" MSG("user", "p") "," MSG("assistant", "c") "]}", {});
  EXPECT_EQ(parsed.dialect, Dialect::messages);
  EXPECT_EQ(parsed.row.branches.size(), 1u);
  EXPECT_THAT(parsed.row.prompt.messages, ElementsAre(Message{"user", "p"}));
}

struct Bad {
  const char* line;
  const char* code;
  const char* text;
};

TEST(Dialect, RejectsBadRows) {
  const Bad table[] = {
      {R"([{"prompt":"p"}])", "not_object", "jq -c"},
      {R"("x")", "not_object", "a string"},
      {R"({"prompt":"p","chosen":"c"})", "missing_key",
       "\"rejected\" is missing (found: \"prompt\", \"chosen\")"},
      {R"({"prompt":"p","choosen":"c","rejected":"r"})", "missing_key", "Is \"choosen\" meant?"},
      {R"({"text":"p"})", "missing_key", "\"chosen\" is missing"},
      {R"({})", "missing_key", "found: nothing"},
      {R"({"prompt":"p","completion":"c","label":"good"})", "bad_type",
       "/label is a string, expected true or false"},
      {R"({"prompt":"p","completion":"c","label":2})", "bad_type", "/label is 2"},
      {R"({"prompt":"p"})", "missing_key", "Prompts alone are for sampling"},
      {R"({"prompt":"p","completions":["a"],"labels":[true]})", "bad_type", "stepwise"},
      {R"({"prompt":3,"chosen":"c","rejected":"r"})", "bad_type",
       "/prompt is a number, expected a string"},
      {R"({"prompt":"p","chosen":null,"rejected":"r"})", "bad_type", "/chosen is null"},
      {R"({"prompt":"p","chosen":["c"],"rejected":["r"]})", "bad_type",
       "/chosen/0 is a string, expected a message"},
      {R"({"prompt":"p","chosen":[],"rejected":[]})", "bad_type", "/chosen is an empty list"},
      {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":[" MSG("assistant", "r") "]}", "bad_type",
       "one form"},
      {"{\"prompt\":[" MSG("user", "p") "],\"chosen\":\"c\",\"rejected\":\"r\"}", "bad_type",
       "one form"},
      {R"({"messages":[{"role":"user"}]})", "bad_type", "/messages/0 has no content"},
      {R"({"messages":[{"role":"user","content":null}]})", "bad_type",
       "/messages/0/content is null, expected a string"},
      {"{\"messages\":[" MSG("wizard", "p") "]}", "bad_type", "/messages/0/role is \"wizard\""},
      {"{\"messages\":[" MSG("assistant", "p") "]}", "bad_type", "one message"},
      {R"({"prompt":"p","chosen":"c","rejected":"r","images":["x"]})", "bad_type", "/images"},
      {R"({"prompt":"p","chosen":"c","rejected":"r","weight":-1})", "bad_type", "/weight is -1"},
      {R"({"prompt":"p","chosen":"c","rejected":"r","margin":"1"})", "bad_type",
       "/margin is a string"},
      {R"({"prompt":"p","chosen":" \n","rejected":"r"})", "empty_response", "/chosen"},
      {R"({"prompt":"p","chosen":"c","rejected":"\u3000"})", "empty_response", "/rejected"},
      {"{\"prompt\":[" MSG("user", "p") "],\"chosen\":[" MSG(
           "assistant", "") "],\"rejected\":[" MSG("assistant", "r") "]}",
       "empty_response", "/chosen"},
      {R"({"prompt":"p","chosen":"c","rejected":"c"})", "identical_pair", "equal"},
      {"{\"chosen\":[" MSG("user", "p") "," MSG("assistant", "c") "],\"rejected\":[" MSG(
           "user", "p") "," MSG("assistant", "c") "]}",
       "identical_pair", "equal"},
      {"{\"chosen\":[" MSG("user", "p") "," MSG("assistant", "c") "],\"rejected\":[" MSG(
           "user", "q") "," MSG("assistant", "c") "]}",
       "prompt_mismatch", "message 0"},
      {"{\"prompt\":\"p\",\"chosen\":[" MSG("user", "p") "," MSG(
           "assistant", "c") "],\"rejected\":[" MSG("user", "q") "," MSG("assistant", "c") "]}",
       "prompt_mismatch", "/rejected does not begin with /prompt"},
      {"{\"prompt\":[" MSG("user", "p") "," MSG("user", "p2") "],\"chosen\":[" MSG(
           "user", "p") "," MSG("assistant", "c") "],\"rejected\":[" MSG("assistant", "c") "]}",
       "prompt_mismatch", "message 1"},
      {"{\"prompt\":\"p\",\"chosen\":[" MSG("user", "p") "],\"rejected\":[" MSG(
           "user", "p") "," MSG("assistant", "c") "]}",
       "empty_response", "no response"},
      {R"({"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: A\n\nAssistant: c"})",
       "prompt_mismatch", "turn 0"},
      {R"({"chosen":"\n\nHuman: a\n\nAssistant: b\n\nHuman: c","rejected":"\n\nHuman: a\n\nAssistant: c"})",
       "bad_turns", "Assistant:"},
      {R"({"chosen":"\n\nHuman: a\n\nAssistant:","rejected":"\n\nHuman: a\n\nAssistant: c"})",
       "empty_response", "/chosen"},
      {"{\"messages\":[" MSG("assistant", "p") "," MSG("user", "p") "]}", "bad_turns",
       "ends with a message of the role user"},
      {R"({"prompt":"p","chosen":"c","rejected":"r","score_chosen":1,"score_rejected":2.5})",
       "inverted_scores", "the score of /chosen is 1, below that of /rejected, 2.5"},
      {R"({"prompt":"p","chosen":"c","rejected":"r","score_chosen":"1","score_rejected":2})",
       "bad_type", "/score_chosen"},
  };
  for (const Bad& bad : table) {
    try {
      parse_row(bad.line, {});
      ADD_FAILURE() << "accepted: " << bad.line;
    } catch (const RowError& error) {
      EXPECT_EQ(error.code, bad.code) << bad.line << "\n" << error.what();
      EXPECT_THAT(error.what(), HasSubstr(bad.text)) << bad.line;
      EXPECT_LT(error.offset, std::string_view(bad.line).size());
    }
  }
}

TEST(Dialect, NotesAreUsedRows) {
  EXPECT_THAT(parse_row(R"({"prompt":"p\u0000","chosen":"c","rejected":"r"})", {}).notes,
              ElementsAre("nul_byte"));
  const char* twice =
      "{\"messages\":[" MSG("user", "p") "," MSG("assistant", "c") "," MSG("assistant", "d") "]}";
  EXPECT_THAT(parse_row(twice, {}).notes, ElementsAre("bad_turns"));
  EXPECT_THROW(parse_row(twice, {.strict_turns = true}), RowError);
}

TEST(Dialect, ForcedOneRefusesOthers) {
  EXPECT_NO_THROW(
      parse_row(R"({"prompt":"p","chosen":"c","rejected":"r"})", {.dialect = Dialect::preference}));
  EXPECT_THROW(parse_row(R"({"prompt":"p","chosen":"c","rejected":"r"})", {.dialect = Dialect::hh}),
               RowError);
}

}  // namespace
}  // namespace pref
