// SPDX-License-Identifier: Apache-2.0
// See vocabulary.h. Linear probing at a load of at most one half.
#include "libpref/data/tokenizers/vocabulary.h"

namespace pref {

bool Vocabulary::add(std::string_view text, int32_t id) {
  if (contains(id) || find(text) >= 0) return false;
  if (static_cast<size_t>(id) >= spans_.size()) spans_.resize(static_cast<size_t>(id) + 1);
  spans_[id] = {bytes_.size(), static_cast<uint32_t>(text.size()), true};
  bytes_ += text;
  if (++count_ * 2 > slots_.size()) {
    grow();
    return true;
  }
  const uint64_t hash = hash_bytes(text);
  size_t at = hash & (slots_.size() - 1);
  while (slots_[at].id >= 0) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {static_cast<uint32_t>(hash >> 32), id};
  return true;
}

int32_t Vocabulary::find(std::string_view text) const {
  const uint64_t hash = hash_bytes(text);
  const auto check = static_cast<uint32_t>(hash >> 32);
  for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.id < 0) return -1;
    if (slot.hash == check && this->text(slot.id) == text) return slot.id;
  }
}

void Vocabulary::grow() {
  slots_.assign(slots_.size() * 2, Slot{});
  for (int32_t id = 0; id < end_id(); ++id) {
    if (!contains(id)) continue;
    const uint64_t hash = hash_bytes(text(id));
    size_t at = hash & (slots_.size() - 1);
    while (slots_[at].id >= 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {static_cast<uint32_t>(hash >> 32), id};
  }
}

}  // namespace pref
