// SPDX-License-Identifier: Apache-2.0
// The formats of files beside JSON lines: arrays, CSV, zstd, Parquet; places in them, any read size.
#include <gmock/gmock.h>
#include <zstd.h>

#include <cstdlib>

#include "libpref/data/files/parquet.h"
#include "libpref/data/load_preferences.h"
#include "tests/data/data_test_util.h"

namespace pref {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempFolder;

/// Each row as "where:text" or "where:code".
std::vector<std::string> rows_of(const std::string& path, const JsonlLimits& limits = {}) {
  JsonlReader reader(posix_file_system(), path, limits);
  std::vector<std::string> out;
  for (JsonlLine line; reader.next(line);)
    out.push_back(line.where() + ":" + (line.code.empty() ? line.text : line.code));
  return out;
}

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

TEST(RowFiles, ArraysValueAtAnyReadSize) {
  const TempFolder folder;
  const std::string text =
      "\xEF\xBB\xBF [ {\"a\": \"],[\\\"\"} ,\n{\"b\":\n[1, {}]}, {\"c\":1}\n ] ";
  const std::string path = folder.write("rows.json", text);
  for (const size_t size : {1, 2, 3, 7, 4096})
    EXPECT_THAT(rows_of(path, {.read_bytes = size}),
                ElementsAre("1:{\"a\": \"],[\\\"\"}", "2:{\"b\":\n[1, {}]}", "3:{\"c\":1}"));
  EXPECT_THAT(rows_of(folder.write("line.json", "[{\"a\":1},{\"b\":2},{\"c\":3}]")),
              ElementsAre("1:{\"a\":1}", "1:10:{\"b\":2}", "1:18:{\"c\":3}"));
  EXPECT_THAT(rows_of(folder.write("data.json", "{ \"data\" : [{\"a\":1}], \"version\": 2}")),
              ElementsAre("1:{\"a\":1}"));
  EXPECT_THAT(rows_of(folder.write("e.json", "[ ]")), IsEmpty());
  // JSON lines under the name .json stay what they are.
  EXPECT_THAT(rows_of(folder.write("l.json", "{\"a\":1}\n{\"b\":2}")),
              ElementsAre("1:{\"a\":1}", "2:{\"b\":2}"));
  EXPECT_THAT(
      rows_of(folder.write("big.json", "[{\"a\":\"123456789\"},{}]"), {.max_line_bytes = 9}),
      ElementsAre("1:line_too_long", "1:20:{}"));
}

TEST(RowFiles, ArraysRejects) {
  const TempFolder folder;
  EXPECT_THAT(rows_of(folder.write("cut.json", "[{\"a\":1},{\"b\":")),
              ElementsAre("1:{\"a\":1}", "1:10:bad_json"));
  EXPECT_THAT(rows_of(folder.write("hole.json", "[{\"a\":1},,{\"b\":2}]")),
              ElementsAre("1:{\"a\":1}", "1:10:bad_json", "1:11:{\"b\":2}"));
  EXPECT_THAT(error_of([&] { rows_of(folder.write("two.json", "[{}]\n[{}]")); }),
              HasSubstr("two.json:2:1 (byte 5): text follows the array's closing bracket"));
  EXPECT_THAT(rows_of(folder.write("utf.json", "[{\"a\":\"\xFF\"}]")), ElementsAre("1:bad_utf8"));
}

TEST(RowFiles, CsvValueAtAnyReadSize) {
  const TempFolder folder;
  const std::string text =
      "\xEF\xBB\xBFprompt,chosen,rejected,score_chosen,label,\r\n"
      "p,\"c, \"\"x\"\"\r\ny\",[1],2.5,True,0\r\n"
      "\r\n"
      "\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"q\"\"}]\",,r,,,1";
  const std::string path = folder.write("rows.csv", text);
  for (const size_t size : {1, 2, 3, 5, 4096}) {
    SCOPED_TRACE(size);
    EXPECT_THAT(
        rows_of(path, {.read_bytes = size}),
        ElementsAre(
            R"(2:{"prompt":"p","chosen":"c, \"x\"\r\ny","rejected":"[1]","score_chosen":2.5,"label":true})",
            R"(5:{"prompt":[{"role":"user","content":"q"}],"chosen":"","rejected":"r"})"));
  }
  EXPECT_THAT(rows_of(folder.write("e.csv", "")), IsEmpty());
  EXPECT_THAT(rows_of(folder.write("h.csv", "prompt\n")), IsEmpty());
}

