// SPDX-License-Identifier: Apache-2.0
// Bad tokenizer.json files: the JSON itself, the vocabulary, merges, scores.
#include "tests/bad_inputs/bad_input.h"

namespace pref::testing {
namespace {

constexpr const char* kAgain = "download it again";
constexpr const char* kOther = "Use the tokenizer.model";

std::string unigram(const std::string& model) {
  nlohmann::ordered_json json = byte_level_json();
  json["pre_tokenizer"] = json["decoder"] = nullptr;
  json["added_tokens"] = nlohmann::ordered_json::array();
  json["model"] = nlohmann::ordered_json::parse(model);
  return json.dump();
}

/// The small file with its merges replaced.
std::string merges(const std::string& list) {
  return patched(byte_level_json(), R"({"model":{"merges":)" + list + "}}");
}

std::string vocabulary(const std::string& object) {
  nlohmann::ordered_json json = byte_level_json();
  json["model"]["vocab"] = nlohmann::ordered_json::parse(object);
  json["model"]["merges"] = nlohmann::ordered_json::array();
  return json.dump();
}

}  // namespace

Table tokenizer_json_cases() {
  const auto kind = Parser::tokenizer_json;
  const std::string good = byte_level_json().dump();
  const auto bad = [&](const std::string& patch) { return patched(byte_level_json(), patch); };
  return {
      {"empty file", kind, "", "m/tokenizer.json:1:1", "not JSON", kAgain},
      {"cut in half", kind, good.substr(0, good.size() / 2), "m/tokenizer.json:1:", "not JSON",
       kAgain},
      {"byte-order mark", kind, "\xef\xbb\xbf" + good, "m/tokenizer.json:1:1", "byte-order mark",
       "Save the file without it"},
      {"raw NUL", kind, good + std::string(1, '\0'), "m/tokenizer.json:1:", "a NUL byte", kAgain},
      {"not UTF-8", kind, "{\"version\":\"\xff\"}", "m/tokenizer.json:1:", "not JSON", kAgain},
      {"two values", kind, good + "{}", "m/tokenizer.json:1:", "not JSON", kAgain},
      {"a key twice", kind, "{\n\"model\":1,\n\"model\":2}", "m/tokenizer.json:3:1",
       "\"model\" stands twice", "Remove one of the two"},
      {"nested beyond the cap", kind, repeated("[", 65), "m/tokenizer.json:1:65",
       "nested deeper than 64", kAgain},
      {"a list", kind, "[]", "m/tokenizer.json: /:", "an object is required, found a list of 0",
       kAgain},
      {"a number", kind, "3", "m/tokenizer.json: /:", "an object is required, found 3", kAgain},
      {"an unknown part", kind, bad(R"({"shadow":{}})"), "/shadow", "the option \"shadow\"",
       kOther},
      {"no model", kind, bad(R"({"model":null})"),
       "m/tokenizer.json: /:", "the key \"model\" is missing", kAgain},
      {"model a string", kind, bad(R"({"model":"BPE"})"), "/model", "an object is required",
       kAgain},
      {"model of another kind", kind, bad(R"({"model":{"type":"WordPiece"}})"), "/model",
       "the model \"WordPiece\" is not supported", kOther},
      {"model without a type", kind, R"({"model":{"vocab":{"a":0}}})", "/model",
       "the model \"WordLevel\"", kOther},
      {"model type a number", kind, bad(R"({"model":{"type":1}})"), "/model/type",
       "a string is required, found 1", kAgain},
      {"model with an unknown option", kind, bad(R"({"model":{"speed":1}})"), "/model/speed",
       "the option \"speed\"", kOther},
      {"an option's name is hostile", kind,
       bad(R"({"model":{"a\n\u0007)" + std::string(500, 'x') + R"(":1}})"), "/model/a\\n\\x07xxx",
       "is not supported", kOther},
      {"no vocabulary", kind, bad(R"({"model":{"vocab":null}})"), "/model",
       "the key \"vocab\" is missing", kAgain},
      {"vocabulary a list", kind, bad(R"({"model":{"vocab":[]}})"), "/model/vocab",
       "an object is required, found a list", kAgain},
      {"vocabulary empty", kind, vocabulary("{}"), "/model/vocab", "1 to 2097152 tokens", kAgain},
      {"id negative", kind, vocabulary(R"({"a":-1})"), "/model/vocab/\"a\"",
       "an integer from 0 to 65536 is required, found -1", kAgain},
      {"id a float", kind, vocabulary(R"({"a":0.5})"), "/model/vocab/\"a\"", "found 0.5", kAgain},
      {"id a string", kind, vocabulary(R"({"a":"0"})"), "/model/vocab/\"a\"", "found \"0\"",
       kAgain},
      {"id null", kind, vocabulary(R"({"a":null})"), "/model/vocab/\"a\"", "found null", kAgain},
      {"id of 2^32", kind, vocabulary(R"({"a":4294967296})"), "/model/vocab/\"a\"",
       "an integer from 0 to 65536", kAgain},
      {"id of 2^64", kind, vocabulary(R"({"a":18446744073709551616})"), "/model/vocab/\"a\"",
       "an integer from 0", kAgain},
      {"id beyond the gap", kind, vocabulary(R"({"a":0,"b":70000})"), "/model/vocab/\"b\"",
       "an integer from 0 to 65537 is required, found 70000", kAgain},
      {"an id twice", kind, vocabulary(R"({"a":0,"b":0})"), "/model/vocab/\"b\"",
       "the id 0 belongs to \"a\" too", kAgain},
      {"a token beyond the cap", kind, vocabulary("{\"" + std::string(65537, 'x') + "\":0}"),
       "/model/vocab/\"xxx", "at most 65536 bytes", kAgain},
      {"a token with control bytes in the message", kind, vocabulary(R"({"a\u0000\u001b[31m":-1})"),
       "/model/vocab/\"a\\x00\\x1b[31m\"", "found -1", kAgain},
      {"no merges", kind, bad(R"({"model":{"merges":null}})"), "/model",
       "the key \"merges\" is missing", kAgain},
      {"merges an object", kind, merges("{}"), "/model/merges", "a list is required", kAgain},
      {"a merge of one token", kind, merges(R"(["ab"])"), "/model/merges/0",
       "two tokens with one space between them is required, found \"ab\"", kAgain},
      {"a merge of three tokens", kind, merges(R"(["a b c"])"), "/model/merges/0",
       "two tokens with one space", kAgain},
      {"a merge a number", kind, merges("[7]"), "/model/merges/0",
       "two tokens is required, found 7", kAgain},
      {"a merge null", kind, merges("[null]"), "/model/merges/0", "found null", kAgain},
      {"a merge list of one", kind, merges(R"([["a"]])"), "/model/merges/0", "two tokens", kAgain},
      {"a merge list of numbers", kind, merges("[[1,2]]"), "/model/merges/0", "two tokens", kAgain},
      {"an empty left part", kind, merges(R"([" b"])"), "/model/merges/0",
       "a part of the merge is empty", kAgain},
      {"an empty right part", kind, merges(R"(["a "])"), "/model/merges/0",
       "a part of the merge is empty", kAgain},
      {"a left part that is no token", kind, merges(R"(["zz b"])"), "/model/merges/0",
       "\"zz\" is not in the vocabulary", kAgain},
      {"a right part that is no token", kind, merges(R"(["a zz"])"), "/model/merges/0",
       "\"zz\" is not in the vocabulary", kAgain},
      {"a result that is no token", kind, merges(R"(["a b","b a"])"), "/model/merges/1",
       "\"ba\" is not in the vocabulary", kAgain},
      {"dropout", kind, bad(R"({"model":{"dropout":0.1}})"), "/model/dropout", "BPE dropout",
       kOther},
      {"dropout a string", kind, bad(R"({"model":{"dropout":"no"}})"), "/model/dropout",
       "BPE dropout", kOther},
      {"unknown token absent", kind, bad(R"({"model":{"unk_token":"<unk>"}})"), "/model/unk_token",
       "a token of the vocabulary is required, found \"<unk>\"", kAgain},
      {"unknown token a number", kind, bad(R"({"model":{"unk_token":0}})"), "/model/unk_token",
       "a string is required, found 0", kAgain},
      {"subword prefix", kind, bad(R"({"model":{"continuing_subword_prefix":"##"}})"),
       "/model/continuing_subword_prefix", "is not supported", kOther},
      {"word suffix", kind, bad(R"({"model":{"end_of_word_suffix":"</w>"}})"),
       "/model/end_of_word_suffix", "is not supported", kOther},
      {"fuse_unk a string", kind, bad(R"({"model":{"fuse_unk":"yes"}})"), "/model/fuse_unk",
       "true or false is required, found \"yes\"", kAgain},
      {"ignore_merges a number", kind, bad(R"({"model":{"ignore_merges":1}})"),
       "/model/ignore_merges", "true or false", kAgain},
      {"byte_fallback null in a list", kind, bad(R"({"model":{"byte_fallback":[null]}})"),
       "/model/byte_fallback", "true or false is required, found a list of 1", kAgain},

      {"unigram without a vocabulary", kind, unigram(R"({"type":"Unigram"})"), "/model",
       "the key \"vocab\" is missing", kAgain},
      {"unigram vocabulary empty", kind, unigram(R"({"type":"Unigram","vocab":[]})"),
       "/model/vocab", "1 to 2097152 tokens", kAgain},
      {"unigram item a string", kind, unigram(R"({"type":"Unigram","vocab":["a"]})"),
       "/model/vocab/0", "a token and its score is required, found \"a\"", kAgain},
      {"unigram score a string", kind, unigram(R"({"type":"Unigram","vocab":[["a","-1"]]})"),
       "/model/vocab/0", "a token and its score", kAgain},
      {"unigram item of three", kind, unigram(R"({"type":"Unigram","vocab":[["a",-1,0]]})"),
       "/model/vocab/0", "a token and its score is required, found a list of 3", kAgain},
      {"unigram score infinite", kind, R"({"model":{"type":"Unigram","vocab":[["a",1e999]]}})",
       "m/tokenizer.json:1:", "not JSON: number overflow", kAgain},
      {"unigram score NaN", kind, R"({"model":{"type":"Unigram","vocab":[["a",NaN]]}})",
       "m/tokenizer.json:1:", "not JSON", kAgain},
      {"unigram token empty", kind, unigram(R"({"type":"Unigram","vocab":[["",-1]]})"),
       "/model/vocab/0", "a token of 1 to 65536 bytes", kAgain},
      {"unigram token twice", kind, unigram(R"({"type":"Unigram","vocab":[["a",-1],["a",-2]]})"),
       "/model/vocab/1", "the token \"a\" stands twice", kAgain},
      {"unigram unknown id beyond", kind,
       unigram(R"({"type":"Unigram","unk_id":1,"vocab":[["a",-1]]})"), "/model/unk_id",
       "an integer from 0 to 0 is required, found 1", kAgain},
      {"unigram unknown id negative", kind,
       unigram(R"({"type":"Unigram","unk_id":-1,"vocab":[["a",-1]]})"), "/model/unk_id", "found -1",
       kAgain},
      {"unigram with merges", kind, unigram(R"({"type":"Unigram","merges":[],"vocab":[["a",-1]]})"),
       "/model/merges", "the option \"merges\"", kOther},
  };
}

}  // namespace pref::testing
