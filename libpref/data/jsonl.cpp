// SPDX-License-Identifier: Apache-2.0
// See jsonl.h. A ByteSource hands out the text in chunks; the reader joins them to lines.
#include "libpref/data/jsonl.h"

#define ZLIB_CONST
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "libpref/base/error.h"
#include "libpref/base/utf8.h"

namespace pref {
namespace {

constexpr std::string_view kWhere = "jsonl";
constexpr uint64_t kRatioAllowance = 1 << 20;

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// The next bytes, valid until the next call; empty at the end.
  virtual std::string_view next() = 0;
};

class MappedSource final : public ByteSource {
 public:
  MappedSource(std::string_view bytes, size_t read_bytes) : rest_(bytes), read_bytes_(read_bytes) {}
  std::string_view next() override {
    const std::string_view chunk = rest_.substr(0, read_bytes_);
    rest_.remove_prefix(chunk.size());
    return chunk;
  }

 private:
  std::string_view rest_;
  size_t read_bytes_;
};

/// gzip, also several members one after the other, as `cat a.gz b.gz` and parallel compressors
/// write it.
class GzipSource final : public ByteSource {
 public:
  GzipSource(std::string_view bytes, const std::string& path, const JsonlLimits& limits)
      : bytes_(bytes), path_(path), limits_(limits), out_(limits.read_bytes) {
    require(inflateInit2(&stream_, 15 + 16) == Z_OK, ErrorKind::internal, kWhere,
            "zlib cannot start");
  }
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  std::string_view next() override {
    while (!ended_) {
      feed();
      stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
      stream_.avail_out = static_cast<uInt>(out_.size());
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status != Z_OK && status != Z_STREAM_END)
        damaged(stream_.msg == nullptr ? "the data is cut off" : stream_.msg);
      const size_t produced = out_.size() - stream_.avail_out;
      total_ += produced;
      check_caps();
      if (status == Z_STREAM_END) end_of_member();
      if (produced > 0) return {out_.data(), produced};
    }
    return {};
  }

 private:
  uint64_t consumed() const { return fed_ - stream_.avail_in; }
  void feed() {
    // zlib may hold output back with no input left, so the end of the input is only an error once
    // that is drained.
    if (stream_.avail_in > 0 || stream_.avail_out == 0) return;
    if (fed_ == bytes_.size()) damaged("the data is cut off");
    const size_t size = std::min<size_t>(bytes_.size() - fed_, 1 << 20);
    stream_.next_in = reinterpret_cast<const Bytef*>(bytes_.data() + fed_);
    stream_.avail_in = static_cast<uInt>(size);
    fed_ += size;
  }
  void end_of_member() {
    if (consumed() == bytes_.size()) {
      ended_ = true;
      return;
    }
    if (bytes_[consumed()] != '\x1f') damaged("other data follows the compressed data");
    require(inflateReset(&stream_) == Z_OK, ErrorKind::internal, kWhere, "zlib cannot restart");
  }
  void check_caps() const {
    require(total_ <= limits_.max_total_bytes, ErrorKind::data, kWhere, path_, ": more than ",
            limits_.max_total_bytes, " bytes uncompressed. Split the file.");
    require(
        total_ <= kRatioAllowance || (total_ - kRatioAllowance) / limits_.max_ratio <= consumed(),
        ErrorKind::data, kWhere, path_, ": compressed byte ", consumed(), ": expands more than ",
        limits_.max_ratio, "-fold, which texts do not. Uncompress the file first if it is sound.");
  }
  [[noreturn]] void damaged(std::string_view what) const {
    fail(ErrorKind::data, kWhere, path_, ": compressed byte ", consumed(), ": ", what,
         ". The gzip file is damaged; download or compress it again.");
  }

  std::string_view bytes_;
  const std::string& path_;
  const JsonlLimits& limits_;
  std::vector<char> out_;
  z_stream stream_{.avail_out = 1};
  uint64_t fed_ = 0, total_ = 0;
  bool ended_ = false;
};

struct Format {
  std::string_view magic, name, remedy;
};
constexpr Format kOtherFormats[] = {
    {"\x28\xb5\x2f\xfd", "zstd-compressed", "Unpack it: zstd -d FILE"},
    {"PAR1", "a Parquet file",
     "Convert it: python -c \"import pandas; pandas.read_parquet('FILE').to_json('rows.jsonl', "
     "orient='records', lines=True)\""},
    {"ARROW1", "an Arrow file", "Convert it: datasets.load_from_disk(...).to_json('rows.jsonl')"},
    {"BZh", "bzip2-compressed", "Unpack it: bunzip2 FILE"},
    {"\xfd"
     "7zXZ",
     "xz-compressed", "Unpack it: unxz FILE"},
    {"PK\x03\x04", "a ZIP archive", "Unpack it: unzip FILE"},
};

}  // namespace

