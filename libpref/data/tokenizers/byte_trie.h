// SPDX-License-Identifier: Apache-2.0
// All keys that begin at a place of a text, in one walk: a double-array trie over bytes. A step is
// two array reads whatever the number of keys.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pref {

class ByteTrie {
 public:
  ByteTrie() = default;
  /// Keys must be distinct and not empty; values >= 0. Sorts them.
  explicit ByteTrie(std::vector<std::pair<std::string, int32_t>> keys);

  /// Calls found(length, value) for every key that `text` begins with at `from`, shortest first.
  template <class Found>
  void prefixes(std::string_view text, size_t from, const Found& found) const {
    if (units_.empty()) return;
    int32_t state = 0;
    for (size_t at = from; at < text.size(); ++at) {
      const size_t next = static_cast<size_t>(units_[state].base) + static_cast<uint8_t>(text[at]);
      if (next >= units_.size() || units_[next].parent != state) return;
      state = static_cast<int32_t>(next);
      if (units_[next].value >= 0) found(at + 1 - from, units_[next].value);
    }
  }
  bool empty() const { return units_.empty(); }

 private:
  struct Unit {
    int32_t base = 0;     ///< successors stand at base + byte
    int32_t parent = -1;  ///< -1: free
    int32_t value = -1;
  };
  std::vector<Unit> units_;
};

}  // namespace pref
