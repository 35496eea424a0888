// SPDX-License-Identifier: Apache-2.0
// Our own reading of a sentencepiece .model (a protobuf), before the library sees it: every length
// is checked, and the fields that decide behaviour are kept. Guards libsentencepiece against
// crafted normalization tables and pieces.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pref {

constexpr uint64_t kMaxSentencePieceModelBytes = 64ull << 20;
constexpr size_t kMaxPieceBytes = 4096;
constexpr size_t kMaxPieces = 1u << 21;

/// SentencePiece.Type of sentencepiece_model.proto.
enum class PieceType {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

struct SentencePieceModel {
  struct Piece {
    std::string_view text;  ///< into the model's bytes
    PieceType type = PieceType::normal;
  };
  std::vector<Piece> pieces;
  int64_t model_type = 1;  ///< 1 unigram, 2 bpe, 3 word, 4 char
  bool byte_fallback = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool whitespace_as_suffix = false;
};

/// Walks the protobuf. `bytes` must outlive the result. Throws ErrorKind::data with path and byte
/// offset: sizes that overrun, pieces that are empty, above 4 KB, repeated, with NUL or invalid
/// UTF-8, scores that are no finite numbers, an unknown model type, no or several unknown pieces, a
/// normalization table that is too large or could lead its reader outside itself.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& path);

}  // namespace pref
