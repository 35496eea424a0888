// SPDX-License-Identifier: Apache-2.0
// Bad tokenizer.json files: normalizers, pre-tokenizers, patterns, decoders, post-processors, added
// tokens.
#include "tests/bad_inputs/bad_input.h"

namespace pref::testing {
namespace {

constexpr const char* kAgain = "download it again";
constexpr const char* kOther = "Use the tokenizer.model";

std::string part(const std::string& name, const std::string& value) {
  nlohmann::ordered_json json = byte_level_json();
  json[name] = nlohmann::ordered_json::parse(value);
  return json.dump();
}
std::string pattern(const std::string& regex) {
  return part(
      "pre_tokenizer",
      nlohmann::json{{"type", "Split"}, {"behavior", "Isolated"}, {"pattern", {{"Regex", regex}}}}
          .dump());
}
std::string added(const std::string& list) { return part("added_tokens", list); }
std::string single(const std::string& list) {
  return part("post_processor", R"({"type":"TemplateProcessing","pair":[],"special_tokens":{"<s>":)"
                                R"({"id":"<s>","ids":[0],"tokens":["<s>"]}},"single":)" +
                                    list + "}");
}

Table part_cases() {
  const auto kind = Parser::tokenizer_json;
  return {
      {"normalizer a string", kind, part("normalizer", "\"NFC\""), "/normalizer",
       "an object is required", kAgain},
      {"normalizer without a type", kind, part("normalizer", "{}"), "/normalizer",
       "the key \"type\" is missing", kAgain},
      {"normalizer unknown", kind, part("normalizer", R"({"type":"Nmt"})"), "/normalizer",
       "the normalizer \"Nmt\" is not supported", kOther},
      {"normalizer with an option too many", kind, part("normalizer", R"({"type":"NFC","form":1})"),
       "/normalizer/form", "the option \"form\"", kOther},
      {"Replace without a pattern", kind, part("normalizer", R"({"type":"Replace","content":""})"),
       "/normalizer", "the key \"pattern\" is missing", kAgain},
      {"Replace of an empty text", kind,
       part("normalizer", R"({"type":"Replace","pattern":{"String":""},"content":"x"})"),
       "/normalizer/pattern/String", "a string that is not empty", kAgain},
      {"Replace by a number", kind,
       part("normalizer", R"({"type":"Replace","pattern":{"String":"a"},"content":1})"),
       "/normalizer/content", "a string is required, found 1", kAgain},
      {"Replace by text and regex", kind,
       part("normalizer",
            R"({"type":"Replace","pattern":{"String":"a","Regex":"a"},"content":""})"),
       "/normalizer/pattern", "one of String and Regex", kAgain},
      {"a sequence without a list", kind, part("normalizer", R"({"type":"Sequence"})"),
       "/normalizer", "the key \"normalizers\" is missing", kAgain},
      {"a sequence of 65 steps", kind,
       part("normalizer", R"({"type":"Sequence","normalizers":[)" +
                              repeated(R"({"type":"NFC"},)", 64) + R"({"type":"NFC"}]})"),
       "/normalizer", "more than 64 steps", kAgain},
      {"a sequence nested 40 deep", kind,
       part("normalizer",
            repeated(R"({"type":"Sequence","normalizers":[)", 40) + repeated("]}", 40)),
       "m/tokenizer.json:1:", "nested deeper than 64", kAgain},
      {"Strip with a number", kind, part("normalizer", R"({"type":"Strip","strip_left":1})"),
       "/normalizer/strip_left", "true or false is required, found 1", kAgain},
      {"a chain of doublings meets an added token", kind,
       patched(byte_level_json(),
               R"({"added_tokens":[{"id":97,"content":"a","normalized":true}],)"
               R"("normalizer":{"type":"Sequence","normalizers":[)" +
                   repeated(R"({"type":"Replace","pattern":{"String":"a"},"content":"aa"},)", 63) +
                   R"({"type":"NFC"}]}})"),
       "normalizer or decoder of tokenizer.json", "64 times what it was given",
       "download the file again"},

      {"pre-tokenizer unknown", kind, part("pre_tokenizer", R"({"type":"CharDelimiterSplit"})"),
       "/pre_tokenizer", "the pre-tokenizer \"CharDelimiterSplit\"", kOther},
      {"pre-tokenizer a list", kind, part("pre_tokenizer", "[]"), "/pre_tokenizer",
       "an object is required, found a list of 0", kAgain},
      {"pre-tokenizer type null", kind, part("pre_tokenizer", R"({"type":null})"),
       "/pre_tokenizer/type", "a string is required, found null", kAgain},
      {"ByteLevel twice", kind,
       part("pre_tokenizer",
            R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"ByteLevel"}]})"),
       "/pre_tokenizer/pretokenizers/1", "a second ByteLevel", kOther},
      {"Split without a behavior", kind,
       part("pre_tokenizer", R"({"type":"Split","pattern":{"String":"a"}})"), "/pre_tokenizer",
       "the key \"behavior\" is missing", kAgain},
      {"Split with a behavior of lower case", kind,
       part("pre_tokenizer", R"({"type":"Split","pattern":{"String":"a"},"behavior":"isolated"})"),
       "/pre_tokenizer/behavior", "Removed, Isolated", kAgain},
      {"Split with an empty pattern object", kind,
       part("pre_tokenizer", R"({"type":"Split","pattern":{},"behavior":"Isolated"})"),
       "/pre_tokenizer/pattern", "the key \"Regex\" is missing", kAgain},
      {"Digits with a string", kind,
       part("pre_tokenizer", R"({"type":"Digits","individual_digits":"no"})"),
       "/pre_tokenizer/individual_digits", "true or false", kAgain},
      {"Metaspace of two characters", kind,
       part("pre_tokenizer", R"({"type":"Metaspace","replacement":"__"})"),
       "/pre_tokenizer/replacement", "one character is required, found \"__\"", kAgain},
      {"Metaspace of none", kind, part("pre_tokenizer", R"({"type":"Metaspace","replacement":""})"),
       "/pre_tokenizer/replacement", "one character", kAgain},
      {"Metaspace with an unknown scheme", kind,
       part("pre_tokenizer", R"({"type":"Metaspace","prepend_scheme":"last"})"),
       "/pre_tokenizer/prepend_scheme", "\"always\", \"first\" or \"never\"", kAgain},
      {"Metaspace that contradicts itself", kind,
       part("pre_tokenizer",
            R"({"type":"Metaspace","prepend_scheme":"first","add_prefix_space":false})"),
       "/pre_tokenizer/prepend_scheme", "\"never\", as add_prefix_space is false", kAgain},

