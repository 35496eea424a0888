// SPDX-License-Identifier: Apache-2.0
// Token strings and ids in both directions: one block of bytes and an open-addressing table, so
// that a look-up touches two cache lines and loading 256,000 tokens takes milliseconds.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace pref {

constexpr int32_t kMaxTokenId = 1 << 24;
constexpr size_t kMaxTokenBytes = 1 << 16;

inline uint64_t mix_bits(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15, kOther = 0xD6E8FEB86659FD93;
  uint64_t hash = bytes.size() * kOther;
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (uint64_t word; left >= 8; at += 8, left -= 8) {
    std::memcpy(&word, at, 8);
    hash = mix_bits(hash ^ word, kOdd);
  }
  uint64_t tail = 0;
  if (left > 0) std::memcpy(&tail, at, left);
  return mix_bits(hash ^ tail, kOther);
}

class Vocabulary {
 public:
  /// False when the string or the id is taken. `id` in [0, kMaxTokenId), text up to kMaxTokenBytes.
  bool add(std::string_view text, int32_t id);
  int32_t find(std::string_view text) const;  ///< -1 when there is none
  bool contains(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < spans_.size() && spans_[id].used;
  }
  std::string_view text(int32_t id) const {
    return {bytes_.data() + spans_[id].first, spans_[id].size};
  }
  int32_t end_id() const { return static_cast<int32_t>(spans_.size()); }  ///< highest id + 1
  size_t size() const { return count_; }

 private:
  void grow();
  struct Span {
    uint64_t first = 0;
    uint32_t size = 0;
    bool used = false;
  };
  struct Slot {
    uint32_t hash = 0;
    int32_t id = -1;
  };
  std::string bytes_;
  std::vector<Span> spans_;
  std::vector<Slot> slots_ = std::vector<Slot>(64);
  size_t count_ = 0;
};

}  // namespace pref
