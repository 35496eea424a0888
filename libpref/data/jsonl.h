// SPDX-License-Identifier: Apache-2.0
// Lines of a .jsonl file, plain or gzip (told by its first bytes, not its name), in constant
// memory. Rows do not depend on the size of the reads. Offsets count bytes of the uncompressed
// text.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "libpref/base/file_system.h"

namespace pref {

struct JsonlLimits {
  uint64_t max_line_bytes = 16ull << 20;
  uint64_t max_ratio = 100;  ///< uncompressed bytes per compressed one, beyond the first MiB
  uint64_t max_total_bytes = 1ull << 40;  ///< uncompressed, per file
  size_t read_bytes = 256 << 10;          ///< of uncompressed text at a time
};

/// One line. A line that cannot be parsed at all carries a code and where it breaks; its text may
/// then be incomplete.
struct JsonlLine {
  std::string text;           ///< without line end, without byte-order mark
  int64_t number = 0;         ///< from 1
  uint64_t offset = 0;        ///< of text's first byte in the file
  std::string code;           ///< "" or line_too_long, bad_utf8, nul_byte
  size_t problem_offset = 0;  ///< in the line
  std::string problem;
};

class JsonlReader {
 public:
  /// Throws missing_input for a file that cannot be read, data for compressed formats other than
  /// gzip and for columnar files, naming the conversion.
  JsonlReader(FileSystem& files, std::string path, JsonlLimits limits = {});
  ~JsonlReader();
  JsonlReader(JsonlReader&&) noexcept;

  /// The next line that is not blank; false at the end of the file. Throws ErrorKind::data for
  /// damaged or over-expanding compressed data.
  bool next(JsonlLine& line);

  /// How often seen so far: bom, crlf (lines), blank (lines), no_final_newline.
  const std::map<std::string, int64_t>& notes() const;
  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pref
