// SPDX-License-Identifier: Apache-2.0
// Small files in which every finding is planted once and must be found with its count and place;
// a clean file has none; what the audit says of rows is what the loader does with them.
#include "libpref/data/audit/audit.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "libpref/cli/audit_html.h"
#include "tests/audit/toy_tokenizer.h"
#include "tests/data/data_test_util.h"

namespace pref::audit {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using testing::TempFolder;
using testing::ToyTokenizer;
using ::testing::UnorderedElementsAre;

std::string pair(const std::string& prompt, const std::string& chosen,
                 const std::string& rejected) {
  return json{{"prompt", prompt}, {"chosen", chosen}, {"rejected", rejected}}.dump();
}

/// Answers of unequal lengths in both directions.
const std::vector<std::string> kClean = {
    pair("Name a colour. ", "Blue.", "A dog."), pair("Say yes. ", "Yes, sure.", "No."),
    pair("Count to two. ", "1 2", "one and three"), pair("What is 2+2? ", "It is 4.", "5")};

class AuditTest : public ::testing::Test {
 protected:
  std::string file(const std::vector<std::string>& lines, const std::string& name = "rows.jsonl") {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    return folder_.write(name, text);
  }
  std::string at(int line, const std::string& name = "rows.jsonl") const {
    return folder_.path() + "/" + name + ":" + std::to_string(line);
  }
  AuditReport audit(const std::vector<std::string>& lines, AuditOptions options = {}) {
    return audit_preferences({file(lines)}, tokenizer_, options);
  }
  TempFolder folder_;
  ToyTokenizer tokenizer_;
};

TEST_F(AuditTest, ValueOfACleanFile) {
  AuditOptions options;
  options.eval = file({pair("Another. ", "Good.", "Bad one.")}, "eval.jsonl");
  options.max_positions = 4096;
  const AuditReport report = audit(kClean, options);
  for (const Finding& finding : report.findings) {
    EXPECT_EQ(finding.severity, Severity::ok) << finding.code << " " << finding.count;
    EXPECT_TRUE(finding.detail.empty() && finding.advice.empty()) << finding.code;
  }
  EXPECT_GT(report.findings.size(), 18u);
  EXPECT_EQ(report.rows_read, 4);
  EXPECT_EQ(report.rows_used, 4);
  EXPECT_THAT(audit_text(report), HasSubstr("nothing found; "));
  EXPECT_THAT(audit_text(report), Not(HasSubstr("\x1b")));
}

// ---------------------------------------------------------------------------------------------
// One case a finding. Planted lines stand behind the four clean ones, so the first is line 5.

struct Planted {
  std::string code;
  std::vector<std::string> lines;
  int64_t count, total;
  std::vector<int> places;
  Severity severity;
  std::vector<std::string> beside;  ///< other findings that the same lines cause
  std::optional<int64_t> max_length;
};

std::vector<Planted> planted() {
  const std::string words = "one two three four five six seven eight nine ten ";
  const std::string thirty = words + "1" + words + "2" + words;  // glued words stay 30
  const auto repeated = [](const std::string& text, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += text + std::to_string(i) + " ";
    return out;
  };
  return {
      {"identical_pairs", {pair("p", "same", "same")}, 1, 5, {5}, Severity::error, {}, {}},
      {"near_identical",
       {pair("p", repeated("w", 40) + "end", repeated("w", 40) + "stop"),
        pair("q", "Blue  sky", "blue sky")},
       2,
       6,
       {5, 6},
       Severity::warning,
       {},
       {}},
      {"contradictory_labels",
       {pair("p", "left is it", "right it is"), pair("p ", "right it is", "left is  it")},
       2,
       6,
       {5, 6},
       Severity::error,
       {"duplicate_prompts"},
       {}},
      {"duplicate_rows",
       {pair("p", "left", "right now"), pair("p", "left", "right now")},
       1,
       6,
       {6},
       Severity::warning,
       {"duplicate_prompts"},
       {}},
      {"duplicate_prompts",
       {pair("p", "left", "right now"), pair(" p", "Left", "Right now"),
        pair("P", "up there", "x")},
       1,
       7,
       {6},
       Severity::note,
       {},
       {}},
      {"prompt_in_answer",
       {pair(thirty, "As you say: " + thirty + "!", "No."),
        pair("Please name three big old red roman houses. ", "Ok.",
             "Please name three big old red roman houses. Why?"),
        pair(thirty + "q", "part only " + words, "Yes.")},
       2,
       7,
       {5, 6},
       Severity::warning,
       {},
       {}},
      {"turn_marks",
       {pair("p", "Yes.\n\nHuman: more", "No."), pair("q", "Well", "[INST] do [/INST] it now"),
        pair("<|im_start|>r", "Oh", "Ah no")},
       2,
       7,
       {5, 6},
       Severity::warning,
       {},
       {}},
      {"special_in_text",
       {pair("p", "Yes <|user|> no", "No."), pair("<|user|>q", "A b", "B")},
       2,
       6,
       {5, 6},
       Severity::warning,
       {},
       {}},
      {"eos_inside",
       {pair("p", "Yes.</s> And", "No."), pair("q", "Good.</s>", "Bad one")},
       1,
       6,
       {5},
       Severity::warning,
       {"special_in_text"},
       {}},
      {"empty_answers",
       {pair("p", " \n", "No."), pair("q", "</s>", "yes, it is")},
       2,
       6,
       {5, 6},
       Severity::error,
       {"special_in_text"},
       {}},
      {"unknown_tokens",
       {pair("p", "\xC3\xA9t\xC3\xA9", "x")},
       4,
       0,
       {5},
       Severity::error,
       {"not_invertible"},
       {}},
      {"not_invertible",
       {pair("p", "caf\xC3\xA9", "x")},
       1,
       5,
       {5},
       Severity::warning,
       {"unknown_tokens"},
       {}},
      {"boundary_merge", {pair("a t", "he b", "x y z")}, 1, 5, {5}, Severity::note, {}, {}},
      {"double_bos",
       {pair("<s><s>p", "a b", "c")},
       1,
       5,
       {5},
       Severity::warning,
       {"special_in_text", "not_invertible"},
       {}},
      {"layouts",
       {R"({"prompt":[{"role":"user","content":"Hi"}],"chosen":[{"role":"assistant","content":"A b"}],)"
        R"("rejected":[{"role":"assistant","content":"B"}]})"},
       1,
       5,
       {},
       Severity::note,
       {},
       {}},
      {"unread_keys",
       {R"({"prompt":"p","chosen":"a b","rejected":"c","source":"web"})"},
       1,
       5,
       {},
       Severity::note,
       {},
       {}},
      {"nul_byte",
       {R"({"prompt":"p","chosen":"a\u0000b","rejected":"c"})"},
       1,
       5,
       {5},
       Severity::note,
       {"unknown_tokens", "not_invertible"},
       {}},
      {"unusable_bad_json", {"{"}, 1, 5, {5}, Severity::error, {}, {}},
      {"unusable_mixed_rows",
       {R"({"prompt":"p","completion":"a"})"},
       1,
       5,
       {5},
       Severity::error,
       {"layouts"},
       {}},
      // The longest clean row has 28 tokens.
      {"truncated_rows",
       {pair("p", repeated("left", 8), repeated("right", 9))},
       1,
       5,
       {5},
       Severity::warning,
       {"no_eos"},
       40},
      {"identical_once_cut",
       {pair("p", repeated("same", 9) + "x", repeated("same", 9) + "yy")},
       1,
       5,
       {5},
       Severity::error,
       {},
       40},
  };
}

TEST_F(AuditTest, ValueOfEveryPlantedFinding) {
  for (const Planted& plant : planted()) {
    SCOPED_TRACE(plant.code);
    std::vector<std::string> lines = kClean;
    lines.insert(lines.end(), plant.lines.begin(), plant.lines.end());
    AuditOptions options;
    options.data.chat_format = ChatFormat::zephyr;
    options.data.max_length = plant.max_length;
    const AuditReport report = audit(lines, options);
    const Finding& finding = report.finding(plant.code);
    EXPECT_EQ(finding.count, plant.count);
    if (plant.total > 0) {
      EXPECT_EQ(finding.total, plant.total);
    }
    EXPECT_EQ(severity_name(finding.severity), severity_name(plant.severity));
    std::vector<std::string> places;
    for (const int line : plant.places) places.push_back(at(line));
    EXPECT_EQ(finding.examples, places);
    EXPECT_FALSE(finding.detail.empty());
    EXPECT_FALSE(finding.advice.empty());
    EXPECT_EQ(report.rows_read, static_cast<int64_t>(lines.size()));
    for (const Finding& other : report.findings) {
      const bool expected = other.code == plant.code ||
                            std::count(plant.beside.begin(), plant.beside.end(), other.code) > 0;
      if (!expected) {
        EXPECT_EQ(other.severity, Severity::ok) << other.code << " " << other.detail;
      }
    }
    // The gravest first, in the report and in the text.
    for (size_t i = 1; i < report.findings.size(); ++i)
      EXPECT_GE(report.findings[i - 1].severity, report.findings[i].severity);
    EXPECT_THAT(audit_text(report), HasSubstr(finding.title + ": "));
  }
}

// A share of 1 in 40 is a warning; where a run would stop there, it is an error.
TEST_F(AuditTest, ValueOfRefusedRowsByPolicy) {
  std::vector<std::string> lines;
  for (int i = 0; i < 38; ++i)
    lines.push_back(pair("p" + std::to_string(i), i % 2 ? "yes" : "yes, yes", "no, no"));
  lines.push_back(pair("p", "same", "same"));
  lines.push_back(pair("p", "", "b"));
  AuditOptions options;
  for (const BadRowPolicy policy : {BadRowPolicy::strict, BadRowPolicy::skip}) {
    options.data.on_bad_row = policy;
    const AuditReport report = audit(lines, options);
    const bool strict = policy == BadRowPolicy::strict;
    for (const char* code : {"identical_pairs", "empty_answers"}) {
      EXPECT_EQ(report.finding(code).count, 1);
      EXPECT_EQ(report.finding(code).severity, strict ? Severity::error : Severity::warning);
      EXPECT_EQ(report.finding(code).detail.find("stops at the first") != std::string::npos,
                strict);
    }
  }
}

TEST_F(AuditTest, ValueShowsAtMostFivePlaces) {
  std::vector<std::string> lines;
  for (int i = 0; i < 9; ++i) lines.push_back("{");
  lines.push_back(kClean[0]);
  const AuditReport report = audit(lines);
  EXPECT_THAT(report.finding("unusable_bad_json").examples,
              ElementsAre(at(1), at(2), at(3), at(4), at(5)));
  EXPECT_EQ(report.finding("unusable_bad_json").count, 9);
  EXPECT_THAT(audit_text(report), HasSubstr(", ..."));
}

TEST_F(AuditTest, ValueWhereUnknownTokensScream) {
  const std::vector<std::string> lines = {
      pair("\u0434\u0430", "\u043d\u0435\u0442", "\u0434\u0430"),
      pair("\u043a", "\u0434", "\u0433\u043e")};
  const AuditReport report = audit(lines);
  const Finding& first = report.findings.front();
  EXPECT_EQ(first.code, "unknown_tokens");
  EXPECT_EQ(first.severity, Severity::error);
  EXPECT_EQ(first.count, 22);          // bytes of eleven letters
  EXPECT_EQ(first.total, 22 + 2 + 4);  // and BOS of each row, EOS of each answer
  EXPECT_THAT(audit_text(report), HasSubstr("error     unknown tokens: 22 of 28 tokens (78.6 %)"));
  EXPECT_THAT(audit_text(report, true), HasSubstr("\x1b[1;31merror\x1b[0m     unknown tokens"));
}

TEST_F(AuditTest, ValueWhereNoRowIsUsable) {
  const AuditReport report = audit({"{", "[]"});
  EXPECT_EQ(report.rows_read, 2);
  EXPECT_EQ(report.rows_used, 0);
  EXPECT_THAT(report.skipped, UnorderedElementsAre(Pair("bad_json", 1), Pair("not_object", 1)));
  EXPECT_EQ(report.run.updates, 0);
  EXPECT_TRUE(json::accept(audit_json(report)));
  EXPECT_THAT(audit_text(report), HasSubstr("2 rows read = 0 used + 2 skipped"));
  EXPECT_THAT(report_html(cli::audit_page(report, "x")), HasSubstr("</html>"));
}

TEST_F(AuditTest, ValueOfLengthBias) {
  std::vector<std::string> lines;
  for (int i = 0; i < 40; ++i)
    lines.push_back(pair("p" + std::to_string(i), "a long answer", "short"));
  const AuditReport report = audit(lines);
  const Finding& finding = report.finding("length_bias");
  EXPECT_EQ(finding.severity, Severity::warning);
  EXPECT_EQ(finding.count, 40);
  EXPECT_EQ(finding.total, 40);
  EXPECT_DOUBLE_EQ(report.bias.mean_gap(), 8);
  EXPECT_NEAR(report.bias.point_biserial(), 1, 1e-12);
  EXPECT_THAT(finding.detail, HasSubstr("100.0 %"));
}

TEST_F(AuditTest, ValueOfLengthsAndTruncation) {
  // BOS, 4 characters; answers 10 and 2 characters and EOS each.
  AuditOptions options;
  options.data.max_length = 9;
  options.lengths = {7, 100, 200};
  options.rows_per_update = 2;
  options.epochs = 1.5;
  options.tokens_per_microbatch = 4;
  const AuditReport report = audit(
      {pair("abcd", "0123456789", "xy"), pair("ef", "1", "98"), pair("gh", "1 2", "3")}, options);
  EXPECT_EQ(report.prompt, (LengthSummary{3, 5 + 3 + 3, 3, 3, 3, 5, 5, 5}));
  EXPECT_EQ(report.chosen, (LengthSummary{3, 11 + 2 + 4, 2, 2, 4, 11, 11, 11}));
  EXPECT_EQ(report.rejected, (LengthSummary{3, 3 + 3 + 2, 2, 2, 3, 3, 3, 3}));
  ASSERT_EQ(report.truncation.size(), 3u);  // 200 changes no more than 100
  EXPECT_EQ(report.truncation[0], (TruncationEffect{.max_length = 9,
                                                    .rows_used = 3,
                                                    .rows_cut = 1,
                                                    .chosen_tokens_cut = 7,
                                                    .tokens_kept = 36 - 7,
                                                    .answers_without_eos = 1,
                                                    .longest_row = 5 + 4 + 3,
                                                    .longest_sequence = 9}));
  EXPECT_EQ(report.truncation[1].max_length, 7);
  EXPECT_EQ(report.truncation[1].chosen_tokens_cut, 9);
  EXPECT_EQ(report.truncation[1].rejected_tokens_cut, 1);
  EXPECT_EQ(report.truncation[1].answers_without_eos, 2);
  EXPECT_EQ(report.truncation[2].rows_cut, 0);
  EXPECT_EQ(report.run.updates_per_epoch, 2);
  EXPECT_EQ(report.run.updates, 3);
  EXPECT_EQ(report.run.tokens_per_epoch, 29);
  EXPECT_DOUBLE_EQ(report.run.tokens_per_update(), 14.5);
  EXPECT_EQ(report.run.tokens_per_microbatch, 12);
}

TEST_F(AuditTest, ValueBeyondTheModel) {
  AuditOptions options;
  options.max_positions = 24;
  const AuditReport report = audit({pair("p", std::string(30, 'x'), "y"), kClean[1]}, options);
  EXPECT_EQ(report.finding("beyond_model").severity, Severity::error);
  EXPECT_THAT(report.finding("beyond_model").examples, ElementsAre(at(1)));
}

TEST_F(AuditTest, ValueOfEvaluationOverlap) {
  AuditOptions options;
  options.eval = file({pair("Say  yes.", "other", "answers here"), "{",
                       pair("Name a colour. ", "A dog.", "Blue."), pair("New. ", "a b", "c")},
                      "eval.jsonl");
  const AuditReport report = audit(kClean, options);
  EXPECT_EQ(*report.eval, (EvaluationOverlap{4, 3, 2, 1}));
  EXPECT_THAT(report.finding("eval_prompts").examples,
              ElementsAre(at(1, "eval.jsonl"), at(3, "eval.jsonl")));
  EXPECT_THAT(report.finding("eval_rows").examples, ElementsAre(at(3, "eval.jsonl")));
  EXPECT_EQ(report.finding("eval_prompts").severity, Severity::error);  // two of three
  EXPECT_EQ(report.rows_read, 4);                                       // of training alone
}

TEST_F(AuditTest, ValueOfUnpairedShapes) {
  const AuditReport report =
      audit({R"({"prompt":"p","completion":"a"})", R"({"prompt":"q","completion":"bb"})"});
  EXPECT_EQ(report.rows_used, 2);
  EXPECT_EQ(report.chosen.count, 2);
  EXPECT_EQ(report.rejected.count, 0);
  EXPECT_THROW(report.finding("length_bias"), Error);
  EXPECT_THAT(audit_text(report), HasSubstr("answer"));
  EXPECT_THAT(audit_text(report), Not(HasSubstr("unequal pairs")));
}

// The audit plans limits on lengths alone; the loader cuts rows. They agree on every count.
TEST_F(AuditTest, MatchesReferenceLoader) {
  std::vector<std::string> lines = kClean;
  for (int i = 0; i < 12; ++i)
    lines.push_back(pair(std::string(static_cast<size_t>(i), 'p') + "q",
                         std::string(static_cast<size_t>(2 * i + 1), 'x'),
                         std::string(static_cast<size_t>(15 - i), 'x')));
  lines.push_back("{");
  lines.push_back(pair("p", "", "a"));
  const std::string path = file(lines);
  for (const TruncationMode mode :
       {TruncationMode::keep_start, TruncationMode::keep_end, TruncationMode::prompt_left,
        TruncationMode::drop, TruncationMode::error})
    for (const int64_t max_length : {2, 4, 9, 20, 1000})
      for (const std::optional<int64_t> part : {std::optional<int64_t>(), {3}}) {
        AuditOptions options;
        options.data.max_length = max_length;
        options.data.max_prompt_length = options.data.max_completion_length = part;
        options.data.truncation_mode = mode;
        const AuditReport report = audit_preferences({path}, tokenizer_, options);
        DataOptions loading = options.data;
        loading.on_bad_row = BadRowPolicy::skip;
        loading.rejects_folder = folder_.path() + "/out";
        SCOPED_TRACE(std::to_string(max_length) + " mode " +
                     std::to_string(static_cast<int>(mode)));
        EXPECT_EQ(report.rows_read, report.rows_used + report.rows_skipped());
        PreferenceData data;
        try {
          data = load_preferences({path}, tokenizer_, loading);
        } catch (const Error&) {  // no row is left
          EXPECT_EQ(report.rows_used, 0);
          continue;
        }
        EXPECT_EQ(report.rows_used, data.report.rows_used);
        EXPECT_EQ(report.skipped, data.report.skipped);
        const TruncationEffect& effect = report.truncation[0];
        const TruncationCounts& cut = data.report.truncation;
        EXPECT_EQ(effect.prompt_tokens_cut, cut.prompt_tokens);
        EXPECT_EQ(effect.chosen_tokens_cut + effect.rejected_tokens_cut,
                  cut.response_tokens_left + cut.response_tokens_right);
        EXPECT_EQ(effect.tokens_kept, data.report.prompt_tokens + data.report.response_tokens);
        EXPECT_EQ(effect.longest_sequence, data.report.longest_sequence);
      }
}

TEST_F(AuditTest, InvariantToThreadsAndPolicy) {
  std::vector<std::string> lines = kClean;
  for (const Planted& plant : planted())
    lines.insert(lines.end(), plant.lines.begin(), plant.lines.end());
  AuditOptions options;
  options.data.chat_format = ChatFormat::zephyr;
  options.data.preprocessing_num_workers = 1;
  const AuditReport one = audit(lines, options);
  options.data.preprocessing_num_workers = 5;
  EXPECT_EQ(audit_json(audit(lines, options)), audit_json(one));
  // Under skip, a bad row is graver or not, but counted the same.
  options.data.on_bad_row = BadRowPolicy::skip;
  const AuditReport skip = audit(lines, options);
  EXPECT_EQ(skip.skipped, one.skipped);
  EXPECT_EQ(skip.rows_read, skip.rows_used + skip.rows_skipped());
  EXPECT_LT(skip.count(Severity::error), one.count(Severity::error));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/rejects.jsonl"));
}

TEST_F(AuditTest, RoundTripOfJson) {
  AuditOptions options;
  options.eval = file({kClean[0]}, "eval.jsonl");
  options.data.max_length = std::nullopt;
  std::vector<std::string> lines = kClean;
  lines.push_back(pair("p", "a\u00e9", "b c"));
  lines.push_back("{");
  AuditReport report = audit(lines, options);
  report.run.memory = {{"weights", 12}};
  const json out = json::parse(audit_json(report));
  EXPECT_EQ(out["files"], json(report.files));
  EXPECT_EQ(out["rows_read"], report.rows_read);
  EXPECT_EQ(out["rows_used"], report.rows_used);
  EXPECT_EQ(out["skipped"], json(report.skipped));
  EXPECT_EQ(out["dialects"], json(report.dialects));
  ASSERT_EQ(out["findings"].size(), report.findings.size());
  for (size_t i = 0; i < report.findings.size(); ++i) {
    const json& found = out["findings"][i];
    const Finding back{.code = found["code"],
                       .title = found["title"],
                       .severity = report.findings[i].severity,
                       .count = found["count"],
                       .total = found["total"],
                       .unit = found["unit"],
                       .detail = found["detail"],
                       .advice = found["advice"],
                       .examples = found["examples"]};
    EXPECT_EQ(back, report.findings[i]);
    EXPECT_EQ(found["severity"], std::string(severity_name(back.severity)));
    EXPECT_DOUBLE_EQ(found["share"], back.share());
  }
  EXPECT_EQ(out["chosen"]["total"], report.chosen.total);
  EXPECT_EQ(out["chosen"]["p95"], report.chosen.p95);
  EXPECT_EQ(out["chosen"]["histogram"]["counts"], json(report.chosen_histogram.counts));
  EXPECT_TRUE(out["truncation"][0]["max_length"].is_null());
  EXPECT_EQ(out["truncation"][0]["tokens_kept"], report.truncation[0].tokens_kept);
  EXPECT_DOUBLE_EQ(out["length_bias"]["point_biserial"], report.bias.point_biserial());
  EXPECT_EQ(out["eval"]["prompts"], 1);
  EXPECT_EQ(out["run"]["updates"], report.run.updates);
  EXPECT_EQ(out["run"]["memory_bytes"]["weights"], 12);
}

TEST_F(AuditTest, ValueOfThePage) {
  std::vector<std::string> lines = kClean;
  lines.push_back(pair("p", "a <|user|> b", "b c"));
  const AuditReport report = audit(lines);
  const std::string page = report_html(cli::audit_page(report, "a<b"));
  EXPECT_THAT(page, HasSubstr("<h1>Audit of a&lt;b</h1>"));
  EXPECT_THAT(page, HasSubstr("&lt;|user|&gt;"));
  for (const Finding& finding : report.findings) EXPECT_THAT(page, HasSubstr(finding.title));
  EXPECT_THAT(page, HasSubstr("Lengths before truncation"));
  EXPECT_THAT(page, HasSubstr("What max_length removes"));
  EXPECT_THAT(page, HasSubstr("<svg"));
}

TEST_F(AuditTest, RejectsBadOptions) {
  AuditOptions options;
  options.rows_per_update = 0;
  EXPECT_THAT(testing::error_of([&] { audit(kClean, options); }), HasSubstr("[audit] "));
  EXPECT_THAT(
      testing::error_of([&] { audit_preferences({folder_.path() + "/absent.jsonl"}, tokenizer_); }),
      HasSubstr("no such file"));
}

}  // namespace
}  // namespace pref::audit
