// SPDX-License-Identifier: Apache-2.0
// Runs every named bad input through its parser: the error has the right kind, says where, what was
// required and came, and what to do, on short lines fit for a terminal.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "libpref/base/log.h"
#include "libpref/base/utf8.h"
#include "libpref/base/yaml.h"
#include "libpref/data/added_tokens.h"
#include "libpref/data/jinja/chat.h"
#include "libpref/data/load_preferences.h"
#include "libpref/data/model_folder/config.h"
#include "libpref/data/model_folder/model_folder.h"
#include "libpref/data/model_folder/safetensors.h"
#include "libpref/data/model_folder/weight_index.h"
#include "libpref/data/tokenizers/token_files.h"
#include "libpref/train/manifest.h"
#include "tests/bad_inputs/bad_input.h"

namespace pref::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kTalk =
    R"([{"role":"system","content":"S"},{"role":"user","content":" hi "},)"
    R"({"role":"assistant","content":"ho"}])";

void load_beside(const BadInput& input, const char* name, bool sentencepiece) {
  TokenizerFolder folder;
  add_tokenizer_config(input.bytes, std::string("m/") + name, folder);
  if (sentencepiece)
    parse_sentencepiece(tiny_model(), "m/tokenizer.model", folder);
  else
    parse_tokenizer_json(byte_level_json().dump(), "m/tokenizer.json", folder);
}

void parse(const BadInput& input, const TempFolder& folder) {
  const std::string& bytes = input.bytes;
  switch (input.parser) {
    case Parser::rows: {
      static const auto tokenizer =
          parse_tokenizer_json(byte_level_json().dump(), "m/tokenizer.json", {});
      const std::string path = folder.write("rows.jsonl", bytes);
      load_preferences({path}, *tokenizer,
                       {.eos_policy = EosPolicy::never, .preprocessing_num_workers = 1});
      break;
    }
    case Parser::tokenizer_json:
      parse_tokenizer_json(bytes, "m/tokenizer.json", {});
      break;
    case Parser::tokenizer_config:
      load_beside(input, "tokenizer_config.json", false);
      break;
    case Parser::special_tokens_map:
      load_beside(input, "special_tokens_map.json", false);
      break;
    case Parser::sentencepiece:
      parse_sentencepiece(bytes, "m/tokenizer.model", {});
      break;
    case Parser::sentencepiece_beside:
      load_beside(input, "tokenizer_config.json", true);
      break;
    case Parser::tiktoken:
      parse_tiktoken(bytes, "m/tokenizer.model", {});
      break;
    case Parser::tiktoken_named:
      parse_tiktoken(bytes, "m/mine.tiktoken", {});
      break;
    case Parser::chat_template:
      ChatTemplate(bytes, "m/chat_template.jinja").render(kTalk, R"({"bos_token":"<s>"})", 0);
      break;
    case Parser::chat_messages:
      ChatTemplate("{{ messages }}", "m/chat_template.jinja").render(bytes, "", 0);
      break;
    case Parser::config:
      parse_decoder_config(bytes, "m/config.json");
      break;
    case Parser::safetensors:
      parse_safetensors_header({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()},
                               bytes.size(), "m/model.safetensors");
      break;
    case Parser::index:
      parse_weight_index(bytes, "m/model.safetensors.index.json");
      break;
    case Parser::tokenizer_folder:
      input.files(folder);
      load_tokenizer(folder.path());
      break;
    case Parser::model_folder:
      input.files(folder);
      WeightFiles(folder.path());
      break;
    case Parser::yaml: {
      DataOptions options;
      apply_settings(options, parse_yaml_settings(bytes, "run.yaml"));
      break;
    }
    case Parser::option: {
      DataOptions options;
      apply_settings(options, {parse_setting_argument(bytes)});
      break;
    }
    case Parser::manifest:
      std::filesystem::create_directories(folder.path() + "/checkpoint-3");
      folder.write("checkpoint-3/manifest.json", bytes);
      open_checkpoint(folder.path() + "/checkpoint-3");
      break;
  }
}

std::vector<BadInput> all_inputs() {
  std::vector<BadInput> out;
  for (const auto& cases :
       {row_cases, row_file_cases, tokenizer_json_cases, tokenizer_part_cases,
        tokenizer_config_cases, sentencepiece_cases, tiktoken_cases, chat_template_cases,
        model_file_cases, config_file_cases, folder_cases, fuzz_cases})
    for (BadInput& input : cases()) out.push_back(std::move(input));
  return out;
}

TEST(BadInputs, RejectsEachWithPlaceRequirementAndRemedy) {
  set_log_level(LogLevel::error);
  for (const BadInput& input : all_inputs()) {
    SCOPED_TRACE(input.name);
    const TempFolder folder;
    try {
      parse(input, folder);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_EQ(error.kind(), input.kind) << text;
      EXPECT_THAT(text, HasSubstr(input.where));
      EXPECT_THAT(text, HasSubstr(input.what));
      EXPECT_THAT(text, HasSubstr(input.remedy));
      EXPECT_TRUE(text.starts_with("[")) << text;
      EXPECT_LT(text.size(), 1500u) << text.substr(0, 1500);
      EXPECT_EQ(find_invalid_utf8(text), std::string::npos) << text;
      for (const char c : text) EXPECT_TRUE(static_cast<uint8_t>(c) >= 0x20 || c == '\n') << text;
    }
  }
  set_log_level(LogLevel::info);
}

TEST(BadInputs, InvariantOfTheTable) {
  std::map<Parser, std::set<std::string>> names;
  size_t count = 0;
  for (const BadInput& input : all_inputs()) {
    ++count;
    EXPECT_TRUE(names[input.parser].insert(input.name).second) << input.name << " stands twice";
    EXPECT_FALSE(input.where.empty() || input.what.empty() || input.remedy.empty()) << input.name;
  }
  EXPECT_GE(count, 250u);
  RecordProperty("bad_inputs", static_cast<int>(count));
  std::cout << count << " named bad inputs\n";
}

}  // namespace
}  // namespace pref::testing
