// SPDX-License-Identifier: Apache-2.0
// The layouts of other programs and published sets: what each row becomes, and what is refused.
#include <gmock/gmock.h>

#include "libpref/data/dialect.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// "role: content" lines of the prompt; of a text, the text.
std::string prompt_of(const ParsedRow& parsed) {
  std::string out = parsed.row.prompt.text;
  for (const Message& message : parsed.row.prompt.messages)
    out += message.role + ": " + message.content + "\n";
  return out;
}

std::vector<std::string> responses(const ParsedRow& parsed) {
  std::vector<std::string> out;
  for (const Content& branch : parsed.row.branches)
    out.push_back(branch.conversational() ? branch.messages.back().content : branch.text);
  return out;
}

struct Case {
  Dialect dialect;
  const char* line;
  const char* prompt;
  std::vector<std::string> branches;
};

TEST(DialectLayouts, Value) {
  const std::vector<Case> table = {
      {Dialect::ultrafeedback_raw,
       R"({"source":"s","instruction":"q","models":["m"],"completions":[{"response":"low","overall_score":3.5,"fine-grained_score":4},{"response":"best","overall_score":8,"fine-grained_score":3}],"correct_answers":[]})",
       "user: q\n",
       {"best", "low"}},
      {Dialect::openrlhf, R"({"input":"q","chosen":"c","rejected":"r"})", "q", {"c", "r"}},
      {Dialect::openrlhf,
       R"({"input":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]})",
       "user: q\n",
       {"c", "r"}},
      {Dialect::alpaca,
       R"({"instruction":"q","input":"i","chosen":"c","rejected":"r","system":"s","history":[["u","a"]]})",
       "system: s\nuser: u\nassistant: a\nuser: q\ni\n",
       {"c", "r"}},
      {Dialect::alpaca, R"({"instruction":"q","input":"","output":"c"})", "user: q\n", {"c"}},
      {Dialect::sharegpt,
       R"({"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"},{"from":"human","value":"p"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"},"system":"s"})",
       "system: s\nuser: q\nassistant: a\nuser: p\n",
       {"c", "r"}},
      {Dialect::sharegpt,
       R"({"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"c"}]})",
       "user: q\n",
       {"c"}},
      {Dialect::nemo,
       R"({"context":[{"role":"user","content":"q"}],"completions":[{"rank":1,"completion":[{"role":"assistant","content":"r"}]},{"rank":0,"completion":[{"role":"assistant","content":"c"}]}]})",
       "user: q\n",
       {"c", "r"}},
      {Dialect::nemo,
       R"({"prompt":"q","chosen_response":"c","rejected_response":"r","chosen_reward":2,"rejected_reward":1})",
       "q",
       {"c", "r"}},
      {Dialect::axolotl,
       R"({"system":"s","question":"q","chosen":"c","rejected":"r"})",
       "system: s\nuser: q\n",
       {"c", "r"}},
      {Dialect::axolotl,
       R"({"system":"","instruction":"q","chosen_response":"c","rejected_response":"r"})",
       "user: q\n",
       {"c", "r"}},
      {Dialect::axolotl,
       R"({"system":"s","prompt":"q","chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"r"}]})",
       "system: s\nuser: q\n",
       {"c", "r"}},
      {Dialect::axolotl,
       R"({"messages":[{"role":"user","content":"q"}],"chosen":{"role":"assistant","content":"c"},"rejected":{"role":"assistant","content":"r"}})",
       "user: q\n",
       {"c", "r"}},
      {Dialect::argilla,
       R"({"instruction":"q","generations":["a","b","c"],"ratings":[1,5,3]})",
       "user: q\n",
       {"b", "c", "a"}},
      {Dialect::ultrafeedback,
       R"({"prompt":"q","chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"c"}],"chosen-rating":5,"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"r"}],"rejected-rating":2})",
       "user: q\n",
       {"c", "r"}},
      {Dialect::nectar,
       R"({"prompt":"\n\nHuman: q\n\nAssistant: ","answers":[{"answer":"r","model":"m","rank":2.0},{"answer":"c","model":"n","rank":1.0}],"turns":1})",
       "\n\nHuman: q\n\nAssistant:",
       {" c", " r"}},
  };
  for (const Case& expected : table) {
    const ParsedRow parsed = parse_row(expected.line, {});
    EXPECT_EQ(dialect_name(parsed.dialect), dialect_name(expected.dialect)) << expected.line;
    EXPECT_EQ(prompt_of(parsed), expected.prompt) << expected.line;
    EXPECT_EQ(responses(parsed), expected.branches) << expected.line;
    EXPECT_NO_THROW(parse_row(expected.line, {.dialect = expected.dialect})) << expected.line;
    EXPECT_THROW(parse_row(expected.line, {.dialect = Dialect::hh}), RowError) << expected.line;
  }
}

TEST(DialectLayouts, ValueOfUnpairedKinds) {
  for (
      const char* line :
      {R"({"instruction":"q","input":"","output":"c","kto_tag":false})",
       R"({"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"c"}],"kto_tag":false})",
       R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"c"}],"kto_tag":false})",
       R"({"input":"q","output":"c","label":0})",
       R"({"system":"s","question":"q","completion":"c","label":false})"}) {
    const ParsedRow parsed = parse_row(line, {});
    EXPECT_EQ(parsed.row.facts.desirable, false) << line;
    EXPECT_THAT(responses(parsed), ElementsAre("c")) << line;
    EXPECT_THAT(parsed.extra_keys, IsEmpty()) << line;
  }
}

