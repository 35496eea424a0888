// SPDX-License-Identifier: Apache-2.0
// Lines of plain and gzip files, and the strict row parser with its columns.
#include "libpref/data/jsonl.h"

#include <gmock/gmock.h>

#include "libpref/data/json_row.h"
#include "libpref/data/whitespace.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::TempFolder;

struct Read {
  std::vector<JsonlLine> lines;
  std::map<std::string, int64_t> notes;
};
Read read_all(const std::string& path, JsonlLimits limits = {}) {
  JsonlReader reader(posix_file_system(), path, limits);
  Read out;
  for (JsonlLine line; reader.next(line);) out.lines.push_back(line);
  out.notes = reader.notes();
  return out;
}

TEST(Jsonl, ValueOfMarksLineEndsAndBlanks) {
  const TempFolder folder;
  const auto read = read_all(folder.write("a.jsonl", "\xEF\xBB\xBF{\"a\":1}\r\n\n  \n{\"b\":2}"));
  ASSERT_EQ(read.lines.size(), 2u);
  EXPECT_EQ(read.lines[0].text, "{\"a\":1}");
  EXPECT_EQ(read.lines[0].offset, 3u);
  EXPECT_EQ(read.lines[1].number, 4);
  EXPECT_EQ(read.lines[1].offset, 16u);
  EXPECT_THAT(read.notes, ::testing::UnorderedElementsAre(
                              ::testing::Pair("bom", 1), ::testing::Pair("crlf", 1),
                              ::testing::Pair("blank", 2), ::testing::Pair("no_final_newline", 1)));
  EXPECT_TRUE(read_all(folder.write("empty.jsonl", "")).lines.empty());
}

TEST(Jsonl, InvariantOfReadSizeAndCompression) {
  const TempFolder folder;
  std::string text = "\xEF\xBB\xBF";
  for (int i = 0; i < 40; ++i)
    text += "{\"é日\":" + std::to_string(i * i) + "}" + (i % 3 == 0 ? "\r\n" : "\n") +
            (i % 7 == 0 ? "\n" : "");
  text += std::string(50, 'x') + "\nlast";
  const std::string plain = folder.write("p.jsonl", text);
  const std::string packed = folder.write(
      "p.jsonl.gz", testing::gzip(text.substr(0, 100)) + testing::gzip(text.substr(100)));
  const auto expected = read_all(plain, {.max_line_bytes = 40});
  ASSERT_EQ(expected.lines.size(), 42u);
  EXPECT_EQ(expected.lines[40].code, "line_too_long");
  EXPECT_EQ(expected.lines[41].text, "last");
  for (const std::string& path : {plain, packed})
    for (size_t size = 1; size <= 64; ++size) {
      const auto read = read_all(path, {.max_line_bytes = 40, .read_bytes = size});
      ASSERT_EQ(read.lines.size(), expected.lines.size()) << path << " " << size;
      EXPECT_EQ(read.notes, expected.notes);
      for (size_t i = 0; i < read.lines.size(); ++i) {
        ASSERT_EQ(read.lines[i].text, expected.lines[i].text) << path << " " << size << " " << i;
        ASSERT_EQ(read.lines[i].offset, expected.lines[i].offset);
        ASSERT_EQ(read.lines[i].code, expected.lines[i].code);
      }
    }
}

TEST(Jsonl, LineCapIsExact) {
  const TempFolder folder;
  const std::string path =
      folder.write("a.jsonl", std::string(10, 'a') + "\n" + std::string(11, 'b') + "\nc\n");
  const auto read = read_all(path, {.max_line_bytes = 10, .read_bytes = 4});
  EXPECT_EQ(read.lines[0].code, "");
  EXPECT_EQ(read.lines[1].code, "line_too_long");
  EXPECT_THAT(read.lines[1].problem, HasSubstr("11 bytes, at most 10"));
  EXPECT_EQ(read.lines[1].offset, 11u);
  EXPECT_EQ(read.lines[2].text, "c");
}

TEST(Jsonl, BrokenBytesAreCodedWithTheirPlace) {
  const TempFolder folder;
  const auto read = read_all(folder.write("a.jsonl", std::string("ok\nab\xC3(\nx\0y\n", 12)));
  EXPECT_EQ(read.lines[1].code, "bad_utf8");
  EXPECT_EQ(read.lines[1].problem_offset, 2u);
  EXPECT_THAT(read.lines[1].problem, HasSubstr("0xc3"));
  EXPECT_EQ(read.lines[2].code, "nul_byte");
  EXPECT_EQ(read.lines[2].problem_offset, 1u);
  EXPECT_THAT(read_all(folder.write("u.jsonl", "\xFF\xFE{")).lines[0].problem, HasSubstr("iconv"));
}