TEST(RowFiles, CsvRejects) {
  const TempFolder folder;
  const auto problem = [&](const std::string& rows) {
    JsonlReader reader(posix_file_system(), folder.write("bad.csv", "prompt,chosen\n" + rows));
    JsonlLine line;
    if (!reader.next(line)) return std::string("no row");
    const JsonlLine::Place place = line.place_of(line.problem_offset);
    return line.code + " " + std::to_string(place.line) + ":" + std::to_string(place.column) + " " +
           line.problem;
  };
  EXPECT_THAT(problem("a\n"), HasSubstr("bad_csv 2:1 the row has 1 fields, the header has 2"));
  EXPECT_THAT(problem("a,b,c\n"), HasSubstr("the row has 3 fields"));
  EXPECT_THAT(problem("a,b\"c\n"), HasSubstr("bad_csv 2:4 a quote stands in a field"));
  EXPECT_THAT(problem("a,\"b\"c\n"), HasSubstr("bad_csv 2:6 text follows the closing quote"));
  EXPECT_THAT(problem("a,\"b\n"), HasSubstr("the file ends inside of a quoted field"));
  EXPECT_THAT(problem("a,\xFF\n"), HasSubstr("bad_utf8 2:3"));
  EXPECT_THAT(problem("a,\"[{'role': 'user'}]\"\n"), HasSubstr("bad_csv 2:3 the field \"chosen\""));
  EXPECT_THAT(error_of([&] { rows_of(folder.write("twice.csv", "a,a\n1,2\n")); }),
              HasSubstr("twice.csv:1:1: the column \"a\" stands twice"));
}

TEST(RowFiles, PlacesOfErrorsInArraysAndCsv) {
  const TempFolder folder;
  const auto tokenizer = load_tokenizer(folder.write("tokenizer.model", testing::tiny_model()));
  const auto error = [&](const std::string& path) {
    return error_of([&] { load_preferences({path}, *tokenizer); });
  };
  EXPECT_THAT(
      error(folder.write("a.json", "[{\"prompt\":\"a\",\n \"chosen\": 3, \"rejected\":\"b\"}]")),
      HasSubstr("a.json:2:12 (byte 27): /chosen is a number"));
  EXPECT_THAT(error(folder.write("a.csv", "prompt,chosen,rejected\na,b,c\na,\" \",c\n")),
              HasSubstr("a.csv:3:3 (byte 31): /chosen is empty"));
  const PreferenceData data = load_preferences(
      {folder.write("b.csv.zst", zstd("prompt,chosen,rejected\na,b,c\n"))}, *tokenizer);
  EXPECT_EQ(data.rows[0].place, folder.path() + "/b.csv.zst:2");
}

TEST(RowFiles, ZstdValueAndRejects) {
  const TempFolder folder;
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "{\"n\":" + std::to_string(i * 7919) + "}\n";
  const std::string plain = folder.write("p.jsonl", text);
  const std::string half = text.substr(0, text.find('\n', text.size() / 2) + 1);
  const std::string packed = zstd(half) + zstd(text.substr(half.size()));  // two frames
  for (const size_t size : {1, 100, 1 << 18})
    EXPECT_EQ(rows_of(folder.write("q.zst", packed), {.read_bytes = size}), rows_of(plain));
  const size_t frame = zstd(half).size();
  for (size_t n = 4; n < packed.size() - 1; n += n + 97 == frame ? 98 : 97)  // but at a frame's end
    EXPECT_THAT(error_of([&] { rows_of(folder.write("cut.zst", packed.substr(0, n))); }),
                HasSubstr("zstd file is damaged"))
        << n;
  EXPECT_THAT(error_of([&] { rows_of(folder.write("tail.zst", packed + "tail")); }),
              HasSubstr("damaged"));
  EXPECT_THAT(
      error_of([&] { rows_of(folder.write("bomb.zst", zstd(std::string(20 << 20, ' ')))); }),
      HasSubstr("100-fold"));
}

class Parquet : public ::testing::Test {
 protected:
  void SetUp() override { setenv("XDG_CACHE_HOME", (folder_.path() + "/cache").c_str(), 1); }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    unsetenv("PREF_PYTHON");
  }
  TempFolder folder_;
};

