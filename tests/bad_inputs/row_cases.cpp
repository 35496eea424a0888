// SPDX-License-Identifier: Apache-2.0
// Bad rows and files of rows: each stands in the second line of a file whose first row is good, and
// is met by load_preferences, strict.
#include "tests/bad_inputs/bad_input.h"

namespace pref::testing {
namespace {

constexpr const char* kGood = R"({"prompt":"p","chosen":"c","rejected":"r"})"
                              "\n";
constexpr const char* kFix = "Fix the row or pass --on-bad-row=skip";

BadInput row(std::string name, const std::string& line, const std::string& column,
             std::string what) {
  return {std::move(name),          Parser::rows,    kGood + line + "\n",
          "rows.jsonl:2:" + column, std::move(what), kFix};
}

}  // namespace

Table row_cases() {
  const auto pair = [](const std::string& prompt, const std::string& chosen,
                       const std::string& rejected) {
    return R"({"prompt":)" + prompt + R"(,"chosen":)" + chosen + R"(,"rejected":)" + rejected + "}";
  };
  const std::string user = R"({"role":"user","content":"p"})",
                    good = R"({"role":"assistant","content":"c"})",
                    other = R"({"role":"assistant","content":"r"})";
  const auto list = [](const std::string& items) { return "[" + items + "]"; };
  return {
      row("not JSON", "{prompt}", "2 ", "not JSON"),
      row("cut off", R"({"prompt":"p","chosen":"c")", "", "not JSON"),
      row("Python quotes", "{'prompt':'p'}", "2 ", "not JSON"),
      row("Python constants", R"({"prompt":None})", "11 ", "not JSON"),
      row("NaN", R"({"prompt":"p","chosen":"c","rejected":"r","margin":NaN})", "52 ", "not JSON"),
      row("two objects", "{}{}", "3 ", "not JSON"),
      row("a comma behind", R"({"prompt":"p",})", "15 ", "not JSON"),
      row("a raw tab in a string", "{\"prompt\":\"a\tb\"}", "13 ", "not JSON"),
      row("a lone surrogate", R"({"prompt":"\ud800"})", "", "not JSON"),
      row("a bad escape", R"({"prompt":"\x41"})", "13 ", "not JSON"),
      row("a number too large", R"({"prompt":1e999})", "", "not JSON"),
      row("a leading zero", R"({"prompt":01})", "", "not JSON"),
      row("a comment", "{} // note", "4 ", "not JSON"),
      row("invalid UTF-8", "{\"prompt\":\"\xff\"}", "12 (byte 54)", "byte 0xff is not valid UTF-8"),
      row("overlong UTF-8", "{\"prompt\":\"\xc0\xaf\"}", "12 ", "byte 0xc0 is not valid UTF-8"),
      row("a surrogate in UTF-8", "{\"prompt\":\"\xed\xa0\x80\"}", "12 ", "byte 0xed"),
      row("a raw NUL", std::string("{\"prompt\":\"\0\"}", 14), "12 ", "a raw NUL byte"),
      row("nested beyond the cap", repeated("[", 100), "65 ", "nesting is deeper than 64"),
      row("key twice", R"({"prompt":"p","prompt":"q"})", "15 ", "\"prompt\" stands twice"),
      row("key twice in a message", R"({"messages":[{"role":"user","role":"user"}]})", "29 ",
          "/messages/0: the key \"role\" stands twice"),
      row(
          "the 40th key twice",
          [] {
            std::string line = "{";
            for (int i = 0; i < 40; ++i) line += "\"k" + std::to_string(i) + "\":0,";
            return line + "\"k39\":0}";
          }(),
          "312 ", "\"k39\" stands twice"),
      row("an array", "[1]", "1 ", "the line is an array, expected an object"),
      row("a string", "\"x\"", "1 ", "the line is a string"),
      row("null", "null", "1 ", "the line is null"),
      row("a number", "7", "1 ", "the line is a number"),
      row("no key", "{}", "1 ", "\"chosen\" is missing (found: nothing)"),
      row("a key nearly right", R"({"prompt":"p","chosen":"c","rejectd":"r"})", "1 ",
          "Is \"rejectd\" meant?"),
      row("a hostile key", "{\"" + std::string(5000, 'k') + "\\u001b\":1}", "1 ",
          "\"chosen\" is missing (found: \"kkk"),
      row("rejected alone", R"({"prompt":"p","rejected":"r"})", "1 ", "\"chosen\" is missing"),
      row("prompt a number", pair("3", "\"c\"", "\"r\""), "11 ",
          "/prompt is a number, expected a string"),
      row("chosen null", pair("\"p\"", "null", "\"r\""), "24 ", "/chosen is null, expected"),
      row("chosen an object", pair("\"p\"", "{}", "\"r\""), "24 ",
          "/chosen has no role; each message needs role and content"),
      row("chosen true", pair("\"p\"", "true", "\"r\""), "24 ", "/chosen is a boolean"),
      row("chosen a list of texts", pair("\"p\"", "[\"c\"]", "[\"r\"]"), "25 ",
          "/chosen/0 is a string, expected a message with role and content"),
      row("chosen an empty list", pair("\"p\"", "[]", "[]"), "24 ", "/chosen is an empty list"),
      row("two forms", pair("\"p\"", "\"c\"", list(other)), "", "both must be of one form"),
      row("a prompt of messages for texts", pair(list(user), "\"c\"", "\"r\""), "",
          "both must be of one form"),
      row("a message without content", R"({"messages":[{"role":"user"}]})", "14 ",
          "/messages/0 has no content"),
      row("a message without role", R"({"messages":[{"content":"x"}]})", "14 ",
          "/messages/0 has no role"),
      row("content null", R"({"messages":[{"role":"user","content":null}]})", "39 ",
          "/messages/0/content is null, expected a string"),
      row("content a list of parts", R"({"messages":[{"role":"user","content":[{"text":"a"}]}]})",
          "40 ", "/messages/0/content/0 is an object, expected a part with a type"),
      row("an unknown role", R"({"messages":[{"role":"wizard","content":"a"}]})", "22 ",
          "/messages/0/role is \"wizard\", expected system, user, assistant or tool"),
      row("a role with control bytes", R"({"messages":[{"role":"\u001b[2J","content":"a"}]})",
          "22 ", "/messages/0/role is \"\\x1b[2J\""),
      row("one message with calls",
          R"({"messages":[{"role":"user","content":"a","tool_calls":[1]}]})", "13 ",
          "/messages holds one message, a prompt and a response are required"),
      row("images", R"({"prompt":"p","chosen":"c","rejected":"r","images":["x"]})", "",
          "/images cannot be trained on"),
      row("one message", list(good).insert(0, "{\"messages\":") + "}", "13 ",
          "a prompt and a response are required"),
      row("the user speaks last", R"({"messages":[)" + good + "," + user + "]}", "13 ",
          "ends with a message of the role user, the assistant's is required"),
      row("chosen empty", pair("\"p\"", "\"\"", "\"r\""), "",
          "/chosen is empty or only white space"),
      row("rejected of white space", pair("\"p\"", "\"c\"", "\" \\n\\u3000\""), "",
          "/rejected is empty or only white space"),
      row("a pair of equals", pair("\"p\"", "\"c\"", "\"c\""), "",
          "/chosen and /rejected are equal"),
      row("different prompts",
          R"({"chosen":[)" + user + "," + good + R"(],"rejected":[{"role":"user","content":"q"},)" +
              other + "]}",
          "", "have different prompts: message 0"),
      row("chosen of the prompt alone", pair("\"p\"", list(user), list(user + "," + other)), "",
          "holds the prompt and no response"),
      row("transcripts of different prompts",
          R"({"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: A\n\nAssistant: c"})",
          "", "have different prompts: turn 0"),
      row("a transcript that ends with the human",
          R"({"chosen":"\n\nHuman: a","rejected":"\n\nHuman: a\n\nAssistant: c"})", "",
          "does not end with an \"Assistant:\" turn"),
      row("weight negative", R"({"prompt":"p","chosen":"c","rejected":"r","weight":-1})", "52 ",
          "/weight is -1, expected at least 0"),
      row("weight a string", R"({"prompt":"p","chosen":"c","rejected":"r","weight":"1"})", "52 ",
          "/weight is a string, expected a finite number"),
      row("margin a list", R"({"prompt":"p","chosen":"c","rejected":"r","margin":[]})", "52 ",
          "/margin is an array"),
      row("scores inverted",
          R"({"prompt":"p","chosen":"c","rejected":"r","score_chosen":1,"score_rejected":2.5})", "",
          "the score of /chosen is 1, below that of /rejected, 2.5"),
      row("score a string",
          R"({"prompt":"p","chosen":"c","rejected":"r","score_chosen":"1","score_rejected":2})", "",
          "/score_chosen is a string"),
      row("a prompt that leaves no room",
          pair("\"" + std::string(3000, 'p') + "\"", "\"c\"", "\"r\""), "", "token"),
  };
}

Table row_file_cases() {
  const auto kind = Parser::rows;
  const std::string good = kGood, packed = gzip(good), path = "rows.jsonl";
  const auto flipped = [&](size_t at) {
    std::string out = gzip(repeated(good, 50));
    out[at < out.size() ? at : out.size() - 6] ^= 0x55;
    return out;
  };
  constexpr const char* kGzip = "download or compress it again";
  return {
      {"empty file", kind, "", "[data] ", "no row can be trained on", "0 rows"},
      {"blank lines only", kind, "\n \r\n\n", "[data] ", "no row can be trained on", "0 rows"},
      {"UTF-16", kind, std::string("\xff\xfe{\0\n\0", 6), path + ":1:1",
       "the mark of UTF-16 or UTF-32", "iconv -f UTF-16 -t UTF-8"},
      {"UTF-32", kind, std::string("\0\0\xfe\xff\0\0\0{", 8), path + ":1:1",
       "the mark of UTF-16 or UTF-32", "iconv"},
      {"a mark inside", kind, good + "\xef\xbb\xbf" + good, path + ":2:1",
       "a byte-order mark stands inside", kFix},
      {"zstd", kind, "\x28\xb5\x2f\xfd rest", path, "The zstd file is damaged",
       "download or compress it again"},
      {"Parquet", kind, "PAR1 rest", path, "is a Parquet file", "to_json"},
      {"Arrow", kind, "ARROW1 rest", path, "is an Arrow file", "to_json"},
      {"bzip2", kind, "BZh91AY", path, "is bzip2-compressed", "bunzip2 "},
      {"xz", kind,
       std::string("\xfd"
                   "7zXZ\0",
                   6),
       path, "is xz-compressed", "unxz "},
      {"ZIP", kind, "PK\x03\x04 rest", path, "is a ZIP archive", "unzip "},
      {"gzip of its first two bytes", kind, "\x1f\x8b", path + ": compressed byte 2", "cut off",
       kGzip},
      {"gzip header cut", kind, packed.substr(0, 9), path + ": compressed byte 9", "cut off",
       kGzip},
      {"gzip data cut", kind, packed.substr(0, packed.size() - 12), path + ": compressed byte",
       "cut off", kGzip},
      {"gzip sum cut", kind, packed.substr(0, packed.size() - 1), path + ": compressed byte",
       "cut off", kGzip},
      {"gzip of an unknown method", kind, std::string("\x1f\x8b\x07\0\0\0\0\0\0\3", 10),
       path + ": compressed byte", "unknown compression method", kGzip},
      {"gzip with a wrong sum", kind, flipped(99999), path + ": compressed byte",
       "incorrect data check", kGzip},
      {"gzip with a wrong block", kind,
       [&] {
         std::string out = packed;
         out[10] = '\x07';
         return out;
       }(),
       path + ": compressed byte", "invalid block type", kGzip},
      {"gzip with a tail", kind, packed + "tail", path + ": compressed byte",
       "other data follows the compressed data", kGzip},
      {"gzip with a second member cut", kind, packed + packed.substr(0, 14),
       path + ": compressed byte", "cut off", kGzip},
      {"gzip bomb", kind, gzip(std::string(8 << 20, ' ')), path + ": compressed byte",
       "expands more than 100-fold", "Uncompress the file first"},
  };
}

}  // namespace pref::testing
