// SPDX-License-Identifier: Apache-2.0
// Lines and rows of .jsonl files, plain or gzip: the lines do not depend on the size of the reads,
// and every line is a row or is refused with a code and a place inside it.
#include "libpref/data/dialect.h"
#include "libpref/data/json_row.h"
#include "libpref/data/jsonl.h"
#include "tests/fuzz/memory_file.h"

using namespace pref;

namespace {

std::vector<JsonlLine> read_lines(std::string_view bytes, size_t read_bytes, bool& whole) {
  fuzz::MemoryFile files(bytes);
  std::vector<JsonlLine> out;
  whole = fuzz::accepts("rows.jsonl", [&] {
    JsonlReader reader(
        files, "rows.jsonl",
        {.max_line_bytes = 4096, .max_total_bytes = 1 << 20, .read_bytes = read_bytes});
    for (JsonlLine line; reader.next(line);) out.push_back(line);
  });
  return out;
}

void check_row(const JsonlLine& line, const DialectOptions& options) {
  try {
    const ParsedRow parsed = parse_row(line.text, options);
    fuzz::promise(!parsed.row.branches.empty(), "a row has a branch");
  } catch (const RowError& error) {
    fuzz::promise(!error.code.empty() && error.offset <= line.text.size(),
                  "a bad row has a code and a place in its line");
    fuzz::check_message(Error(ErrorKind::data, "row", error.what()), "");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = fuzz::text_of(data, size);
  bool whole = false, whole_again = false;
  const std::vector<JsonlLine> lines = read_lines(bytes, 256 << 10, whole);
  const std::vector<JsonlLine> again = read_lines(bytes, 1 + data[size - 1] % 64, whole_again);
  fuzz::promise(whole == whole_again, "read size does not decide whether a file is sound");
  if (whole) {
    fuzz::promise(lines.size() == again.size(), "read size does not change the lines");
    for (size_t i = 0; i < lines.size(); ++i)
      fuzz::promise(lines[i].text == again[i].text && lines[i].offset == again[i].offset &&
                        lines[i].code == again[i].code,
                    "read size does not change a line");
  }
  for (const JsonlLine& line : lines) {
    if (!line.code.empty()) continue;
    check_row(line, {});
    check_row(line, {.hh_as_messages = true, .strict_turns = true});
    check_row(line, {.reference_response = true});
  }
  return 0;
}
