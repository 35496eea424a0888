// SPDX-License-Identifier: Apache-2.0
// The rows of a file, each as one JSON text with its place: JSON lines, a JSON array (or an object
// whose member "data" is one), CSV with a header row, or Parquet. Plain, gzip or zstd, in constant
// memory. Rows do not depend on the size of the reads. Offsets count bytes of the uncompressed text.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/file_system.h"
#include "libpref/data/files/byte_source.h"

namespace pref {

/// One row. A row that cannot be parsed at all carries a code and where it breaks; its text may
/// then be incomplete.
struct JsonlLine {
  std::string text;           ///< without line end, without byte-order mark
  int64_t number = 0;         ///< of the line where the row begins, from 1; of Parquet, the row's
  int64_t column = 1;         ///< where it begins, in bytes from 1
  uint64_t offset = 0;        ///< of text's first byte in the file
  bool shares_line = false;   ///< another row begins on the same line before this one
  std::string code;           ///< "" or line_too_long, bad_utf8, nul_byte, bad_json, bad_csv
  size_t problem_offset = 0;  ///< in the text
  std::string problem;
  /// Where pieces of a text come from that does not stand in the file as it is (CSV), by offset.
  struct Anchor {
    size_t text_offset = 0;
    int64_t line = 0, column = 0;
    uint64_t offset = 0;
  };
  std::vector<Anchor> anchors;

  struct Place {
    int64_t line = 0, column = 0;
    uint64_t offset = 0;
  };
  /// Where a byte of the text stands in the file.
  Place place_of(size_t text_offset) const;
  /// "17", or "17:240" where several rows share the line.
  std::string where() const;
};

class JsonlReader {
 public:
  /// A name that ends in .csv (.csv.gz, .csv.zst) is CSV; all else is told by its content. Parquet
  /// is converted first (files/parquet.h). Throws missing_input for a file that cannot be read,
  /// data for other compressed or columnar formats, naming the conversion.
  JsonlReader(FileSystem& files, std::string path, JsonlLimits limits = {});
  ~JsonlReader();
  JsonlReader(JsonlReader&&) noexcept;

  /// The next row; blank lines are none. False at the end of the file. Throws ErrorKind::data for
  /// damaged or over-expanding compressed data, and for a file that is an array or CSV no longer
  /// (rows after that place could not be told apart).
  bool next(JsonlLine& line);

  /// How often seen so far: bom, crlf (lines), blank (lines), no_final_newline.
  const std::map<std::string, int64_t>& notes() const;
  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pref
