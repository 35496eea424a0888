// SPDX-License-Identifier: Apache-2.0
// The text of a file in chunks: plain, gzip or zstd (told by its first bytes, not its name), in
// constant memory, under caps on the size and on how far compressed data expands.
#pragma once
#include <cstddef>
#include <cstdint>
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

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// The next bytes, valid until the next call; empty at the end. Throws ErrorKind::data for
  /// damaged or over-expanding data.
  virtual std::string_view next() = 0;
};

/// `bytes`, `path` and `limits` must outlive the source. Throws ErrorKind::data for other
/// compressed or columnar formats, naming the conversion.
std::unique_ptr<ByteSource> open_bytes(std::string_view bytes, const std::string& path,
                                       const JsonlLimits& limits);

/// Bytes one by one over a source, counting lines and columns.
class ByteCursor {
 public:
  explicit ByteCursor(ByteSource& source) : source_(source) {}
  /// The next byte without taking it; -1 at the end.
  int peek() {
    if (chunk_.empty()) chunk_ = source_.next();
    return chunk_.empty() ? -1 : static_cast<unsigned char>(chunk_[0]);
  }
  int get() {
    const int byte = peek();
    if (byte < 0) return byte;
    chunk_.remove_prefix(1);
    ++position_;
    ++column_;
    if (byte == '\n') ++line_, column_ = 1;
    return byte;
  }
  /// The unused bytes at hand, at least one unless the text has ended.
  std::string_view chunk() {
    peek();
    return chunk_;
  }
  /// Takes `size` bytes of chunk(), which hold no line end but perhaps the last one.
  void take(size_t size) {
    const bool line_end = size > 0 && chunk_[size - 1] == '\n';
    chunk_.remove_prefix(size);
    position_ += size;
    column_ += static_cast<int64_t>(size);
    if (line_end) ++line_, column_ = 1;
  }
  uint64_t position() const { return position_; }
  int64_t line() const { return line_; }      ///< from 1, of the next byte
  int64_t column() const { return column_; }  ///< from 1, in bytes

 private:
  ByteSource& source_;
  std::string_view chunk_;
  uint64_t position_ = 0;
  int64_t line_ = 1, column_ = 1;
};

}  // namespace pref
