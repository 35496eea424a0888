// SPDX-License-Identifier: Apache-2.0
// See jsonl.h. The format is told from the first bytes; a RowSplitter makes rows of the text.
#include "libpref/data/jsonl.h"

#include <algorithm>
#include <optional>

#include "libpref/base/error.h"
#include "libpref/base/utf8.h"
#include "libpref/data/files/parquet.h"
#include "libpref/data/files/row_splitter.h"

namespace pref {
namespace {

constexpr std::string_view kWhere = "jsonl";

class Lines final : public RowSplitter {
 public:
  explicit Lines(const SplitterInputs& in) : in_(in) {}

  bool next(JsonlLine& line) override {
    uint64_t length = 0;
    bool terminated = false;
    while (read(line, length, terminated)) {
      strip_ends(line, length);
      if (length == line.text.size() && line.text.find_first_not_of(" \t\r") == std::string::npos) {
        if (terminated) ++in_.notes["blank"];
        continue;
      }
      if (!terminated) ++in_.notes["no_final_newline"];
      judge_text(line, length, in_.limits);
      return true;
    }
    return false;
  }

 private:
  /// Up to and including the next '\n', keeping at most the cap. False at the end.
  bool read(JsonlLine& line, uint64_t& length, bool& terminated) {
    line = {.number = in_.bytes.line(), .offset = in_.bytes.position()};
    length = 0;
    terminated = false;
    while (!terminated) {
      const std::string_view chunk = in_.bytes.chunk();
      if (chunk.empty()) break;
      const size_t newline = chunk.find('\n');
      terminated = newline != std::string_view::npos;
      const size_t used = terminated ? newline : chunk.size();
      const uint64_t cap = in_.limits.max_line_bytes;
      if (line.text.size() <= cap)  // one byte above the cap tells that it is exceeded
        line.text.append(chunk.substr(0, std::min<uint64_t>(used, cap + 1 - line.text.size())));
      length += used;
      in_.bytes.take(used + (terminated ? 1 : 0));
    }
    return terminated || length > 0;
  }

  void strip_ends(JsonlLine& line, uint64_t& length) {
    if (line.number == 1 && line.text.starts_with("\xEF\xBB\xBF")) {
      ++in_.notes["bom"];
      line.text.erase(0, 3);
      line.offset += 3;
      length -= 3;
    }
    if (length == line.text.size() && line.text.ends_with('\r')) {
      ++in_.notes["crlf"];
      line.text.pop_back();
      --length;
    }
  }