TEST(DialectLayouts, ValueOfScoresAndForms) {
  const std::string raw =
      R"({"instruction":"q","completions":[{"response":"a","overall_score":3.5,"annotations":{"honesty":{"Rating":"5"},"helpfulness":{"Rating":"N/A"}}},{"response":"b","overall_score":8,"annotations":{"honesty":{"Rating":"4"}}}]})";
  EXPECT_THAT(parse_row(raw, {}).row.facts.scores, ElementsAre(8, 3.5));
  const ParsedRow fine = parse_row(raw, {.ultrafeedback_score = ScoreKey::fine_grained});
  EXPECT_THAT(fine.row.facts.scores, ElementsAre(5, 4));
  EXPECT_THAT(responses(fine), ElementsAre("a", "b"));
  // Nectar's and HH's transcripts become messages where a chat format is named.
  const ParsedRow chat = parse_row(
      R"({"prompt":"\n\nHuman: q\n\nAssistant: a\n\nHuman: p\n\nAssistant: ","answers":[{"answer":"c","rank":1},{"answer":"r","rank":1}]})",
      {.hh_as_messages = true});
  EXPECT_EQ(prompt_of(chat), "user: q\nassistant: a\nuser: p\n");
  EXPECT_THAT(chat.notes, ElementsAre("tied_scores"));
  // Tool calls and observations of ShareGPT.
  const ParsedRow tools = parse_row(
      R"({"conversations":[{"from":"human","value":"q"},{"from":"function_call","value":"{\"name\":\"f\",\"arguments\":{\"x\":1}}"},{"from":"observation","value":"7"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"},"tools":"[{\"name\":\"f\"}]"})",
      {});
  EXPECT_EQ(
      tools.row.prompt.messages[1].json,
      R"({"role":"assistant","content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":{"x":1}}}]})");
  EXPECT_EQ(tools.row.prompt.messages[2].role, "tool");
  EXPECT_EQ(tools.row.tools, R"([{"name":"f"}])");
}

TEST(DialectLayouts, Rejects) {
  const std::pair<const char*, const char*> table[] = {
      {R"({"instruction":"q","completions":[{"response":"a"},{"response":"b"}]})",
       "/completions/0 has no overall_score"},
      {R"({"instruction":"q","completions":[{"response":"a","overall_score":"8"}]})",
       "/completions/0/overall_score is a string, expected a finite number"},
      {R"({"instruction":" ","completions":[{"response":"a","overall_score":8}]})",
       "field \"instruction\" is missing"},
      {R"({"context":[{"role":"user","content":"q"}],"completions":[{"completion":"a"}]})",
       "/completions/0 has no rank"},
      {R"({"completions":[{"rank":0,"completion":"a"}]})", "field \"context\" is missing"},
      {R"({"prompt":"q","chosen_response":"c"})", "field \"rejected_response\" is missing"},
      {R"({"instruction":"q","generations":["a","b"],"ratings":[1]})",
       "/ratings has 1 numbers, the row has 2 generations"},
      {R"({"instruction":"q","generations":["a","b"],"ratings":[1,null]})", "/ratings/1 is null"},
      {R"({"prompt":"\n\nHuman: q","answers":[{"answer":"a","rank":1},{"answer":"b","rank":2}]})",
       "open \"Assistant:\" turn"},
      {R"({"prompt":"q","answers":[{"answer":"a"},{"answer":"b","rank":2}]})",
       "/answers/0 has no rank"},
      {R"({"instruction":"q","chosen":"c","rejected":"r","history":[["u"]]})",
       "/history/0 is not a pair of strings"},
      {R"({"instruction":"q","chosen":"c","rejected":"r","history":"u"})", "/history is a string"},
      {R"({"instruction":"q","output":"c","kto_tag":"yes"})", "/kto_tag is a string"},
      {R"({"conversations":[{"from":"alien","value":"q"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}})",
       "/conversations/0/from is \"alien\""},
      {R"({"conversations":[{"from":"function_call","value":"f of x"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}})",
       "/conversations/0/value of a function_call is not JSON"},
      {R"({"conversations":[{"from":"human"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}})",
       "/conversations/0 has no value"},
      {R"({"system":3,"question":"q","chosen":"c","rejected":"r"})", "/system is a number"},
      {R"({"input":3,"chosen":"c","rejected":"r"})", "/input is a number"},
      {R"({"prompt":"q","responses":["a",3]})", "/responses/1 is a number"},
      {R"({"prompt":"q","responses":["a",[{"role":"assistant","content":"b"}]]})", "one form"},
      {R"({"prompt":"q","responses":["a","b"],"scores":["x",1]})", "/scores/0 is a string"},
  };
  for (const auto& [line, text] : table) {
    try {
      parse_row(line, {});
      ADD_FAILURE() << "accepted: " << line;
    } catch (const RowError& error) {
      EXPECT_THAT(error.what(), HasSubstr(text)) << line;
      EXPECT_LT(error.offset, std::string_view(line).size());
    }
  }
}

}  // namespace
}  // namespace pref
