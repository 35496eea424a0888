// SPDX-License-Identifier: Apache-2.0
// Helpers of the data tests: a folder of its own per test, a tiny sentencepiece model made from its
// protobuf fields, and the shared real data where it is present.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/error.h"

namespace pref::testing {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "pref_data_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TempFolder() {  // only ever the folder that mkdtemp made
    const std::filesystem::path path(path_);
    if (path.is_absolute() && path.filename().string().starts_with("pref_data_"))
      std::filesystem::remove_all(path);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string write(const std::string& name, std::string_view text) const {
    const std::string file = path_ + "/" + name;
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// The text of the pref::Error that `run` throws, "" when it throws none.
template <class Run>
std::string error_of(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Protobuf fields by hand.
inline std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
inline std::string integer_field(int number, uint64_t value) {
  return varint(static_cast<uint64_t>(number) << 3) + varint(value);
}
inline std::string bytes_field(int number, std::string_view bytes) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
inline std::string piece_field(std::string_view text, float score, int type) {
  std::string bits(4, '\0');
  std::memcpy(bits.data(), &score, 4);
  return bytes_field(1, bytes_field(1, text) + varint(2 << 3 | 5) + bits +
                            integer_field(3, static_cast<uint64_t>(type)));
}

/// BPE with byte fallback: ids 0 <unk>, 1 <s>, 2 </s>, 3..258 bytes, then `merged` by falling rank,
/// then characters.
inline std::string tiny_model(const std::vector<std::string>& merged = {"▁a", "ab", "▁ab", "<|",
                                                                        "|>", "ba", ".b"}) {
  std::string out =
      piece_field("<unk>", 0, 2) + piece_field("<s>", 0, 3) + piece_field("</s>", 0, 3);
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    out += piece_field(name, 0, 6);
  }
  float score = 0;
  for (const std::string& piece : merged) out += piece_field(piece, score -= 1, 1);
  for (const std::string piece : {"▁", "a", "b", "c", ".", "<", ">", "|", "日"})
    out += piece_field(piece, score -= 1, 1);
  const std::string trainer = integer_field(3, 2) + integer_field(35, 1);
  const std::string normalizer =
      bytes_field(1, "identity") + integer_field(3, 1) + integer_field(4, 0) + integer_field(5, 1);
  return out + bytes_field(2, trainer) + bytes_field(3, normalizer);
}

inline std::string shared_file(const std::string& name) {
  return std::string(PREF_SOURCE_DIR) + "/../shared/data/" + name;
}
#define PREF_SKIP_WITHOUT(file) \
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not present"

}  // namespace pref::testing
