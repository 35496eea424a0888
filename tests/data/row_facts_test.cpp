// SPDX-License-Identifier: Apache-2.0
// What rows say beside their texts: scores, win probabilities, labels, lists, token rewards, the
// reference's own prompt, tools; and what encoding makes of them.
#include <gmock/gmock.h>

#include "libpref/data/dialect.h"
#include "libpref/data/encode_row.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempFolder;

std::vector<std::string> texts(const ParsedRow& parsed) {
  std::vector<std::string> out;
  for (const Content& branch : parsed.row.branches)
    out.push_back(branch.conversational() ? branch.messages.back().content : branch.text);
  return out;
}

std::string error_of_row(const std::string& line, const DialectOptions& options = {}) {
  try {
    parse_row(line, options);
  } catch (const RowError& error) {
    return error.code + ": " + error.what();
  }
  return "";
}

TEST(RowFacts, ValueOfPairs) {
  const std::string pair = R"({"prompt":"p","chosen":"c","rejected":"r",)";
  for (const char* keys :
       {R"("scores":[2,1.5]})", R"("score_chosen":2,"score_rejected":1.5})",
        R"("chosen-rating":2,"rejected-rating":1.5})", R"("chosen_score":2,"rejected_score":1.5})"})
    EXPECT_THAT(parse_row(pair + keys, {}).row.facts.scores, ElementsAre(2, 1.5)) << keys;
  for (const char* keys : {R"("win_probability":[0.75,0.25]})",
                           R"("win_probability_chosen":0.75,"win_probability_rejected":0.25})",
                           R"("win_probability/chosen":0.75,"win_probability/rejected":0.25})"}) {
    const ParsedRow parsed = parse_row(pair + keys, {});
    EXPECT_THAT(parsed.row.facts.win_probability, ElementsAre(0.75, 0.25)) << keys;
    EXPECT_THAT(parsed.extra_keys, IsEmpty());
  }
  EXPECT_THAT(parse_row(pair + R"("scores":[1,1]})", {}).notes, ElementsAre("tied_scores"));
  EXPECT_THAT(error_of_row(pair + R"("scores":[1]})"),
              HasSubstr("/scores has 1 numbers, the row has 2 responses"));
  EXPECT_THAT(error_of_row(pair + R"("scores":[1,2]})"), HasSubstr("inverted_scores"));
  EXPECT_THAT(error_of_row(pair + R"("win_probability":[1.5,0]})"), HasSubstr("expected 0 to 1"));
  EXPECT_THAT(error_of_row(pair + R"("win_probability":0.5})"), HasSubstr("a list of numbers"));
}

TEST(RowFacts, ValueOfUnpairedRows) {
  for (const auto& [label, expected] :
       {std::pair{"true", true}, {"false", false}, {"1", true}, {"0", false}}) {
    const ParsedRow parsed =
        parse_row(std::string(R"({"prompt":"p","completion":"c","label":)") + label + "}", {});
    EXPECT_EQ(parsed.dialect, Dialect::unpaired);
    EXPECT_EQ(parsed.row.facts.desirable, expected);
    EXPECT_THAT(texts(parsed), ElementsAre("c"));
  }
}

TEST(RowFacts, ValueOfLists) {
  // Scores order the responses, and take the other lists with them.
  const std::string scored =
      R"({"prompt":"p","responses":["a","b","c"],"scores":[1,3,2],"win_probability":[0.1,0.6,0.3],"token_rewards":[[1],[2],[3]]})";
  const ParsedRow parsed = parse_row(scored, {});
  EXPECT_EQ(parsed.dialect, Dialect::list);
  EXPECT_THAT(texts(parsed), ElementsAre("b", "c", "a"));
  EXPECT_THAT(parsed.row.facts.scores, ElementsAre(3, 2, 1));
  EXPECT_THAT(parsed.row.facts.win_probability, ElementsAre(0.6, 0.3, 0.1));
  EXPECT_THAT(parsed.row.token_rewards,
              ElementsAre(ElementsAre(2), ElementsAre(3), ElementsAre(1)));
  // Without scores they stand best first.
  EXPECT_THAT(texts(parse_row(R"({"prompt":"p","responses":["a","b","c"]})", {})),
              ElementsAre("a", "b", "c"));
  const ParsedRow lowest = parse_row(scored, {.list_pairing = ListPairing::lowest});
  EXPECT_THAT(texts(lowest), ElementsAre("b", "a"));
  EXPECT_THAT(lowest.row.facts.scores, ElementsAre(3, 1));
  EXPECT_THAT(lowest.notes, ElementsAre("unused_responses"));
  // One chosen, several rejected.
  const ParsedRow several =
      parse_row(R"({"prompt":"p","chosen":"c","rejected":["r","s"],"scores":[3,1,2]})", {});
  EXPECT_EQ(several.dialect, Dialect::list);
  EXPECT_THAT(texts(several), ElementsAre("c", "r", "s"));
  EXPECT_THAT(several.row.facts.scores, ElementsAre(3, 1, 2));
  const ParsedRow implicit = parse_row(R"({"chosen":"q a","rejected":["q b","q"]})", {});
  EXPECT_EQ(implicit.row.prompt.text, "");
  EXPECT_THAT(texts(implicit), ElementsAre("q a", "q b", "q"));
  EXPECT_THAT(error_of_row(R"({"prompt":"p","responses":["a","b","a"]})"),
              HasSubstr("identical_pair"));
  EXPECT_THAT(parse_row(R"({"prompt":"p","responses":["a","b","b"]})", {}).notes,
              ElementsAre("duplicate_response"));
  EXPECT_THAT(error_of_row(R"({"prompt":"p","responses":[]})"), HasSubstr("empty list"));
}

