// SPDX-License-Identifier: Apache-2.0
// Small valid files that tests break and fuzzers start from: gzip, a sentencepiece model made from
// its protobuf fields, a byte-level tokenizer.json, tiktoken ranks.
#pragma once
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/tokenizers/byte_level.h"

namespace pref::testing {

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

/// Ids 0..255 the bytes in the order of the byte alphabet's characters, then "ab", "Ġa", "<|end|>".
inline nlohmann::ordered_json byte_level_json() {
  nlohmann::ordered_json vocab = nlohmann::ordered_json::object();
  const auto character = [](int b) {
    std::string out;
    append_byte_characters(std::string(1, static_cast<char>(b)), out);
    return out;
  };
  for (int b = 0; b < 256; ++b) vocab[character(b)] = b;
  vocab["ab"] = 256;
  vocab["Ġa"] = 257;
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens",
           {{{"id", 258}, {"content", "<|end|>"}, {"special", true}, {"normalized", false}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"vocab", vocab},
            {"merges", {"a b", "Ġ a"}}}}};
}

/// Ranks 0..255 the bytes, then `merged`.
inline std::string tiny_ranks(const std::vector<std::string>& merged = {"ab", "abc"}) {
  std::string out;
  int rank = 0;
  const auto add = [&](std::string_view bytes) {
    constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < bytes.size(); at += 3) {
      const size_t left = std::min<size_t>(bytes.size() - at, 3);
      uint32_t bits = 0;
      for (size_t i = 0; i < 3; ++i)
        bits = bits << 8 | (i < left ? static_cast<uint8_t>(bytes[at + i]) : 0u);
      for (size_t i = 0; i < 4; ++i) out += i <= left ? kDigits[bits >> (18 - 6 * i) & 63] : '=';
    }
    out += " " + std::to_string(rank++) + "\n";
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  for (const std::string& token : merged) add(token);
  return out;
}

}  // namespace pref::testing
