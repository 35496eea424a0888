// SPDX-License-Identifier: Apache-2.0
// What names of data sets mean: the local Hugging Face cache, mixtures with fractions, folders.
#include "libpref/data/dataset_files.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <numeric>

#include "libpref/data/hub_cache.h"
#include "libpref/data/load_preferences.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::TempFolder;

const char* const kVariables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                  "XDG_CACHE_HOME"};

class Hub : public ::testing::Test {
 protected:
  Hub() {
    for (const char* name : kVariables) unsetenv(name);
    setenv("HF_HUB_CACHE", folder_.path().c_str(), 1);
  }
  ~Hub() override {
    for (const char* name : kVariables) unsetenv(name);
  }
  void file(const std::string& name, std::string_view text = "") const {
    std::filesystem::create_directories(
        std::filesystem::path(folder_.path() + "/" + name).parent_path());
    folder_.write(name, text);
  }
  std::vector<std::string> found(const std::string& name) const {
    std::vector<std::string> out;
    for (const std::string& path : expand_dataset_names(posix_file_system(), {name}))
      out.push_back(path.substr(path.find("/snapshots/") + 11));
    return out;
  }
  TempFolder folder_;
};

TEST_F(Hub, ValueOfNames) {
  for (const char* name : {"org/name", "a-b/c.d_1"}) EXPECT_TRUE(is_hub_name(name)) << name;
  for (const char* name : {"name", "/abs", "./x", "../x", "a/b/c", "a/", "a/..", "a b/c", ""})
    EXPECT_FALSE(is_hub_name(name)) << name;
}

TEST_F(Hub, ValueOfTheCacheFolder) {
  EXPECT_EQ(hub_cache_folder(), folder_.path());
  unsetenv("HF_HUB_CACHE");
  setenv("HF_HOME", "/home/hf", 1);
  EXPECT_EQ(hub_cache_folder(), "/home/hf/hub");
  setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
  EXPECT_EQ(hub_cache_folder(), "/old");
  unsetenv("HUGGINGFACE_HUB_CACHE");
  unsetenv("HF_HOME");
  setenv("XDG_CACHE_HOME", "/c", 1);
  EXPECT_EQ(hub_cache_folder(), "/c/huggingface/hub");
}

TEST_F(Hub, ModelsBySnapshot) {
  file("models--org--m/refs/main", "c1");
  file("models--org--m/refs/pr/7", "c2\n");
  file("models--org--m/snapshots/c1/config.json");
  file("models--org--m/snapshots/c2/config.json");
  const std::string root = folder_.path() + "/models--org--m";
  EXPECT_EQ(resolve_model_folder("org/m"), root + "/snapshots/c1");
  EXPECT_EQ(resolve_model_folder("org/m", "pr/7"), root + "/snapshots/c2");
  EXPECT_EQ(resolve_model_folder("org/m@c2"), root + "/snapshots/c2");
  EXPECT_EQ(resolve_model_folder(folder_.path()), folder_.path());
  EXPECT_EQ(resolve_model_folder("no-such-folder"), "no-such-folder");
  EXPECT_EQ(
      error_of([&] { resolve_model_folder("org/other"); }),
      "[hub] org/other: no such file or folder, and it is not in the local Hugging Face cache "
      "(" +
          folder_.path() + "). Download it: hf download org/other");
  EXPECT_THAT(error_of([&] { resolve_model_folder("org/m", "v9"); }),
              HasSubstr("the revision v9 is not in the local Hugging Face cache (" + root +
                        "). Download it: hf download org/m --revision v9"));
  EXPECT_THAT(error_of([&] { resolve_model_folder("org/m", "../../x"); }),
              HasSubstr("is no revision"));
  file("models--org--bad/refs/main", "../../../etc");
  EXPECT_THAT(error_of([&] { resolve_model_folder("org/bad"); }), HasSubstr("holds no commit"));
}

TEST_F(Hub, DataSetsBySplit) {
  const std::string at = "datasets--org--d/snapshots/c1/";
  file("datasets--org--d/refs/main", "c1");
  for (const char* name :
       {"README.md", "dataset_info.json", "data/train-00000-of-00002-a1b2.parquet",
        "data/train-00001-of-00002-a1b2.parquet", "data/test-00000-of-00001.parquet",
        "helpful/train.jsonl.gz", "plain/eval/0000.parquet"})
    file(at + name);
  EXPECT_THAT(found("org/d"), ElementsAre("c1/data/train-00000-of-00002-a1b2.parquet",
                                          "c1/data/train-00001-of-00002-a1b2.parquet",
                                          "c1/helpful/train.jsonl.gz"));
  EXPECT_THAT(found("org/d:test"), ElementsAre("c1/data/test-00000-of-00001.parquet"));
  EXPECT_THAT(found("org/d@c1:eval"), ElementsAre("c1/plain/eval/0000.parquet"));
  EXPECT_THAT(found("org/d/helpful"), ElementsAre("c1/helpful/train.jsonl.gz"));
  EXPECT_THAT(found("org/d/data/test-00000-of-00001.parquet"),
              ElementsAre("c1/data/test-00000-of-00001.parquet"));
  EXPECT_THAT(error_of([&] { found("org/d:dev"); }),
              HasSubstr("no split dev in " + folder_.path() + "/" + at.substr(0, at.size() - 1) +
                        "; there are eval, test, train"));
  EXPECT_THAT(error_of([&] { found("org/none"); }),
              HasSubstr("hf download org/none --repo-type dataset"));
  file("datasets--org--u/refs/main", "c1");
  for (const char* name : {"train_prefs", "train_sft", "test_prefs"})
    file(std::string("datasets--org--u/snapshots/c1/data/") + name + "-00000-of-00001.parquet");
  EXPECT_THAT(error_of([&] { found("org/u"); }),
              HasSubstr("has the splits test_prefs, train_prefs, train_sft; name one: org/u:"));
  file("datasets--org--one/refs/main", "c1");
  file("datasets--org--one/snapshots/c1/rlaif.parquet");
  EXPECT_THAT(found("org/one"), ElementsAre("c1/rlaif.parquet"));
  EXPECT_THAT(error_of([&] { found("org/one/none"); }), HasSubstr("no none in "));
}