TEST(RowFacts, InvariantOfTheDrawnPair) {
  // The draw is among the worse ones, depends on the seed, and on nothing but the row's text.
  std::map<std::string, int> drawn;
  for (int64_t seed = 0; seed < 60; ++seed) {
    const DialectOptions options{.list_pairing = ListPairing::random, .seed = seed};
    const std::string row = R"({"prompt":"p","responses":["a","b","c","d"],"scores":[3,1,3,2]})";
    const auto first = texts(parse_row(row, options)), again = texts(parse_row(row, options));
    EXPECT_EQ(first, again);
    EXPECT_EQ(first[0], "a");
    ++drawn[first[1]];
  }
  EXPECT_EQ(drawn.size(), 2u);  // never the tied one
  EXPECT_GT(drawn["b"], 10);
  EXPECT_GT(drawn["d"], 10);
}

TEST(RowFacts, ValueOfPromptsAlone) {
  const DialectOptions prompts{.prompt_only = true};
  const ParsedRow alone = parse_row(R"({"prompt":"p"})", prompts);
  EXPECT_EQ(alone.dialect, Dialect::prompt_only);
  EXPECT_EQ(alone.row.prompt.text, "p");
  EXPECT_THAT(alone.row.branches, IsEmpty());
  const ParsedRow pair =
      parse_row(R"({"prompt":"p","chosen":"c","rejected":"r","scores":[2,1]})", prompts);
  EXPECT_THAT(pair.row.branches, IsEmpty());
  EXPECT_THAT(pair.row.facts.scores, IsEmpty());
  EXPECT_THAT(error_of_row(R"({"prompt":" "})", prompts), HasSubstr("empty_prompt"));
}

