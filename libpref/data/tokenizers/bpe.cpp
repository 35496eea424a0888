// SPDX-License-Identifier: Apache-2.0
// See bpe.h. What an unknown character becomes, and in which order pending unknowns are written,
// follows the tokenizers package to the letter: ids must be equal.
#include "libpref/data/tokenizers/bpe.h"

#include <algorithm>
#include <array>
#include <limits>

#include "libpref/base/utf8.h"
#include "libpref/data/tokenizers/byte_level.h"

namespace pref {
namespace {

constexpr size_t kShortWord = 28;  // symbols; beyond, the heap wins
constexpr uint32_t kNoMerge = std::numeric_limits<uint32_t>::max();
constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, how sentencepiece writes a space

std::string fallback_token(int byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return {'<',
          '0',
          'x',
          kDigits[static_cast<size_t>(byte) / 16],
          kDigits[static_cast<size_t>(byte) % 16],
          '>'};
}

/// Does `text` hold a space mark that follows something else than a space mark?
bool space_inside(std::string_view text) {
  for (size_t at = text.find(kSpace); at != std::string_view::npos;
       at = text.find(kSpace, at + kSpace.size()))
    if (at > 0 && !text.substr(0, at).ends_with(kSpace)) return true;
  return false;
}

}  // namespace

MergeTable::MergeTable(size_t expected) {
  size_t size = 16;
  while (size < expected * 2) size *= 2;
  slots_.resize(size);
  mask_ = size - 1;
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  if ((count_ + 1) * 2 > slots_.size()) {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    mask_ = slots_.size() - 1;
    for (const Slot& slot : old) {
      if (slot.key == kFree) continue;
      size_t at = place(slot.key);
      while (slots_[at].key != kFree) at = (at + 1) & mask_;
      slots_[at] = slot;
    }
  }
  const uint64_t key = pack(left, right);
  size_t at = place(key);
  while (slots_[at].key != kFree && slots_[at].key != key) at = (at + 1) & mask_;
  if (slots_[at].key == kFree) ++count_;
  slots_[at] = {key, merge};
}

Bpe::Bpe(Vocabulary vocabulary, MergeTable merges, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)), options_(options) {
  std::string bytes;
  if (options_.byte_level) {
    for (int32_t id = 0; id < vocabulary_.end_id(); ++id) {
      bytes.clear();
      if (!vocabulary_.contains(id) || !append_character_bytes(vocabulary_.text(id), bytes))
        continue;
      bytes_.add(bytes, id);
      if (bytes.size() == 1) byte_ids_[static_cast<uint8_t>(bytes[0])] = id;
    }
    for (int b = 0; b < 0xF5; ++b)
      if (byte_ids_[static_cast<size_t>(b)] < 0 && b != 0xC0 && b != 0xC1)
        missing_bytes_.push_back(b);
    return;
  }
  if (options_.byte_fallback)
    for (int b = 0; b < 256; ++b)
      byte_ids_[static_cast<size_t>(b)] = vocabulary_.find(fallback_token(b));
  // Where no token has a space mark behind anything else, no merge crosses such a place, so the
  // words between may be encoded, and remembered, one by one. The mark itself must be known, or
  // unknown characters around it could fuse.
  splits_at_spaces_ = vocabulary_.find(kSpace) >= 0;
  for (int32_t id = 0; id < vocabulary_.end_id() && splits_at_spaces_; ++id)
    splits_at_spaces_ = !vocabulary_.contains(id) || !space_inside(vocabulary_.text(id));
}

void Bpe::encode(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& out) const {
  if (piece.empty()) return;
  if (options_.byte_level || !splits_at_spaces_) return word(piece, scratch, out);
  if (options_.ignore_merges)
    if (const int32_t id = vocabulary_.find(piece); id >= 0) return out.push_back(id);
  size_t first = 0;
  for (size_t at = piece.find(kSpace, 1); at != std::string_view::npos;
       at = piece.find(kSpace, at + kSpace.size())) {
    if (at - first >= kSpace.size() && piece.substr(first, at - first).ends_with(kSpace)) continue;
    word(piece.substr(first, at - first), scratch, out);
    first = at;
  }
  word(piece.substr(first), scratch, out);
}

void Bpe::word(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& out) const {
  const bool small = piece.size() <= WordCache::kMaxBytes;
  WordCache::Key key;
  if (small) {
    key = WordCache::key_of(piece);
    if (scratch.cache.find(key, out)) return;
  }
  const size_t before = out.size();
  const Vocabulary& whole = options_.byte_level ? bytes_ : vocabulary_;
  int32_t id = -1;
  // Words that are cut at spaces are parts of a piece, which was looked up whole.
  if (options_.ignore_merges && (options_.byte_level || !splits_at_spaces_)) id = whole.find(piece);
  if (id >= 0) {
    out.push_back(id);
  } else {
    scratch.ids.clear();
    symbols(piece, scratch.ids);
    if (scratch.ids.size() > kShortWord)
      merge_long(scratch);
    else if (scratch.ids.size() > 1)
      merge_short(scratch);
    out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
  }
  if (small) scratch.cache.put(key, out.data() + before, out.size() - before);
}

