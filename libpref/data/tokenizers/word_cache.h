// SPDX-License-Identifier: Apache-2.0
// Ids of words seen before. Text repeats its words, so most are answered by one cache line without
// merging anything. Direct-mapped, a newer word takes the place of an older one.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "libpref/data/tokenizers/vocabulary.h"

namespace pref {

class WordCache {
 public:
  static constexpr size_t kMaxBytes = 24, kMaxIds = 9;

  struct Key {
    std::array<uint64_t, 3> words{};
    size_t slot = 0;
    uint8_t size = 0;
  };
  /// `word` has 1 to kMaxBytes bytes.
  static Key key_of(std::string_view word) {
    Key key;
    key.size = static_cast<uint8_t>(word.size());
    const char* at = word.data();
    if (word.size() >= 8) {
      // Overlapping reads cover any length without a loop over bytes.
      std::memcpy(&key.words[0], at, 8);
      std::memcpy(&key.words[1], at + word.size() - 8, 8);
      if (word.size() > 16) std::memcpy(&key.words[2], at + 8, 8);
    } else if (word.size() >= 4) {
      uint32_t low = 0, high = 0;
      std::memcpy(&low, at, 4);
      std::memcpy(&high, at + word.size() - 4, 4);
      key.words[0] = static_cast<uint64_t>(high) << 32 | low;
    } else {
      key.words[0] = static_cast<uint8_t>(at[0]) |
                     static_cast<uint64_t>(static_cast<uint8_t>(at[word.size() / 2])) << 8 |
                     static_cast<uint64_t>(static_cast<uint8_t>(at[word.size() - 1])) << 16;
    }
    constexpr uint64_t kOdd = 0x9E3779B97F4A7C15, kOther = 0xD6E8FEB86659FD93;
    key.slot = static_cast<size_t>(mix_bits(key.words[0] ^ key.size ^ kOdd,
                                            key.words[1] ^ (key.words[2] * kOdd) ^ kOther)) &
               (kSlots - 1);
    return key;
  }

  /// Appends the ids; false when the word is not here.
  bool find(const Key& key, std::vector<int32_t>& out) const {
    const Slot& slot = slots_[key.slot];
    if (slot.size != key.size || slot.words != key.words) return false;
    out.insert(out.end(), slot.ids, slot.ids + slot.count);
    return true;
  }
  void put(const Key& key, const int32_t* ids, size_t count) {
    if (count > kMaxIds) return;
    Slot& slot = slots_[key.slot];
    slot.words = key.words;
    slot.size = key.size;
    slot.count = static_cast<uint8_t>(count);
    std::memcpy(slot.ids, ids, count * sizeof *ids);
  }

 private:
  static constexpr size_t kSlots = 1 << 15;
  struct alignas(64) Slot {
    std::array<uint64_t, 3> words{};
    int32_t ids[kMaxIds] = {};
    uint8_t size = 0, count = 0;
  };
  static_assert(sizeof(Slot) == 64);
  std::unique_ptr<Slot[]> slots_ = std::make_unique<Slot[]>(kSlots);
};

}  // namespace pref