      {"pattern with an open group", kind, pattern("(a"), "/pre_tokenizer/pattern/Regex",
       "cannot be compiled", kOther},
      {"pattern with an open class", kind, pattern("[a"), "/pre_tokenizer/pattern/Regex", "\"[a\"",
       kOther},
      {"pattern with an unknown property", kind, pattern("\\p{Nope}"),
       "/pre_tokenizer/pattern/Regex", "\\\\p{Nope}", kOther},
      {"pattern with a reversed range", kind, pattern("[z-a]"), "/pre_tokenizer/pattern/Regex",
       "[z-a]", kOther},
      {"pattern with nothing to repeat", kind, pattern("*a"), "/pre_tokenizer/pattern/Regex",
       "\"*a\"", kOther},
      {"pattern with a back reference to no group", kind, pattern("\\9"),
       "/pre_tokenizer/pattern/Regex", "\\\\9", kOther},
      {"pattern that ends in a backslash", kind, pattern("a\\"), "/pre_tokenizer/pattern/Regex",
       "a\\\\", kOther},
      {"pattern with huge repeats", kind, pattern("((((a{999}){999}){999}){999})"),
       "/pre_tokenizer/pattern/Regex", "cannot be compiled", kOther},
      {"pattern nested 2000 deep", kind, pattern(repeated("(", 2000) + "a" + repeated(")", 2000)),
       "/pre_tokenizer/pattern/Regex", "cannot be compiled", kOther},
      {"pattern of 70 kB", kind, pattern(std::string(70'000, 'a')), "/pre_tokenizer/pattern/Regex",
       "a pattern of 70000 bytes, at most 65536", kOther},
      {"pattern a number", kind,
       part("pre_tokenizer", R"({"type":"Split","behavior":"Isolated","pattern":{"Regex":1}})"),
       "/pre_tokenizer/pattern/Regex", "a string is required, found 1", kAgain},

      {"decoder unknown", kind, part("decoder", R"({"type":"WordPiece"})"), "/decoder",
       "the decoder \"WordPiece\"", kOther},
      {"decoder that replaces by a regex", kind,
       part("decoder", R"({"type":"Replace","pattern":{"Regex":"a"},"content":""})"), "/decoder",
       "a decoder that replaces by a regex", kOther},
      {"decoder that strips two characters", kind,
       part("decoder", R"({"type":"Strip","content":"ab","start":1,"stop":0})"), "/decoder/content",
       "one character", kAgain},
      {"decoder that strips a negative count", kind,
       part("decoder", R"({"type":"Strip","content":" ","start":-1,"stop":0})"), "/decoder/start",
       "an integer from 0 to 1048576 is required, found -1", kAgain},
      {"decoder that strips without an end", kind,
       part("decoder", R"({"type":"Strip","content":" ","start":1})"), "/decoder",
       "the key \"stop\" is missing", kAgain},
      {"decoders not a list", kind, part("decoder", R"({"type":"Sequence","decoders":{}})"),
       "/decoder/decoders", "a list is required, found an object", kAgain},
  };
}

}  // namespace