void Bpe::symbols(std::string_view piece, std::vector<int32_t>& ids) const {
  bool unknown = false;
  const auto flush = [&] {
    if (unknown) ids.push_back(*options_.unk);
    unknown = false;
  };
  for (size_t at = 0, length = 1; at < piece.size(); at += length) {
    int32_t id = -1;
    if (options_.byte_level) {
      id = byte_ids_[static_cast<uint8_t>(piece[at])];
    } else {
      length = utf8_length(piece, at);
      id = vocabulary_.find(piece.substr(at, length));
    }
    if (id >= 0) {
      flush();
      ids.push_back(id);
      continue;
    }
    if (options_.byte_fallback && !options_.byte_level) {
      const std::string_view bytes = piece.substr(at, length);
      const auto token = [&](char b) { return byte_ids_[static_cast<uint8_t>(b)]; };
      if (std::all_of(bytes.begin(), bytes.end(), [&](char b) { return token(b) >= 0; })) {
        for (const char b : bytes) ids.push_back(token(b));
        continue;
      }
    }
    if (!options_.unk) continue;
    if (!options_.fuse_unk) flush();
    unknown = true;
  }
  flush();
}

void Bpe::merge_short(ModelScratch& scratch) const {
  std::vector<int32_t>& ids = scratch.ids;
  size_t count = ids.size();
  std::array<uint32_t, kShortWord> ranks;
  std::array<int32_t, kShortWord> merged;
  const auto look_up = [&](size_t i) {
    ++scratch.operations;
    const MergeTable::Merge* merge = merges_.find(ids[i], ids[i + 1]);
    ranks[i] = merge != nullptr ? merge->rank : kNoMerge;
    merged[i] = merge != nullptr ? merge->id : -1;
  };
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == kNoMerge) break;
    ids[best] = merged[best];
    for (size_t i = best + 1; i + 1 < count; ++i) {
      ids[i] = ids[i + 1];
      ranks[i - 1] = ranks[i];  // the pair at best + 1 moves to best, to be looked up again
      merged[i - 1] = merged[i];
    }
    --count;
    if (best + 1 < count) look_up(best);
    if (best > 0) look_up(best - 1);
  }
  ids.resize(count);
}

void Bpe::merge_long(ModelScratch& scratch) const {
  std::vector<int32_t>& ids = scratch.ids;
  const auto count = static_cast<int32_t>(ids.size());
  scratch.left.resize(ids.size());
  scratch.right.resize(ids.size());
  for (int32_t i = 0; i < count; ++i) {
    scratch.left[i] = i - 1;
    scratch.right[i] = i + 1 < count ? i + 1 : -1;
  }
  const auto later = [](const ModelScratch::Candidate& a, const ModelScratch::Candidate& b) {
    return a.order > b.order;
  };
  auto& heap = scratch.heap;
  heap.clear();
  const auto candidate = [&](int32_t place) {
    ++scratch.operations;
    const MergeTable::Merge* merge = merges_.find(ids[place], ids[scratch.right[place]]);
    if (merge == nullptr) return false;
    heap.push_back(
        {static_cast<uint64_t>(merge->rank) << 32 | static_cast<uint32_t>(place), merge->id});
    return true;
  };
  for (int32_t i = 0; i + 1 < count; ++i) candidate(i);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const ModelScratch::Candidate top = heap.back();
    heap.pop_back();
    const auto place = static_cast<int32_t>(top.order & 0xFFFFFFFF);
    const int32_t next = ids[place] < 0 ? -1 : scratch.right[place];
    if (next < 0) continue;
    // The pair may have changed since it was queued.
    const MergeTable::Merge* merge = merges_.find(ids[place], ids[next]);
    if (merge == nullptr || merge->id != top.id) continue;
    ids[place] = top.id;
    ids[next] = -1;
    scratch.right[place] = scratch.right[next];
    if (scratch.right[place] >= 0) scratch.left[scratch.right[place]] = place;
    if (scratch.right[place] >= 0 && candidate(place))
      std::push_heap(heap.begin(), heap.end(), later);
    if (scratch.left[place] >= 0 && candidate(scratch.left[place]))
      std::push_heap(heap.begin(), heap.end(), later);
  }
  std::erase(ids, -1);
}

}  // namespace pref
