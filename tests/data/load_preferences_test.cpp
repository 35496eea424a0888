// SPDX-License-Identifier: Apache-2.0
// Files to rows: places in errors, rejects, counts that add up, independence of threads, real data
// where present.
#include "libpref/data/load_preferences.h"

#include <gmock/gmock.h>

#include <random>

#include "libpref/data/json_row.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::Pair;
using testing::TempFolder;
using ::testing::UnorderedElementsAre;

class LoadPreferences : public ::testing::Test {
 protected:
  LoadPreferences()
      : tokenizer_(load_tokenizer(folder_.write("tokenizer.model", testing::tiny_model()))) {}
  std::string rejects() const {
    std::ifstream file(folder_.path() + "/out/rejects.jsonl");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  DataOptions skipping() const {
    return {.on_bad_row = BadRowPolicy::skip, .rejects_folder = folder_.path() + "/out"};
  }
  TempFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

const char* kGood = R"({"prompt":"a","chosen":"b","rejected":"c"})"
                    "\n";
const char* kOther = R"({"prompt":"ab","chosen":"b","rejected":"c"})"
                     "\n";

TEST_F(LoadPreferences, RejectsWithPlaceAndRemedy) {
  const std::string path = folder_.write(
      "train.jsonl",
      std::string(kGood) + "\n" +
          R"({"prompt":[{"role":"user","content":"a"}],"chosen":[{"role":"assistant","content":null}],"rejected":[{"role":"assistant","content":"c"}]})");
  EXPECT_EQ(
      error_of([&] { load_preferences({path}, *tokenizer_); }),
      "[jsonl] " + path +
          ":3:83 (byte 126): /chosen/0/content is null, expected a string. Fix the row or pass "
          "--on-bad-row=skip (writes rejects.jsonl).");
}

TEST_F(LoadPreferences, SkipListsAndCounts) {
  const std::string path =
      folder_.write("train.jsonl", std::string(kGood) + "{\n" + kGood + "\xFF\n" + kOther +
                                       R"({"prompt":"a","chosen":"b","rejected":"b"})"
                                       "\n"
                                       R"({"prompt":"a","completion":"b"})"
                                       "\n"
                                       R"({"prompt":"a","chosen":"b","rejected":"ab","u":1,"v":1})"
                                       "\n");
  const PreferenceData data = load_preferences({path}, *tokenizer_, skipping());
  EXPECT_EQ(data.report.rows_read, 8);
  EXPECT_EQ(data.report.rows_used, 4);
  EXPECT_THAT(data.report.skipped,
              UnorderedElementsAre(Pair("bad_json", 1), Pair("bad_utf8", 1),
                                   Pair("identical_pair", 1), Pair("mixed_rows", 1)));
  EXPECT_THAT(data.report.notes, UnorderedElementsAre(Pair("boundary_merge", 3), Pair("dup_row", 1),
                                                      Pair("extra_key", 2)));
  EXPECT_THAT(data.report.extra_keys, UnorderedElementsAre(Pair("u", 1), Pair("v", 1)));
  EXPECT_THAT(data.report.dialects, ElementsAre(Pair("preference", 4)));
  EXPECT_EQ(data.rows[1].place, path + ":3");
  EXPECT_EQ(data.rows[1].id, path + ":3");
  EXPECT_EQ(data.report.rejects_path, folder_.path() + "/out/rejects.jsonl");
  const std::string listed = rejects();
  EXPECT_EQ(std::count(listed.begin(), listed.end(), '\n'), 4);
  EXPECT_THAT(listed, HasSubstr("\"line\":4,\"byte\":88,\"code\":\"bad_utf8\""));
  EXPECT_THAT(data.report.summary(), HasSubstr("8 rows read, 4 used"));
  // A second run replaces the list rather than growing it.
  load_preferences({path}, *tokenizer_, skipping());
  EXPECT_EQ(rejects(), listed);
  load_preferences({folder_.write("good.jsonl", kGood)}, *tokenizer_, skipping());
  EXPECT_EQ(rejects(), "");
}

TEST_F(LoadPreferences, DropIsAPolicyAndErrorIsNot) {
  const std::string path = folder_.write(
      "train.jsonl", std::string(kGood) + R"({"prompt":"a","chosen":"bcbcbcbc","rejected":"c"})");
  DataOptions options{.max_length = 5, .truncation_mode = TruncationMode::drop};
  const PreferenceData data = load_preferences({path}, *tokenizer_, options);
  EXPECT_THAT(data.report.skipped, ElementsAre(Pair("too_long", 1)));
  EXPECT_THAT(data.report.dropped, ElementsAre(path + ":2"));
  options.truncation_mode = TruncationMode::error;
  EXPECT_THAT(error_of([&] { load_preferences({path}, *tokenizer_, options); }),
              HasSubstr("max_length is 5"));
  options.truncation_mode = TruncationMode::keep_start;
  const PreferenceData cut = load_preferences({path}, *tokenizer_, options);
  EXPECT_EQ(cut.report.truncation.responses, 1);
  EXPECT_EQ(cut.report.truncation.response_tokens_right, 6);  // eight characters and EOS, three fit
  EXPECT_EQ(cut.report.notes.at("truncated_response"), 1);
  EXPECT_EQ(cut.report.longest_sequence, 5);
}

TEST_F(LoadPreferences, InvariantOfThreadsAndCompression) {
  const uint32_t seed = 7;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::string text;
  for (int i = 0; i < 5000; ++i) {
    const auto word = [&] {
      std::string s;
      for (uint32_t n = 1 + random() % 12; n > 0; --n) s += "abc. 日<|"[random() % 5];
      return s;
    };
    if (random() % 50 == 0) text += "{\"prompt\":3}\n";
    text += "{\"prompt\":\"" + word() + "\",\"chosen\":\"" + word() + "\",\"rejected\":\"" +
            word() + "\"}\n";
  }
  const std::string plain = folder_.write("p.jsonl", text),
                    packed = folder_.write("q.gz", testing::gzip(text));
  DataOptions options = skipping();
  options.preprocessing_num_workers = 1;
  const PreferenceData one = load_preferences({plain}, *tokenizer_, options);
  const std::string listed = rejects();
  EXPECT_GT(one.report.rows_skipped(), 20);
  options.preprocessing_num_workers = 5;
  const PreferenceData five = load_preferences({packed}, *tokenizer_, options);
  EXPECT_EQ(five.digest, one.digest);
  EXPECT_EQ(five.report.skipped, one.report.skipped);
  EXPECT_EQ(five.report.notes, one.report.notes);
  EXPECT_EQ(std::count(listed.begin(), listed.end(), '\n'), one.report.rows_skipped());
  ASSERT_EQ(five.rows.size(), one.rows.size());
  for (size_t i = 0; i < one.rows.size(); ++i)
    ASSERT_EQ(five.rows[i].branches, one.rows[i].branches);
}

TEST_F(LoadPreferences, DigestCoversIdsAndOrder) {
  const std::string ab = folder_.write("ab.jsonl", std::string(kGood) + kOther),
                    ba = folder_.write("ba.jsonl", std::string(kOther) + kGood);
  const std::string moved =
      folder_.write("moved.jsonl", R"({"prompt":"a","chosen":"b","rejected":"c","id":1})"
                                   "\n\n" +
                                       std::string(kOther));
  const auto digest = [&](const std::string& path) {
    return load_preferences({path}, *tokenizer_).digest;
  };
  EXPECT_NE(digest(ab), digest(ba));
  EXPECT_EQ(digest(ab), digest(moved));
  // The same ids split otherwise between prompt and branches are another row.
  EXPECT_NE(digest_rows({{.prompt = {1, 2}, .branches = {{3}}}}),
            digest_rows({{.prompt = {1}, .branches = {{2, 3}}}}));
}

TEST_F(LoadPreferences, OptionsAreChecked) {
  const std::string path = folder_.write("a.jsonl", kGood);
  EXPECT_THAT(
      error_of([&] { load_preferences({path}, *tokenizer_, {.on_bad_row = BadRowPolicy::skip}); }),
      HasSubstr("rejects_folder"));
  EXPECT_THAT(error_of([&] { load_preferences({path}, *tokenizer_, {.max_length = 1}); }),
              HasSubstr("max_length"));
  EXPECT_THAT(error_of([&] { load_preferences({folder_.write("e.jsonl", "")}, *tokenizer_); }),
              HasSubstr("no row can be trained on"));
  EXPECT_EQ(load_preferences({path, path}, *tokenizer_, {.max_rows = 1}).rows.size(), 1u);
}

TEST_F(LoadPreferences, NamesAreFilesFoldersAndGlobs) {
  const TempFolder data;
  for (const char* name : {"b.jsonl", "a.jsonl.gz", "c.txt", ".hidden.jsonl"})
    data.write(name, kGood);
  FileSystem& files = posix_file_system();
  const auto names = [&](const std::string& name) {
    return expand_dataset_names(files, {data.path() + name});
  };
  EXPECT_THAT(names(""), ElementsAre(data.path() + "/a.jsonl.gz", data.path() + "/b.jsonl"));
  EXPECT_THAT(names("/*.jsonl"), ElementsAre(data.path() + "/b.jsonl"));
  EXPECT_THAT(names("/c.txt"), ElementsAre(data.path() + "/c.txt"));
  EXPECT_THAT(error_of([&] { names("/*.csv"); }), HasSubstr("no file matches *.csv"));
  EXPECT_THAT(error_of([&] { names("/none.jsonl"); }), HasSubstr("no such file"));
  EXPECT_NE(error_of([&] { expand_dataset_names(files, {}); }), "");
}

TEST(LoadRealData, CountsAddUp) {
  const std::string model = testing::shared_file("tokenizers/mistral_v1_sentencepiece.model");
  const std::string ultra = testing::shared_file("preference/alpaca_eval_test.jsonl.gz");
  const std::string hh = testing::shared_file("preference/hh_harmless_base_test.jsonl.gz");
  PREF_SKIP_WITHOUT(model);
  PREF_SKIP_WITHOUT(ultra);
  PREF_SKIP_WITHOUT(hh);
  const auto tokenizer = load_tokenizer(model);
  const PreferenceData chat =
      load_preferences({ultra}, *tokenizer, {.chat_format = ChatFormat::zephyr, .max_rows = 100});
  EXPECT_EQ(chat.report.rows_used, 100);
  for (const TokenizedRow& row : chat.rows) {
    EXPECT_EQ(std::count(row.prompt.begin(), row.prompt.end(), 1), 1);
    EXPECT_EQ(row.prompt[0], 1);
    for (const auto& branch : row.branches)
      EXPECT_LE(std::count(branch.begin(), branch.end(), 2), 1);
  }
  const TempFolder out;
  const PreferenceData text = load_preferences(
      {hh}, *tokenizer,
      {.on_bad_row = BadRowPolicy::skip, .rejects_folder = out.path(), .max_rows = 600});
  EXPECT_THAT(text.report.dialects, ElementsAre(Pair("hh", text.report.rows_used)));
  EXPECT_GT(text.report.rows_skipped(), 0);  // the set holds a few empty answers
  EXPECT_EQ(text.report.notes.count("boundary_merge"), 0u);
}

}  // namespace
}  // namespace pref