TEST(Jsonl, RejectsDamagedAndForeignFiles) {
  const TempFolder folder;
  const std::string whole = testing::gzip("{\"a\": 1, \"b\": \"some text here\"}\n");
  for (size_t n = 2; n < whole.size(); ++n)  // cut at every byte
    EXPECT_THAT(error_of([&] { read_all(folder.write("cut.gz", whole.substr(0, n))); }),
                HasSubstr("cut off"))
        << n;
  std::string flipped = whole;
  flipped[whole.size() - 5] ^= 1;  // in the CRC or length
  EXPECT_THAT(error_of([&] { read_all(folder.write("crc.gz", flipped)); }),
              HasSubstr("compressed byte"));
  EXPECT_THAT(error_of([&] { read_all(folder.write("tail.gz", whole + "tail")); }),
              HasSubstr("other data follows"));
  const std::string bomb = testing::gzip(std::string(20 << 20, ' '));
  EXPECT_THAT(error_of([&] { read_all(folder.write("bomb.gz", bomb)); }), HasSubstr("100-fold"));
  EXPECT_THAT(error_of([&] {
                read_all(folder.write("t.gz", testing::gzip("abcdefgh")), {.max_total_bytes = 7});
              }),
              HasSubstr("more than 7 bytes"));
  EXPECT_THAT(error_of([&] { read_all(folder.write("a.zst", "\x28\xb5\x2f\xfd....")); }),
              HasSubstr("The zstd file is damaged"));
  EXPECT_THAT(error_of([&] { read_all(folder.write("a.xz", "\xfd"
                                                           "7zXZ....")); }),
              HasSubstr("unxz "));
  EXPECT_THAT(error_of([&] { read_all(folder.path() + "/none"); }), HasSubstr("no such file"));
  EXPECT_THAT(error_of([&] { read_all(folder.path()); }), HasSubstr("not a regular file"));
}

std::string row_error(const std::string& line, std::string* text = nullptr) {
  try {
    parse_json_row(line);
  } catch (const RowError& error) {
    if (text != nullptr) *text = error.what();
    return error.code + "@" + std::to_string(error.offset);
  }
  return "";
}

TEST(JsonRow, ValuesKnowTheirOffsets) {
  const JsonValue row = parse_json_row(R"({ "a" : [1 , "x", {"b":null}] ,"c":-2.5e0, "d" : true})");
  EXPECT_EQ(row.offset, 0u);
  const JsonValue& a = *row.find("a");
  EXPECT_EQ(a.offset, 8u);
  EXPECT_EQ(a.items[0].offset, 9u);
  EXPECT_EQ(a.items[0].text, "1");
  EXPECT_EQ(a.items[1].offset, 13u);
  EXPECT_EQ(a.items[2].offset, 18u);
  EXPECT_EQ(a.items[2].find("b")->offset, 23u);
  EXPECT_EQ(row.find("c")->number, -2.5);
  EXPECT_EQ(row.find("c")->offset, 35u);
  EXPECT_EQ(row.find("d")->offset, 49u);
  EXPECT_EQ(row.find("e"), nullptr);
}

TEST(JsonRow, RejectsWithColumn) {
  EXPECT_EQ(row_error(R"({"a": 1, "a": 2})"), "dup_key@9");
  std::string text;
  EXPECT_EQ(row_error(R"({"m":[{},{"k":1,"k":1}]})", &text), "dup_key@16");
  EXPECT_THAT(text, HasSubstr("/m/1"));
  EXPECT_EQ(row_error(R"({"a": tru})"), "bad_json@9");
  EXPECT_EQ(row_error(R"({"a": 1)"), "bad_json@7");
  EXPECT_THAT(row_error(R"({"a": 1} x)"), HasSubstr("bad_json"));
  EXPECT_THAT(row_error(R"({"a": NaN})"), HasSubstr("bad_json"));
  EXPECT_THAT(row_error(R"({"a": "\ud800"})"), HasSubstr("bad_json"));
  EXPECT_THAT(row_error(std::string(100, '[')), HasSubstr("bad_json@64"));
  EXPECT_THAT(row_error(std::string(100'000, '[')), HasSubstr("bad_json"));
}

TEST(Whitespace, StripsWhatPythonStrips) {
  EXPECT_EQ(
      strip(" \t\n\x0b\x0c\r\x1c\x1f\u0085\u00a0\u1680\u2000\u200a\u2028\u202f\u205f\u3000x\u3000"),
      "x");
  EXPECT_EQ(strip("\u200bx\ufeff"), "\u200bx\ufeff");  // not white space
  EXPECT_EQ(strip(" \u3000 "), "");
  EXPECT_EQ(character_start("a日", 2), 1u);
  EXPECT_EQ(word_start("ab cd", 5), 3u);
  EXPECT_EQ(word_start("abcd", 4), 0u);
}

}  // namespace
}  // namespace pref
