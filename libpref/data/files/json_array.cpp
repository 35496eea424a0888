// SPDX-License-Identifier: Apache-2.0
// A JSON array of rows, cut into its elements by following strings and brackets alone: elements are
// parsed where JSON lines are, with the same rules and messages.
#include <string_view>

#include "libpref/base/error.h"
#include "libpref/data/files/row_splitter.h"

namespace pref {
namespace {

bool is_space(int byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }

class ArrayElements final : public RowSplitter {
 public:
  ArrayElements(const SplitterInputs& in, bool member) : in_(in), member_(member) {}

  bool next(JsonlLine& line) override {
    if (ended_) return false;
    if (!begun_) {
      while (in_.bytes.get() != '[') continue;  // the reader has seen that it is there
      begun_ = true;
      skip_space();
      if (in_.bytes.peek() == ']') return finish();
    }
    skip_space();
    line = {
        .number = in_.bytes.line(), .column = in_.bytes.column(), .offset = in_.bytes.position()};
    line.shares_line = line.number == last_line_;
    last_line_ = line.number;
    const uint64_t length = read_element(line.text);
    if (in_.bytes.peek() < 0) {
      set_problem(line, "bad_json", line.text.size(),
                  "the file ends inside of the array; it is cut off");
      ended_ = true;
      return true;
    }
    if (!judge_text(line, length, in_.limits) && length == 0)
      set_problem(line, "bad_json", 0,
                  "an element of the array is missing before this comma or bracket");
    skip_space();
    const int separator = in_.bytes.get();
    if (separator == ']') finish();
    return true;
  }

 private:
  void skip_space() {
    while (is_space(in_.bytes.peek())) in_.bytes.get();
  }

  /// Up to the comma or bracket that ends the element; trailing white space is left out. Returns
  /// its length, of which the cap and one byte are kept.
  uint64_t read_element(std::string& text) {
    uint64_t length = 0, solid = 0;
    int64_t depth = 0;
    bool in_string = false, escaped = false;
    for (int byte = in_.bytes.peek(); byte >= 0; byte = in_.bytes.peek()) {
      if (!in_string && depth == 0 && (byte == ',' || byte == ']')) break;
      in_.bytes.get();
      if (in_string) {
        if (!escaped && byte == '"') in_string = false;
        escaped = !escaped && byte == '\\';
      } else if (byte == '"') {
        in_string = true;
      } else if (byte == '{' || byte == '[') {
        ++depth;
      } else if (byte == '}' || byte == ']') {
        --depth;
      }
      ++length;
      if (in_string || !is_space(byte)) solid = length;
      if (text.size() <= in_.limits.max_line_bytes) text += static_cast<char>(byte);
    }
    if (text.size() > solid) text.resize(solid);
    return solid;
  }

  bool finish() {
    if (in_.bytes.peek() == ']') in_.bytes.get();
    ended_ = true;
    if (member_) return false;  // other members of the object are about the rows, none of them
    skip_space();
    if (in_.bytes.peek() >= 0)
      fail(ErrorKind::data, "jsonl", in_.path, ":", in_.bytes.line(), ":", in_.bytes.column(),
           " (byte ", in_.bytes.position(),
           "): text follows the array's closing bracket. Keep one array, or one row a line");
    return false;
  }

  SplitterInputs in_;
  bool member_, begun_ = false, ended_ = false;
  int64_t last_line_ = 0;
};

}  // namespace

std::unique_ptr<RowSplitter> split_array(const SplitterInputs& in, bool member) {
  return std::make_unique<ArrayElements>(in, member);
}

}  // namespace pref