Table tokenizer_part_cases() {
  const auto kind = Parser::tokenizer_json;
  Table out = part_cases();
  const Table more{
      {"post-processor unknown", kind, part("post_processor", R"({"type":"Plain"})"),
       "/post_processor", "the post-processor \"Plain\"", kOther},
      {"template without the text", kind, single(R"([{"SpecialToken":{"id":"<s>","type_id":0}}])"),
       "/post_processor/single", "the sequence A is missing", kAgain},
      {"template with the text twice", kind,
       single(R"([{"Sequence":{"id":"A"}},{"Sequence":{"id":"A"}}])"), "/post_processor/single/1",
       "a template that repeats the text", kOther},
      {"template with a token that is not listed", kind,
       single(R"([{"SpecialToken":{"id":"<x>"}},{"Sequence":{"id":"A"}}])"),
       "/post_processor/special_tokens", "the key \"<x>\" is missing", kAgain},
      {"template with a piece of neither kind", kind, single(R"([{"Other":{}}])"),
       "/post_processor/single/0", "the key \"SpecialToken\" is missing", kAgain},
      {"template a string", kind, single("\"$A\""), "/post_processor/single", "a list is required",
       kAgain},
      {"template with a negative id", kind,
       part("post_processor",
            R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"s"}}],)"
            R"("special_tokens":{"s":{"ids":[-1]}}})"),
       "/post_processor/special_tokens/s/ids/0", "an integer from 0 to 16777215", kAgain},
      {"Roberta without a separator", kind,
       part("post_processor", R"({"type":"RobertaProcessing","cls":["a",0]})"), "/post_processor",
       "is missing", kAgain},
      {"Bert with a pair of one", kind,
       part("post_processor", R"({"type":"BertProcessing","cls":["a"],"sep":["a",0]})"),
       "/post_processor/cls", "a token and its id is required, found a list of 1", kAgain},

      {"added tokens an object", kind, added("{}"), "/added_tokens", "a list is required", kAgain},
      {"an added token a string", kind, added(R"(["<s>"])"), "/added_tokens/0",
       "an object is required", kAgain},
      {"an added token without an id", kind, added(R"([{"content":"<s>"}])"), "/added_tokens/0",
       "the key \"id\" is missing", kAgain},
      {"an added token without content", kind, added(R"([{"id":300}])"), "/added_tokens/0",
       "the key \"content\" is missing", kAgain},
      {"an added token that is empty", kind, added(R"([{"id":300,"content":""}])"),
       "/added_tokens/0/content", "a token of 1 to 65536 bytes", kAgain},
      {"an added id negative", kind, added(R"([{"id":-1,"content":"x"}])"), "/added_tokens/0/id",
       "found -1", kAgain},
      {"an added id beyond the cap", kind, added(R"([{"id":16777216,"content":"<s>"}])"),
       "/added_tokens/0/id", "an integer from 0 to 16777215", kAgain},
      {"an added id twice", kind,
       added(R"([{"id":300,"content":"<a>"},{"id":300,"content":"<b>"}])"), "/added_tokens/1/id",
       "the id stands twice", kAgain},
      {"an added content twice", kind,
       added(R"([{"id":300,"content":"<a>"},{"id":301,"content":"<a>"}])"), "m/tokenizer.json",
       "the added token \"<a>\" has two ids, 300 and 301", "Download the tokenizer's files again"},
      {"an added token with another id than the vocabulary's", kind,
       added(R"([{"id":300,"content":"ab"}])"), "m/tokenizer.json",
       "has id 300, in the vocabulary it has 256", "download them together"},
      {"an added token on a vocabulary token's id", kind, added(R"([{"id":256,"content":"<a>"}])"),
       "m/tokenizer.json", "which the vocabulary gives to \"ab\"", "download them together"},
      {"an added token with an unknown field", kind,
       added(R"([{"id":300,"content":"<a>","rank":1}])"), "/added_tokens/0/rank",
       "the option \"rank\"", kOther},
      {"an added token's flag a string", kind,
       added(R"([{"id":300,"content":"<a>","special":"yes"}])"), "/added_tokens/0/special",
       "true or false is required, found \"yes\"", kAgain},
  };
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace pref::testing
