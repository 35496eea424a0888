// SPDX-License-Identifier: Apache-2.0
// Bad tokenizer_config.json and special_tokens_map.json files, alone and against the vocabulary that
// they stand beside.
#include "tests/bad_inputs/bad_input.h"

namespace pref::testing {

Table tokenizer_config_cases() {
  const auto kind = Parser::tokenizer_config, map = Parser::special_tokens_map,
             beside = Parser::sentencepiece_beside;
  constexpr const char* kAgain = "download it again";
  constexpr const char* kToken = "a token as a string or an object with content is required";
  const auto decoder = [](const std::string& entries) {
    return R"({"added_tokens_decoder":{)" + entries + "}}";
  };
  return {
      {"empty", kind, "", "m/tokenizer_config.json:1:1", "not JSON", kAgain},
      {"a list", kind, "[]", "m/tokenizer_config.json: /", "an object is required, found a list",
       kAgain},
      {"single quotes", kind, "{'bos_token':1}", "m/tokenizer_config.json:1:2", "not JSON", kAgain},
      {"key twice", kind, R"({"bos_token":"a","bos_token":"b"})", "m/tokenizer_config.json:1:18",
       "\"bos_token\" stands twice", "Remove one of the two"},
      {"nested beyond the cap", kind, "{\"x\":" + repeated("[", 64), "m/tokenizer_config.json:1:69",
       "nested deeper than 64", kAgain},
      {"bos_token a number", kind, R"({"bos_token":1})", "/bos_token", kToken, kAgain},
      {"eos_token a list", kind, R"({"eos_token":["</s>"]})", "/eos_token", "found a list of 1",
       kAgain},
      {"pad_token without content", kind, R"({"pad_token":{"lstrip":true}})", "/pad_token", kToken,
       kAgain},
      {"unk_token with a content of another type", kind, R"({"unk_token":{"content":0}})",
       "/unk_token", kToken, kAgain},
      {"bos_token unknown", kind, R"({"bos_token":"<nope>"})", "m/tokenizer.json",
       "bos_token \"<nope>\" is neither in the vocabulary", "Add it with its id"},
      {"pad_token empty", kind, R"({"pad_token":""})", "m/tokenizer.json",
       "pad_token \"\" is neither in the vocabulary", "Add it with its id"},
      {"additional a string", kind, R"({"additional_special_tokens":"<x>"})",
       "/additional_special_tokens", "a list is required, found \"<x>\"", kAgain},
      {"additional with a number", kind, R"({"additional_special_tokens":["a",5]})",
       "/additional_special_tokens/1", kToken, kAgain},
      {"additional unknown", kind, R"({"additional_special_tokens":["<nope>"]})",
       "m/tokenizer.json", "additional_special_tokens \"<nope>\" is neither", "Add it with its id"},
      {"add_bos_token a string", kind, R"({"add_bos_token":"true"})", "/add_bos_token",
       "true or false is required, found \"true\"", kAgain},
      {"add_eos_token a number", kind, R"({"add_eos_token":1})", "/add_eos_token",
       "true or false is required, found 1", kAgain},
      {"legacy a list", kind, R"({"legacy":[]})", "/legacy", "true or false is required", kAgain},
      {"chat_template a number", kind, R"({"chat_template":3})", "/chat_template",
       "a string or a list of named templates is required, found 3", kAgain},
      {"decoder a list", kind, R"({"added_tokens_decoder":[]})", "/added_tokens_decoder",
       "an object is required, found a list of 0", kAgain},
      {"id not a number", kind, decoder(R"("one":{"content":"x"})"),
       "/added_tokens_decoder/\"one\"", "a token id in [0, 16777216)", kAgain},
      {"id negative", kind, decoder(R"("-1":{"content":"x"})"), "/added_tokens_decoder/\"-1\"",
       "a token id in [0,", kAgain},
      {"id with a tail", kind, decoder(R"("300x":{"content":"x"})"),
       "/added_tokens_decoder/\"300x\"", "a token id in [0,", kAgain},
      {"id empty", kind, decoder(R"("":{"content":"x"})"), "/added_tokens_decoder/\"\"",
       "a token id in [0,", kAgain},
      {"id beyond the cap", kind, decoder(R"("16777216":{"content":"x"})"),
       "/added_tokens_decoder/\"16777216\"", "a token id in [0,", kAgain},
      {"id beyond 32 bits", kind, decoder(R"("99999999999":{"content":"x"})"),
       "/added_tokens_decoder/\"99999999999\"", "a token id in [0,", kAgain},
      {"one id in two spellings", kind,
       decoder(R"("300":{"content":"x1"},"0300":{"content":"x2"})"),
       "/added_tokens_decoder/\"0300\"", "the id stands twice", kAgain},
      {"entry a string", kind, decoder(R"("300":"x")"), "/added_tokens_decoder/\"300\"",
       "an object with a content that is not empty is required, found \"x\"", kAgain},
      {"entry without content", kind, decoder(R"("300":{})"), "/added_tokens_decoder/\"300\"",
       "an object with a content", kAgain},
      {"content empty", kind, decoder(R"("300":{"content":""})"), "/added_tokens_decoder/\"300\"",
       "that is not empty", kAgain},
      {"flag a string", kind, decoder(R"("300":{"content":"x","rstrip":"no"})"),
       "/added_tokens_decoder/\"300\"/rstrip", "true or false is required, found \"no\"", kAgain},
      {"normalized null", kind, decoder(R"("300":{"content":"x","normalized":null})"),
       "/added_tokens_decoder/\"300\"/normalized", "found null", kAgain},
      {"another text for an id of tokenizer.json", kind, decoder(R"("258":{"content":"<|fin|>"})"),
       "m/tokenizer.json", "id 258 belongs to \"<|end|>\"", "Download the tokenizer's files again"},
      {"another id for a text of tokenizer.json", kind, decoder(R"("300":{"content":"<|end|>"})"),
       "m/tokenizer.json", "has two ids, 258 and 300", "Download the tokenizer's files again"},
      {"an id of the vocabulary", kind, decoder(R"("97":{"content":"<x>"})"), "m/tokenizer.json",
       "which the vocabulary gives to \"a\"", "download them together"},
      {"another id for a vocabulary token", kind, decoder(R"("300":{"content":"ab"})"),
       "m/tokenizer.json", "in the vocabulary it has 256", "download them together"},

      {"map: a list", map, "[]", "m/special_tokens_map.json: /", "an object is required", kAgain},
      {"map: cut off", map, "{\"bos_token\": \"<s", "m/special_tokens_map.json:1:", "not JSON",
       kAgain},
      {"map: eos_token true", map, R"({"eos_token":true})", "/eos_token", "found true", kAgain},
      {"map: unk_token unknown", map, R"({"unk_token":"<unk>"})", "m/tokenizer.json",
       "unk_token \"<unk>\" is neither", "Add it with its id"},

      {"beside sentencepiece: another text for a piece's id", beside,
       decoder(R"("1":{"content":"<bos>"})"), "m/tokenizer.model",
       "added_tokens_decoder gives id 1 to \"<bos>\", the model to \"<s>\"",
       "download them together"},
      {"beside sentencepiece: bos_token unknown", beside, R"({"bos_token":"<nope>"})",
       "m/tokenizer.model", "bos_token \"<nope>\" is neither a piece",
       "Download the tokenizer's files"},
      {"beside sentencepiece: additional unknown", beside,
       R"({"additional_special_tokens":["<nope>"]})", "m/tokenizer.model",
       "additional_special_tokens names \"<nope>\"", "Add it with its id"},
  };
}

}  // namespace pref::testing
