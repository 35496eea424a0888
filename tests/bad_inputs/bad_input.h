// SPDX-License-Identifier: Apache-2.0
// Named bad inputs of every parser of files that strangers made: what is wrong in the name, the
// bytes, and what the error must say. bad_inputs_test.cpp runs them all in one way.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/error.h"
#include "tests/data/data_test_util.h"

namespace pref::testing {

enum class Parser {
  rows,                  ///< rows.jsonl, through load_preferences
  tokenizer_json,        ///< tokenizer.json alone
  tokenizer_config,      ///< tokenizer_config.json beside the small tokenizer.json
  special_tokens_map,    ///< special_tokens_map.json beside the small tokenizer.json
  sentencepiece,         ///< tokenizer.model
  sentencepiece_beside,  ///< tokenizer_config.json beside the small sentencepiece model
  tiktoken,              ///< tokenizer.model with ranks
  tiktoken_named,        ///< mine.tiktoken
  chat_template,         ///< chat_template.jinja, rendered with a short conversation
  chat_messages,         ///< the messages handed to a sound template
  config,                ///< config.json
  safetensors,           ///< model.safetensors
  index,                 ///< model.safetensors.index.json
  tokenizer_folder,      ///< a folder for load_tokenizer
  model_folder,          ///< a folder for WeightFiles
  yaml,                  ///< run.yaml, applied to the options of a data set
  option,                ///< name=value of a command line
  manifest               ///< manifest.json of checkpoint-3
};

struct BadInput {
  std::string name;
  Parser parser;
  std::string bytes;
  std::string where;   ///< file and position, as the message has them
  std::string what;    ///< what was required and what came
  std::string remedy;  ///< what to do
  ErrorKind kind = ErrorKind::data;
  std::function<void(const TempFolder&)> files = {};  ///< makes the folder, for the folder parsers
};
using Table = std::vector<BadInput>;

Table row_cases();
Table row_file_cases();
Table tokenizer_json_cases();
Table tokenizer_part_cases();
Table tokenizer_config_cases();
Table sentencepiece_cases();
Table tiktoken_cases();
Table chat_template_cases();
Table model_file_cases();
Table config_file_cases();
Table folder_cases();
Table fuzz_cases();  ///< what the fuzzers found

/// `base` changed by a JSON merge patch (null removes a key).
inline std::string patched(nlohmann::ordered_json base, const std::string& patch) {
  base.merge_patch(nlohmann::ordered_json::parse(patch));
  return base.dump();
}
inline std::string repeated(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace pref::testing
