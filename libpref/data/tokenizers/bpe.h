// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding (arXiv:1508.07909): of all adjacent pairs the one of the lowest rank is merged,
// the leftmost first, until none is left. Short words scan their pairs; long ones keep them in a
// heap over a linked list, so that n letters take O(n log n).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/tokenizers/model.h"

namespace pref {

/// (left, right) -> rank and merged id. Open addressing.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = 0;
    int32_t id = -1;
  };
  explicit MergeTable(size_t expected = 0);
  void set(int32_t left, int32_t right, Merge merge);  ///< replaces
  const Merge* find(int32_t left, int32_t right) const {
    const uint64_t key = pack(left, right);
    for (size_t at = place(key);; at = (at + 1) & mask_) {
      if (slots_[at].key == key) return &slots_[at].merge;
      if (slots_[at].key == kFree) return nullptr;
    }
  }
  size_t size() const { return count_; }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };
  static uint64_t pack(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t place(uint64_t key) const {
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15) >> 20) & mask_;
  }
  std::vector<Slot> slots_;
  size_t mask_ = 0, count_ = 0;
};

struct BpeOptions {
  bool byte_level = false;     ///< symbols begin as bytes instead of characters
  bool byte_fallback = false;  ///< an unknown character becomes its <0xNN> tokens
  bool fuse_unk = false;       ///< neighbouring unknown characters become one
  bool ignore_merges = false;  ///< a piece that is a token is that token, whatever merges say
  std::optional<int32_t> unk;
};

class Bpe final : public TokenModel {
 public:
  /// With byte_level, the vocabulary as written in the file (byte alphabet).
  Bpe(Vocabulary vocabulary, MergeTable merges, BpeOptions options);
  void encode(std::string_view piece, ModelScratch& scratch,
              std::vector<int32_t>& out) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string name() const override {
    return options_.byte_level ? "byte-level bpe"
                               : (options_.byte_fallback ? "bpe with byte fallback" : "bpe");
  }
  /// Bytes of valid UTF-8 that have no token; they encode to unk, or to nothing without one.
  const std::vector<int>& missing_bytes() const { return missing_bytes_; }
  bool splits_at_spaces() const { return splits_at_spaces_; }

 private:
  void word(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& out) const;
  void symbols(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_short(ModelScratch& scratch) const;
  void merge_long(ModelScratch& scratch) const;

  Vocabulary vocabulary_;
  Vocabulary bytes_;  ///< byte_level: the tokens as the bytes they stand for
  MergeTable merges_;
  BpeOptions options_;
  std::vector<int32_t> byte_ids_ = std::vector<int32_t>(256, -1);  ///< initial symbol, or fallback
  std::vector<int> missing_bytes_;
  bool splits_at_spaces_ = false;
};

}  // namespace pref