struct JsonlReader::State {
  std::string path;
  JsonlLimits limits;
  std::unique_ptr<MappedFile> map;
  std::unique_ptr<ByteSource> source;
  std::string_view chunk;  ///< bytes read and not yet used
  uint64_t position = 0;   ///< of chunk's first byte
  int64_t lines = 0;
  std::map<std::string, int64_t> notes;

  /// Reads up to and including the next '\n' into `line`, keeping at most the cap. Returns false at
  /// the end.
  bool read_line(JsonlLine& line, uint64_t& length, bool& terminated) {
    line.text.clear();
    line.offset = position;
    length = 0;
    terminated = false;
    while (!terminated) {
      if (chunk.empty()) chunk = source->next();
      if (chunk.empty()) break;
      const size_t newline = chunk.find('\n');
      terminated = newline != std::string_view::npos;
      const size_t used = terminated ? newline : chunk.size();
      if (line.text.size() <=
          limits.max_line_bytes)  // one byte above the cap tells that it is exceeded
        line.text.append(chunk.substr(
            0, std::min<uint64_t>(used, limits.max_line_bytes + 1 - line.text.size())));
      length += used;
      const size_t taken = used + (terminated ? 1 : 0);
      chunk.remove_prefix(taken);
      position += taken;
    }
    return terminated || length > 0;
  }

  void strip_ends(JsonlLine& line, uint64_t& length) {
    if (line.number == 1 && line.text.starts_with("\xEF\xBB\xBF")) {
      ++notes["bom"];
      line.text.erase(0, 3);
      line.offset += 3;
      length -= 3;
    }
    if (length == line.text.size() && line.text.ends_with('\r')) {
      ++notes["crlf"];
      line.text.pop_back();
      --length;
    }
  }

  void judge(JsonlLine& line, uint64_t length) const {
    line.code.clear();
    line.problem.clear();
    line.problem_offset = 0;
    const auto problem = [&](std::string code, size_t offset, std::string text) {
      line.code = std::move(code);
      line.problem_offset = offset;
      line.problem = std::move(text);
    };
    if (length > limits.max_line_bytes) {
      line.text.resize(std::min<size_t>(line.text.size(), 80));
      return problem("line_too_long", 0,
                     "the line has " + std::to_string(length) + " bytes, at most " +
                         std::to_string(limits.max_line_bytes) + " are read");
    }
    if (line.number == 1 &&
        (line.text.starts_with("\xFF\xFE") || line.text.starts_with("\xFE\xFF") ||
         line.text.starts_with(std::string_view("\0\0\xFE\xFF", 4))))
      return problem(
          "bad_utf8", 0,
          "the file begins with the mark of UTF-16 or UTF-32, UTF-8 is required. Convert it: "
          "iconv -f UTF-16 -t UTF-8 FILE");
    if (const size_t at = find_invalid_utf8(line.text); at != std::string::npos) {
      static constexpr char kHex[] = "0123456789abcdef";
      const auto byte = static_cast<uint8_t>(line.text[at]);
      return problem(
          "bad_utf8", at,
          std::string("byte 0x") + kHex[byte >> 4] + kHex[byte & 15] + " is not valid UTF-8");
    }
    if (const size_t at = line.text.find('\0'); at != std::string::npos)
      return problem("nul_byte", at, "a raw NUL byte stands in the line");
  }
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
  std::string_view bytes;
  if (info.size > 0) {  // an empty file cannot be mapped
    s.map = files.map(s.path);
    bytes = {reinterpret_cast<const char*>(s.map->data()), static_cast<size_t>(s.map->size())};
  }
  for (const Format& format : kOtherFormats)
    if (bytes.starts_with(format.magic)) {
      std::string remedy(format.remedy);
      if (const size_t at = remedy.find("FILE"); at != std::string::npos)
        remedy.replace(at, 4, s.path);
      fail(ErrorKind::data, kWhere, s.path, ": is ", format.name,
           ", JSON lines (plain or gzip) are required. ", remedy);
    }
  if (bytes.starts_with("\x1f\x8b"))
    s.source = std::make_unique<GzipSource>(bytes, s.path, s.limits);
  else
    s.source = std::make_unique<MappedSource>(bytes, s.limits.read_bytes);
}

JsonlReader::~JsonlReader() = default;
JsonlReader::JsonlReader(JsonlReader&&) noexcept = default;

bool JsonlReader::next(JsonlLine& line) {
  State& s = *state_;
  uint64_t length = 0;
  bool terminated = false;
  while (s.read_line(line, length, terminated)) {
    line.number = ++s.lines;
    s.strip_ends(line, length);
    if (length == line.text.size() && line.text.find_first_not_of(" \t\r") == std::string::npos) {
      if (terminated) ++s.notes["blank"];
      continue;
    }
    if (!terminated) ++s.notes["no_final_newline"];
    s.judge(line, length);
    return true;
  }
  return false;
}

const std::map<std::string, int64_t>& JsonlReader::notes() const { return state_->notes; }
const std::string& JsonlReader::path() const { return state_->path; }

}  // namespace pref
