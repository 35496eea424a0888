// SPDX-License-Identifier: Apache-2.0
// See byte_source.h.
#include "libpref/data/files/byte_source.h"

#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <vector>

#include "libpref/base/error.h"

namespace pref {
namespace {

constexpr std::string_view kWhere = "jsonl";
constexpr uint64_t kRatioAllowance = 1 << 20;

/// The caps on what a compressed file may become; `consumed` bytes of it gave `total`.
void check_caps(uint64_t total, uint64_t consumed, const std::string& path,
                const JsonlLimits& limits) {
  require(total <= limits.max_total_bytes, ErrorKind::data, kWhere, path, ": more than ",
          limits.max_total_bytes, " bytes uncompressed. Split the file.");
  require(total <= kRatioAllowance || (total - kRatioAllowance) / limits.max_ratio <= consumed,
          ErrorKind::data, kWhere, path, ": compressed byte ", consumed, ": expands more than ",
          limits.max_ratio, "-fold, which texts do not. Uncompress the file first if it is sound.");
}

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
      check_caps(total_, consumed(), path_, limits_);
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

/// zstd, also several frames one after the other.
class ZstdSource final : public ByteSource {
 public:
  ZstdSource(std::string_view bytes, const std::string& path, const JsonlLimits& limits)
      : path_(path),
        limits_(limits),
        out_(limits.read_bytes),
        stream_(ZSTD_createDStream()),
        in_{bytes.data(), bytes.size(), 0} {
    require(stream_ != nullptr && !ZSTD_isError(ZSTD_initDStream(stream_)), ErrorKind::internal,
            kWhere, "zstd cannot start");
    // The window a frame may ask memory for: 128 MiB, as the zstd program's default.
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, 27);
  }
  ~ZstdSource() override { ZSTD_freeDStream(stream_); }
  ZstdSource(const ZstdSource&) = delete;
  ZstdSource& operator=(const ZstdSource&) = delete;

  std::string_view next() override {
    while (in_.pos < in_.size || !frame_done_) {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const size_t before = in_.pos;
      const size_t status = ZSTD_decompressStream(stream_, &out, &in_);
      if (ZSTD_isError(status)) damaged(ZSTD_getErrorName(status));
      frame_done_ = status == 0;  // decoded and handed out
      if (out.pos == 0 && in_.pos == before && !frame_done_) damaged("the data is cut off");
      total_ += out.pos;
      check_caps(total_, in_.pos, path_, limits_);
      if (out.pos > 0) return {out_.data(), out.pos};
    }
    return {};
  }

 private:
  [[noreturn]] void damaged(std::string_view what) const {
    fail(ErrorKind::data, kWhere, path_, ": compressed byte ", in_.pos, ": ", what,
         ". The zstd file is damaged; download or compress it again.");
  }

  const std::string& path_;
  const JsonlLimits& limits_;
  std::vector<char> out_;
  ZSTD_DStream* stream_;
  ZSTD_inBuffer in_;
  uint64_t total_ = 0;
  bool frame_done_ = false;
};

struct Format {
  std::string_view magic, name, remedy;
};
constexpr Format kOtherFormats[] = {
    {"ARROW1", "an Arrow file", "Convert it: datasets.load_from_disk(...).to_json('rows.jsonl')"},
    {"BZh", "bzip2-compressed", "Unpack it: bunzip2 FILE"},
    {"\xfd"
     "7zXZ",
     "xz-compressed", "Unpack it: unxz FILE"},
    {"PK\x03\x04", "a ZIP archive", "Unpack it: unzip FILE"},
};

}  // namespace

std::unique_ptr<ByteSource> open_bytes(std::string_view bytes, const std::string& path,
                                       const JsonlLimits& limits) {
  for (const Format& format : kOtherFormats)
    if (bytes.starts_with(format.magic)) {
      std::string remedy(format.remedy);
      if (const size_t at = remedy.find("FILE"); at != std::string::npos)
        remedy.replace(at, 4, path);
      fail(ErrorKind::data, kWhere, path, ": is ", format.name,
           ", JSON lines, a JSON array or CSV (plain, gzip or zstd) or Parquet is required. ",
           remedy);
    }
  if (bytes.starts_with("\x1f\x8b")) return std::make_unique<GzipSource>(bytes, path, limits);
  if (bytes.starts_with("\x28\xb5\x2f\xfd"))
    return std::make_unique<ZstdSource>(bytes, path, limits);
  return std::make_unique<MappedSource>(bytes, limits.read_bytes);
}

}  // namespace pref