  SplitterInputs in_;
};

enum class Format { lines, array, data_member, csv };

bool is_csv(const std::string& path) {
  return path.ends_with(".csv") || path.ends_with(".csv.gz") || path.ends_with(".csv.zst");
}

/// What the text begins with, white space and a byte-order mark aside.
Format format_of(std::string_view head, const std::string& path) {
  if (is_csv(path)) return Format::csv;
  if (head.starts_with("\xEF\xBB\xBF")) head.remove_prefix(3);
  const auto skip = [&] {
    head.remove_prefix(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  };
  const auto take = [&](std::string_view text) {
    skip();
    const bool there = head.starts_with(text);
    if (there) head.remove_prefix(text.size());
    return there;
  };
  if (take("[")) return Format::array;
  const bool member = take("{") && take("\"data\"") && take(":") && take("[");
  return member ? Format::data_member : Format::lines;
}

/// The first bytes of the text, however little a read gives.
std::string head_of(std::string_view bytes, const std::string& path, const JsonlLimits& limits) {
  constexpr size_t kHead = 4096;
  std::string head;
  const std::unique_ptr<ByteSource> source = open_bytes(bytes, path, limits);
  while (head.size() < kHead) {
    const std::string_view chunk = source->next();
    if (chunk.empty()) break;
    head.append(chunk.substr(0, kHead));
  }
  return head;
}

}  // namespace

void set_problem(JsonlLine& line, std::string code, size_t offset, std::string text) {
  line.code = std::move(code);
  line.problem_offset = offset;
  line.problem = std::move(text);
}

bool judge_text(JsonlLine& line, uint64_t length, const JsonlLimits& limits) {
  if (length > limits.max_line_bytes) {
    line.text.resize(std::min<size_t>(line.text.size(), 80));
    set_problem(line, "line_too_long", 0,
                "the line has " + std::to_string(length) + " bytes, at most " +
                    std::to_string(limits.max_line_bytes) + " are read");
  } else if (line.number == 1 &&
             (line.text.starts_with("\xFF\xFE") || line.text.starts_with("\xFE\xFF") ||
              line.text.starts_with(std::string_view("\0\0\xFE\xFF", 4)))) {
    set_problem(line, "bad_utf8", 0,
                "the file begins with the mark of UTF-16 or UTF-32, UTF-8 is required. Convert "
                "it: iconv -f UTF-16 -t UTF-8 FILE");
  } else if (const size_t at = find_invalid_utf8(line.text); at != std::string::npos) {
    static constexpr char kHex[] = "0123456789abcdef";
    const auto byte = static_cast<uint8_t>(line.text[at]);
    set_problem(line, "bad_utf8", at,
                std::string("byte 0x") + kHex[byte >> 4] + kHex[byte & 15] + " is not valid UTF-8");
  } else if (const size_t nul = line.text.find('\0'); nul != std::string::npos) {
    set_problem(line, "nul_byte", nul, "a raw NUL byte stands in the line");
  }
  return !line.code.empty();
}

std::unique_ptr<RowSplitter> split_lines(const SplitterInputs& in) {
  return std::make_unique<Lines>(in);
}

JsonlLine::Place JsonlLine::place_of(size_t text_offset) const {
  if (!anchors.empty()) {
    const auto after =
        std::upper_bound(anchors.begin(), anchors.end(), text_offset,
                         [](size_t at, const Anchor& anchor) { return at < anchor.text_offset; });
    const Anchor& anchor = after == anchors.begin() ? anchors.front() : *(after - 1);
    return {anchor.line, anchor.column, anchor.offset};
  }
  Place place{number, column + static_cast<int64_t>(text_offset), offset + text_offset};
  const std::string_view before = std::string_view(text).substr(0, text_offset);
  if (const size_t last = before.rfind('\n'); last != std::string_view::npos) {
    place.line += std::count(before.begin(), before.end(), '\n');
    place.column = static_cast<int64_t>(text_offset - last);
  }
  return place;
}

std::string JsonlLine::where() const {
  return std::to_string(number) + (shares_line ? ":" + std::to_string(column) : "");
}

struct JsonlReader::State {
  std::string path;
  JsonlLimits limits;
  std::unique_ptr<MappedFile> map;
  std::unique_ptr<ByteSource> source;
  std::optional<ByteCursor> bytes;
  FileNotes notes;
  std::unique_ptr<RowSplitter> rows;
};

JsonlReader::JsonlReader(FileSystem& files, std::string path, JsonlLimits limits)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = std::move(path);
  s.limits = limits;
  require(limits.read_bytes >= 1 && limits.max_ratio >= 1, ErrorKind::option, kWhere,
          "read_bytes and max_ratio must be "
          "at least 1");
  const FileInfo info = files.info(s.path);
  require(info.exists, ErrorKind::missing_input, kWhere, s.path, ": no such file");
  require(info.is_regular, ErrorKind::missing_input, kWhere, s.path, ": not a regular file");
  const auto map = [&](const std::string& file, uint64_t size) {
    if (size == 0) return std::string_view();  // an empty file cannot be mapped
    s.map = files.map(file);
    return std::string_view(reinterpret_cast<const char*>(s.map->data()),
                            static_cast<size_t>(s.map->size()));
  };
  std::string_view bytes = map(s.path, info.size);
  if (bytes.starts_with("PAR1")) {
    const std::string converted = convert_parquet(files, s.path, bytes);
    bytes = map(converted, files.info(converted).size);
  }
  s.source = open_bytes(bytes, s.path, s.limits);
  s.bytes.emplace(*s.source);
  const SplitterInputs in{*s.bytes, s.limits, s.path, s.notes};
  switch (format_of(head_of(bytes, s.path, s.limits), s.path)) {
    case Format::lines:
      s.rows = split_lines(in);
      break;
    case Format::array:
      s.rows = split_array(in, false);
      break;
    case Format::data_member:
      s.rows = split_array(in, true);
      break;
    case Format::csv:
      s.rows = split_csv(in);
      break;
  }
}

JsonlReader::~JsonlReader() = default;
JsonlReader::JsonlReader(JsonlReader&&) noexcept = default;

bool JsonlReader::next(JsonlLine& line) { return state_->rows->next(line); }

const std::map<std::string, int64_t>& JsonlReader::notes() const { return state_->notes; }
const std::string& JsonlReader::path() const { return state_->path; }

}  // namespace pref