TEST(RowFacts, MessagesKeepWhatTheTemplateNeeds) {
  const std::string row =
      R"({"prompt":[{"role":"user","content":"q","name":"Ann","image":null}],"tools":"[{\"name\":\"f\"}]","chat_template_kwargs":{"thinking":true},"chosen":[{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":{"x":1.50}}}]},{"role":"tool","content":"3"},{"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}],"rejected":[{"role":"assistant","content":"r"}]})";
  const ParsedRow parsed = parse_row(row, {});
  EXPECT_EQ(parsed.row.prompt.messages[0].json, R"({"role":"user","content":"q","name":"Ann"})");
  const auto& chosen = parsed.row.branches[0].messages;
  EXPECT_EQ(
      chosen[0].json,
      R"({"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":{"x":1.50}}}]})");
  EXPECT_EQ(chosen[2].content, "cd");
  EXPECT_THAT(chosen[2].json, HasSubstr(R"("content":[{"type":"text")"));
  EXPECT_EQ(parsed.row.branches[1].messages[0].json, "");
  EXPECT_EQ(parsed.row.tools, R"([{"name":"f"}])");
  EXPECT_EQ(parsed.row.chat_template_kwargs, R"({"thinking":true})");
  EXPECT_EQ(parsed.row.needs_template, "/chosen/0/tool_calls");
  EXPECT_THAT(error_of_row(R"({"prompt":"p","chosen":"c","rejected":"r","tools":[{}]})"),
              HasSubstr("is for a chat template"));
  EXPECT_THAT(error_of_row(R"({"prompt":"p","chosen":"c","rejected":"r","tools":"[x"})"),
              HasSubstr("/tools is text that is not JSON"));
  EXPECT_THAT(
      error_of_row(
          R"({"messages":[{"role":"user","content":[{"type":"image"}]},{"role":"assistant","content":"a"}]})"),
      HasSubstr("/messages/0/content/0 is a part of the type \"image\""));
}

class EncodeFacts : public ::testing::Test {
 protected:
  EncodeFacts()
      : tokenizer_(load_tokenizer(folder_.write("tokenizer.model", testing::tiny_model()))) {}
  EncodedRow encode(const std::string& line, const EncodeOptions& options = {},
                    const DialectOptions& dialect = {}) const {
    return encode_row(parse_row(line, dialect).row, *tokenizer_, options);
  }
  std::string error(const std::string& line, const EncodeOptions& options = {}) const {
    try {
      encode(line, options);
    } catch (const RowError& error) {
      return error.code + ": " + error.what();
    }
    return "";
  }
  TempFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_F(EncodeFacts, ValueOfTokenRewards) {
  // "bc" is two tokens and EOS, "." one and EOS.
  const std::string row = R"({"prompt":"a","chosen":"bc","rejected":".","token_rewards":)";
  const EncodedRow out = encode(row + "[[1,2,3],[4,5]]}");
  EXPECT_THAT(out.row.token_rewards, ElementsAre(ElementsAre(1, 2, 3), ElementsAre(4, 5)));
  const EncodedRow cut = encode(row + "[[1,2,3],[4,5]]}", {.limits = {.max_completion_length = 1}});
  EXPECT_THAT(cut.row.token_rewards, ElementsAre(ElementsAre(1), ElementsAre(4)));
  const EncodedRow end =
      encode(row + "[[1,2,3],[4,5]]}",
             {.limits = {.max_length = 3, .mode = TruncationMode::keep_end}});  // BOS stays alone
  EXPECT_THAT(end.row.token_rewards, ElementsAre(ElementsAre(2, 3), ElementsAre(4, 5)));
  for (size_t b = 0; b < 2; ++b)
    EXPECT_EQ(end.row.token_rewards[b].size(), end.row.branches[b].size());
  EXPECT_THAT(error(row + "[[1,2],[4,5]]}"),
              HasSubstr("token_rewards of response 0 has 2 numbers, the response has 3 tokens"));
  EXPECT_THAT(error(row + "[[1,2,3]]}"), HasSubstr("has 1 lists, the row has 2 responses"));
  EXPECT_THAT(error(row + "[1,2]}"), HasSubstr("/token_rewards/0 is a number"));
}

TEST_F(EncodeFacts, ValueOfReferencePrompt) {
  const std::string row =
      R"({"prompt":"a.b.b","chosen":"b","rejected":"c","reference_prompt":"ab"})";
  const EncodedRow out = encode(row);
  EXPECT_EQ(out.row.reference_prompt,
            encode(R"({"prompt":"ab","chosen":"b","rejected":"c"})").row.prompt);
  // A longer reference prompt takes room from the branches, and is cut like the prompt.
  const std::string longer =
      R"({"prompt":"ab","chosen":"bcbc","rejected":"c","reference_prompt":"a.b.b.b"})";
  const auto size = static_cast<int64_t>(encode(longer).row.reference_prompt.size());
  const EncodedRow cut = encode(longer, {.limits = {.max_length = size + 1}});
  EXPECT_EQ(cut.row.branches[0].size(), 1u);
  const EncodedRow left =
      encode(longer, {.limits = {.max_length = size + 1, .mode = TruncationMode::prompt_left}});
  EXPECT_EQ(left.row.branches[0].size(), 5u);
  EXPECT_EQ(left.row.reference_prompt[0], 1);  // BOS survives
  EXPECT_EQ(static_cast<int64_t>(left.row.reference_prompt.size()), size + 1 - 5);
  EXPECT_EQ(left.truncation.reference_tokens_cut, 4);
  EXPECT_THAT(left.notes, Contains("truncated_reference_prompt"));
  EXPECT_THAT(error(longer, {.limits = {.max_length = size, .mode = TruncationMode::drop}}),
              HasSubstr("too_long"));
  EXPECT_THAT(error(longer, {.limits = {.max_length = size}}),
              HasSubstr("no_response_tokens: the reference prompt"));
  EXPECT_THAT(error(R"({"prompt":"a","chosen":"b","rejected":"c","reference_prompt":" "})"),
              HasSubstr("empty_prompt"));
}

TEST_F(EncodeFacts, SeamPolicies) {
  // Apart: a | b, together: ab. The tiny model has the piece "ab".
  const std::string row = R"({"prompt":"c a","chosen":"b","rejected":"c"})";
  const EncodedRow apart = encode(row);
  EXPECT_THAT(apart.notes, Contains("boundary_merge"));
  const EncodedRow moved = encode(row, {.seam = SeamPolicy::move_back});
  EXPECT_THAT(moved.notes, Contains("boundary_moved"));
  EXPECT_EQ(moved.seam_tokens_moved, 1);
  EXPECT_EQ(moved.row.prompt.size() + 1, apart.row.prompt.size());
  for (size_t b = 0; b < 2; ++b) {
    std::vector<int32_t> whole(moved.row.prompt.begin() + 1, moved.row.prompt.end());  // but BOS
    whole.insert(whole.end(), moved.row.branches[b].begin(), moved.row.branches[b].end() - 1);
    EXPECT_EQ(tokenizer_->decode(whole), b == 0 ? "c ab" : "c ac");
    EXPECT_EQ(whole, tokenizer_->encode(b == 0 ? "c ab" : "c ac"));
  }
  const std::string text = error(row, {.seam = SeamPolicy::error});
  EXPECT_THAT(text, HasSubstr("boundary_merge: response 0"));
  EXPECT_THAT(text, HasSubstr("together"));
  EXPECT_THAT(text, HasSubstr("▁a|b"));
  EXPECT_THAT(text, HasSubstr("▁ab"));
  // A clean seam is left alone.
  EXPECT_EQ(encode(R"({"prompt":"a","chosen":" a","rejected":" c"})", {.seam = SeamPolicy::error})
                .seam_tokens_moved,
            0);
}

TEST_F(EncodeFacts, ValueOfTruncatedPromptsAlone) {
  const EncodeOptions left{.limits = {.max_length = 4, .mode = TruncationMode::prompt_left}};
  const EncodedRow cut = encode(R"({"prompt":"a.b.b.b"})", left, {.prompt_only = true});
  EXPECT_EQ(cut.row.prompt.size(), 3u);  // of five, with room for one token of a response
  EXPECT_EQ(cut.row.prompt[0], 1);
  EXPECT_EQ(cut.truncation.prompt_tokens_cut, 2);
  const auto plan = plan_truncation(5, {}, true, {.max_length = 5});
  EXPECT_EQ(plan.reason, "no_response_tokens");
}

TEST_F(EncodeFacts, PromptsAloneAndToolsByTheTemplate) {
  const EncodedRow alone = encode(R"({"prompt":"a a"})", {}, {.prompt_only = true});
  EXPECT_THAT(alone.row.branches, IsEmpty());
  EXPECT_FALSE(alone.row.prompt.empty());
  EncodeOptions options;
  options.folder_template = std::make_shared<ChatTemplate>(
      "{{ style }}{% for t in tools or [] %}{{ t.name }}{% endfor %}{% for m in messages %}"
      "{% for c in m.tool_calls or [] %}{{ c.name }}{% endfor %}.{{ m.content or '' }}{% endfor %}"
      "{% if add_generation_prompt %}|{% endif %}");
  const std::string row =
      R"({"prompt":[{"role":"user","content":"a"}],"chosen":[{"role":"assistant","tool_calls":[{"name":"b"}]}],"rejected":[{"role":"assistant","content":"c"}],"tools":[{"name":"ab"}],"chat_template_kwargs":{"style":"ba"}})";
  // Without a generation prompt in the text the pair's rendering cannot be split.
  EXPECT_THAT(error(row, options), HasSubstr("bad_turns"));
  options.folder_template = std::make_shared<ChatTemplate>(
      "{{ style }}{% for t in tools or [] %}{{ t.name }}{% endfor %}{% for m in messages %}"
      "{% if m.role == 'assistant' %}|{% endif %}{% for c in m.tool_calls or [] %}{{ c.name }}"
      "{% endfor %}{{ m.content or '' }}{% endfor %}{% if add_generation_prompt %}|{% endif %}");
  const EncodedRow out = encode(row, options);
  const std::vector<int32_t> prompt(out.row.prompt.begin() + 1, out.row.prompt.end());
  EXPECT_EQ(tokenizer_->decode(prompt), "baaba|");
  EXPECT_EQ(tokenizer_->decode({out.row.branches[0].begin(), out.row.branches[0].end() - 1}), "b");
  // A format that the template was recognised as gives way to the template itself.
  options.chat_format = ChatFormat::chatml;
  EXPECT_EQ(encode(row, options).row.prompt, out.row.prompt);
  EXPECT_THAT(error(row, {.chat_format = ChatFormat::chatml}),
              HasSubstr("needs_template: /chosen/0/tool_calls is for the chat template"));
}

}  // namespace
}  // namespace pref
