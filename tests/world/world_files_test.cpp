// SPDX-License-Identifier: Apache-2.0
// JSONL rows and the trained tokenizer, read back by the libraries that others read them with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "examples/world/world.h"
#include "examples/world/world_tokenizer.h"
#include "libpref/base/error.h"

namespace pref {
namespace {

// A folder of its own below the system's temporary folder, removed at the end.
class WorldFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pref_world_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  static std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  std::vector<std::string> sentences() const {
    std::vector<std::string> out;
    for (const auto& row : World().demonstrations(WorldSplit::train, 1500)) {
      out.push_back(row.prompt);
      out.push_back(row.completion);
    }
    return out;
  }
  std::filesystem::path folder_;
};

TEST_F(WorldFiles, RoundTripPairs) {
  auto pairs = World().pairs(WorldSplit::train, 50);
  pairs[0].chosen = "a \"quoted\"\n\\ text";
  write_pairs_jsonl(path("pairs.jsonl"), pairs);
  std::ifstream file(path("pairs.jsonl"));
  std::string line;
  for (const WorldPair& pair : pairs) {
    ASSERT_TRUE(std::getline(file, line));
    const auto row = nlohmann::json::parse(line);
    EXPECT_EQ(row.size(), 5u);
    EXPECT_EQ(row.at("prompt"), pair.prompt);
    EXPECT_EQ(row.at("chosen"), pair.chosen);
    EXPECT_EQ(row.at("rejected"), pair.rejected);
    EXPECT_EQ(row.at("true_reward_chosen").get<double>(), pair.score_chosen);
    EXPECT_EQ(row.at("true_reward_rejected").get<double>(), pair.score_rejected);
  }
  EXPECT_FALSE(std::getline(file, line));
  EXPECT_THROW(write_pairs_jsonl(path("pairs.jsonl"), pairs), Error);
}

TEST_F(WorldFiles, RoundTripDemonstrations) {
  const auto rows = World().demonstrations(WorldSplit::held_out, 20);
  write_demonstrations_jsonl(path("sft.jsonl"), rows);
  std::ifstream file(path("sft.jsonl"));
  std::string line;
  for (const WorldDemonstration& row : rows) {
    ASSERT_TRUE(std::getline(file, line));
    EXPECT_EQ(nlohmann::json::parse(line),
              (nlohmann::json{{"prompt", row.prompt}, {"completion", row.completion}}));
  }
  EXPECT_FALSE(std::getline(file, line));
}

TEST_F(WorldFiles, RoundTripTokenizer) {
  const std::string model = train_sentencepiece(sentences(), 704, path("tokenizer"));
  EXPECT_EQ(model, path("tokenizer/tokenizer.model"));
  sentencepiece::SentencePieceProcessor processor;
  ASSERT_TRUE(processor.Load(model).ok());
  EXPECT_LE(processor.GetPieceSize(), 704);
  EXPECT_EQ(processor.unk_id(), 0);
  EXPECT_EQ(processor.bos_id(), 1);
  EXPECT_EQ(processor.eos_id(), 2);
  EXPECT_EQ(processor.pad_id(), -1);
  EXPECT_EQ(processor.IdToPiece(3), "<0x00>");
  double tokens = 0;
  const auto prompts = World().prompts(WorldSplit::held_out, 500);
  for (const std::string& prompt : prompts) {
    std::vector<int> ids;
    ASSERT_TRUE(processor.Encode(prompt, &ids).ok());
    for (const int id : ids) EXPECT_NE(id, processor.unk_id());
    std::string text;
    ASSERT_TRUE(processor.Decode(ids, &text).ok());
    EXPECT_EQ(text, prompt);
    tokens += static_cast<double>(ids.size());
  }
  EXPECT_LT(tokens / 500, 20);  // every word a token; their mean is 16 words and 3 full stops
  std::vector<std::string> pieces;
  ASSERT_TRUE(processor.Encode("The bank opens at 12.", &pieces).ok());
  EXPECT_THAT(pieces, testing::ElementsAre("\u2581The", "\u2581bank", "\u2581opens", "\u2581at",
                                           "\u258112", "."));
  // Bytes stand in for characters that were never seen; spaces stay.
  for (const std::string text : {"na\xc3\xafve \xe6\x97\xa5", "two  spaces "}) {
    std::vector<int> ids;
    std::string back;
    ASSERT_TRUE(processor.Encode(text, &ids).ok());
    ASSERT_TRUE(processor.Decode(ids, &back).ok());
    EXPECT_EQ(back, text);
  }
  const auto config = nlohmann::json::parse(read(path("tokenizer/tokenizer_config.json")));
  EXPECT_EQ(config.at("tokenizer_class"), "LlamaTokenizer");
  EXPECT_EQ(config.at("bos_token"), processor.IdToPiece(1));
  EXPECT_EQ(config.at("eos_token"), processor.IdToPiece(2));
  EXPECT_EQ(config.at("add_bos_token"), true);
  EXPECT_EQ(config.at("add_eos_token"), false);
}

TEST_F(WorldFiles, InvariantTokenizerIsDeterministic) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  const auto text = sentences();
  const std::string first = read(train_sentencepiece(text, 600, path("a")));
  const std::string second = read(train_sentencepiece(text, 600, path("b")));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");  // a library does not print
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(first, second);
}

TEST_F(WorldFiles, RejectsTokenizerInput) {
  using testing::HasSubstr;
  using testing::ThrowsMessage;
  EXPECT_THAT([&] { train_sentencepiece({}, 1000, path("t")); },
              ThrowsMessage<Error>(HasSubstr("at least one sentence")));
  EXPECT_THAT([&] { train_sentencepiece({"a"}, 100, path("t")); },
              ThrowsMessage<Error>(HasSubstr("100 came")));
  EXPECT_THAT(
      [&] {
        train_sentencepiece({"a", ""}, 1000, path("t"));
      },
      ThrowsMessage<Error>(HasSubstr("sentences[1]")));
  EXPECT_THAT([&] { train_sentencepiece({std::string("a\0b", 3)}, 1000, path("t")); },
              ThrowsMessage<Error>(HasSubstr("NUL")));
  EXPECT_FALSE(std::filesystem::exists(path("t")));
  train_sentencepiece(sentences(), 600, path("t"));
  EXPECT_THROW(train_sentencepiece(sentences(), 600, path("t")), Error);
}

}  // namespace
}  // namespace pref