TEST_F(Parquet, RejectsWithTheLineToRun) {
  const std::string path = folder_.write("it's.parquet", "PAR1....");
  setenv("PREF_PYTHON", (folder_.path() + "/no-such-python").c_str(), 1);
  const std::string text = error_of([&] { rows_of(path); });
  EXPECT_THAT(text, HasSubstr("which does not start"));
  EXPECT_THAT(text, HasSubstr("/cache/libpref/parquet_to_jsonl-"));
  EXPECT_THAT(text, HasSubstr("'" + folder_.path() + "/it'\\''s.parquet'"));
  // A Python without pyarrow: exit code 3.
  const std::string fake = folder_.write("python", "#!/bin/sh\nexit 3\n");
  std::filesystem::permissions(fake, std::filesystem::perms::owner_all);
  setenv("PREF_PYTHON", fake.c_str(), 1);
  EXPECT_THAT(error_of([&] { rows_of(path); }), HasSubstr("-m pip install pyarrow"));
  folder_.write("python",
                "#!/bin/sh\necho 'Traceback' >&2\necho 'ArrowInvalid: bad' >&2\nexit 1\n");
  EXPECT_THAT(error_of([&] { rows_of(path); }), HasSubstr("exit code 1): \"ArrowInvalid: bad\""));
}

TEST_F(Parquet, ConvertedOnceByDigest) {
  // A stand-in that writes a row and a mark for every call: arguments are script, input, output.
  const std::string fake =
      folder_.write("python", "#!/bin/sh\necho '{\"a\":1}' > \"$3\"\necho x >> \"" +
                                  folder_.path() + "/calls\"\n");
  std::filesystem::permissions(fake, std::filesystem::perms::owner_all);
  setenv("PREF_PYTHON", fake.c_str(), 1);
  const std::string path = folder_.write("a b.parquet", "PAR1....");
  EXPECT_THAT(rows_of(path), ElementsAre("1:{\"a\":1}"));
  EXPECT_THAT(rows_of(path), ElementsAre("1:{\"a\":1}"));
  rows_of(folder_.write("other.parquet", "PAR1...!"));
  EXPECT_EQ(posix_file_system().read(folder_.path() + "/calls", 100), "x\nx\n");
}

TEST_F(Parquet, ReadsARealFile) {
  const std::string python = std::string(PREF_SOURCE_DIR) + "/.venv-tests/bin/python";
  PREF_SKIP_WITHOUT(python);
  setenv("PREF_PYTHON", python.c_str(), 1);
  const std::string path = folder_.path() + "/rows.parquet";
  const std::string write =
      "import sys, pyarrow, pyarrow.parquet as p\n"
      "m = lambda r, c: {'role': r, 'content': c, 'name': None}\n"
      "rows = [{'prompt': [m('user', 'a')], 'chosen': [m('assistant', 'b\u65e5')], 'x': "
      "float('nan'),\n"
      "         'rejected': [m('assistant', 'c')], 'score_chosen': 2.5, 'score_rejected': 1.0}] * "
      "3000\n"
      "p.write_table(pyarrow.Table.from_pylist(rows), sys.argv[1])\n";
  std::string errors;
  ASSERT_EQ(run_program({python, "-c", write, path}, errors), 0) << errors;
  const auto rows = rows_of(path);
  ASSERT_EQ(rows.size(), 3000u);
  EXPECT_EQ(
      rows[2999],
      "3000:{\"prompt\":[{\"role\":\"user\",\"content\":\"a\",\"name\":null}],"
      "\"chosen\":[{\"role\":\"assistant\",\"content\":\"b\u65e5\",\"name\":null}],\"x\":null,"
      "\"rejected\":[{\"role\":\"assistant\",\"content\":\"c\",\"name\":null}],"
      "\"score_chosen\":2.5,\"score_rejected\":1.0}");
  const ParsedRow parsed = parse_row(rows[0].substr(2), {});
  EXPECT_EQ(parsed.dialect, Dialect::conversational);
  EXPECT_EQ(parsed.row.prompt.messages[0].json, "");
  const std::string damaged = folder_.write("bad.parquet", "PAR1....");
  EXPECT_THAT(error_of([&] { rows_of(damaged); }),
              HasSubstr("the conversion failed (exit code 1)"));
}

TEST(ShellWord, Value) {
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  std::string errors;
  EXPECT_EQ(run_program({"sh", "-c", "echo $0 >&2; exit 5", "; a 'b"}, errors), 5);
  EXPECT_EQ(errors, "; a 'b\n");
}

}  // namespace
}  // namespace pref