TEST(DatasetFiles, ValueOfEndings) {
  for (const char* name : {"a.jsonl", "a.json", "a.csv", "a.parquet", "a.json.gz", "a.csv.zst"})
    EXPECT_TRUE(is_dataset_file(name)) << name;
  for (const char* name : {"a.txt", "a.gz", "dataset_info.json", "x/dataset_infos.json", "a.arrow"})
    EXPECT_FALSE(is_dataset_file(name)) << name;
}

TEST(Mixture, ValueAndInvariants) {
  const auto sum = [](const std::vector<uint32_t>& copies) {
    return std::accumulate(copies.begin(), copies.end(), int64_t{0});
  };
  const std::vector<uint32_t> half = mixture_copies(1000, 0.5, 1, 0);
  EXPECT_EQ(sum(half), 500);
  EXPECT_EQ(*std::max_element(half.begin(), half.end()), 1u);
  EXPECT_EQ(half, mixture_copies(1000, 0.5, 1, 0));
  EXPECT_NE(half, mixture_copies(1000, 0.5, 2, 0));
  EXPECT_NE(half, mixture_copies(1000, 0.5, 1, 1));
  const std::vector<uint32_t> more = mixture_copies(1000, 2.25, 1, 0);
  EXPECT_EQ(sum(more), 2250);
  EXPECT_EQ(*std::min_element(more.begin(), more.end()), 2u);
  EXPECT_EQ(*std::max_element(more.begin(), more.end()), 3u);
  EXPECT_EQ(sum(mixture_copies(3, 0.1, 1, 0)), 0);
}

TEST(Mixture, RowsAreCounted) {
  const TempFolder folder;
  const auto tokenizer = load_tokenizer(folder.write("tokenizer.model", testing::tiny_model()));
  std::string text;
  for (int i = 0; i < 40; ++i)
    text += "{\"id\":" + std::to_string(i) + R"(,"prompt":"a","chosen":"b","rejected":"c"})" + "\n";
  const std::string many = folder.write("many.jsonl", text);
  const std::string few =
      folder.write("few.jsonl", R"({"id":"f","prompt":"c","chosen":"b","rejected":"c"})");
  const auto load = [&](int64_t seed) {
    const DataOptions options{.dataset_mixer = {many + "=0.25", few + "=3"}, .data_seed = seed};
    return load_preferences(options.names(), *tokenizer, options);
  };
  const PreferenceData data = load(5);
  EXPECT_EQ(data.rows.size(), 13u);
  EXPECT_EQ(data.report.rows_read, 41);
  EXPECT_EQ(data.report.rows_used, 13);
  EXPECT_EQ(data.report.rows_repeated, 2);
  EXPECT_EQ(data.report.skipped.at("not_sampled"), 30);
  EXPECT_EQ(data.report.prompt_tokens, 10 * 2 + 3 * 3);  // BOS and ▁a; BOS, ▁ and c
  EXPECT_THAT(data.report.summary(), HasSubstr("mixture: " + many + " at 0.25: 10 of 40 rows"));
  EXPECT_EQ(data.rows[10].id, "f");
  EXPECT_EQ(data.rows[12].id, "f");
  const auto ids = [](const PreferenceData& loaded) {
    std::string out;
    for (const TokenizedRow& row : loaded.rows) out += row.id + ",";
    return out;
  };
  EXPECT_EQ(ids(load(5)), ids(data));
  EXPECT_NE(ids(load(6)), ids(data));
  EXPECT_THAT(error_of([&] { load_preferences({many + "=x"}, *tokenizer); }),
              HasSubstr("the fraction \"x\" must be a number above 0"));
  EXPECT_THAT(error_of([&] { load_preferences({many + "=0"}, *tokenizer); }), HasSubstr("above 0"));
  const DataOptions both{.dataset_name = {many}, .dataset_mixer = {few}};
  EXPECT_THAT(error_of([&] { both.names(); }), HasSubstr("both set"));
}

}  // namespace
}  // namespace pref
