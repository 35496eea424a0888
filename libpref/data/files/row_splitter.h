// SPDX-License-Identifier: Apache-2.0
// How the text of a file falls into rows: one class per format behind JsonlReader.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "libpref/data/jsonl.h"

namespace pref {

class RowSplitter {
 public:
  virtual ~RowSplitter() = default;
  /// The next row; false at the end. Its text is not yet judged as UTF-8.
  virtual bool next(JsonlLine& line) = 0;
};

using FileNotes = std::map<std::string, int64_t>;
struct SplitterInputs {
  ByteCursor& bytes;
  const JsonlLimits& limits;
  const std::string& path;
  FileNotes& notes;
};

std::unique_ptr<RowSplitter> split_lines(const SplitterInputs& in);
/// `member`: the array is the member "data" of an object.
std::unique_ptr<RowSplitter> split_array(const SplitterInputs& in, bool member);
std::unique_ptr<RowSplitter> split_csv(const SplitterInputs& in);

/// What makes a text no row: too long, not UTF-8, a raw NUL. `length` is that of the whole row,
/// of which at most limits.max_line_bytes + 1 bytes are kept. True where there is a problem.
bool judge_text(JsonlLine& line, uint64_t length, const JsonlLimits& limits);
/// Sets the line's code, the place in its text and the words.
void set_problem(JsonlLine& line, std::string code, size_t offset, std::string text);

}  // namespace pref
