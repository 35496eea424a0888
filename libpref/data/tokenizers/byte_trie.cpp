// SPDX-License-Identifier: Apache-2.0
// See byte_trie.h. Nodes are placed breadth first, each at the first base where all its successors
// are free; the search begins where the last ones succeeded, for the low part fills up.
#include "libpref/data/tokenizers/byte_trie.h"

#include <algorithm>

namespace pref {

ByteTrie::ByteTrie(std::vector<std::pair<std::string, int32_t>> keys) {
  if (keys.empty()) return;
  std::sort(keys.begin(), keys.end());
  struct Range {
    int32_t unit;
    size_t first, last, depth;
  };
  std::vector<Range> queue{{0, 0, keys.size(), 0}};
  units_.resize(512);
  units_[0].parent = 0;  // the root, taken
  size_t search = 1;
  for (size_t head = 0; head < queue.size(); ++head) {
    auto [unit, first, last, depth] = queue[head];
    if (first < last && keys[first].first.size() == depth)
      units_[static_cast<size_t>(unit)].value = keys[first++].second;
    if (first == last) continue;
    std::vector<std::pair<uint8_t, size_t>> labels;  // and where their keys begin
    for (size_t i = first; i < last; ++i) {
      const auto label = static_cast<uint8_t>(keys[i].first[depth]);
      if (labels.empty() || labels.back().first != label) labels.emplace_back(label, i);
    }
    const uint8_t lowest = labels.front().first;
    size_t place = std::max<size_t>(search, size_t{lowest} + 1), tried = 0;
    const auto fits = [&](size_t base) {
      return std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
        return base + label.first >= units_.size() || units_[base + label.first].parent < 0;
      });
    };
    for (; !fits(place - lowest); ++place) ++tried;
    if (tried > 64) search = std::max(search, place > 256 ? place - 256 : size_t{1});
    const size_t base = place - lowest;
    if (base + 256 >= units_.size()) units_.resize(std::max(base + 512, units_.size() * 3 / 2));
    units_[static_cast<size_t>(unit)].base = static_cast<int32_t>(base);
    for (size_t i = 0; i < labels.size(); ++i) {
      const size_t child = base + labels[i].first;
      units_[child].parent = unit;
      queue.push_back({static_cast<int32_t>(child), labels[i].second,
                       i + 1 < labels.size() ? labels[i + 1].second : last, depth + 1});
    }
  }
}

}  // namespace pref
