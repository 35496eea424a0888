// SPDX-License-Identifier: Apache-2.0
#include "libpref/data/audit/text_facts.h"

#include <algorithm>
#include <bit>

#include "libpref/base/digest.h"
#include "libpref/base/utf8.h"
#include "libpref/data/whitespace.h"

namespace pref::audit {
namespace {

/// Counts by hash in one flat table. Sized once for the number of insertions to come.
class Counts {
 public:
  explicit Counts(size_t insertions) : slots_(std::bit_ceil(2 * insertions + 2)) {}
  uint32_t& operator[](uint64_t key) {
    key |= key == 0;  // 0 marks a free slot
    size_t at = key & (slots_.size() - 1);
    while (slots_[at].key != 0 && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    slots_[at].key = key;
    return slots_[at].count;
  }
  uint32_t* find(uint64_t key) {
    key |= key == 0;
    size_t at = key & (slots_.size() - 1);
    while (slots_[at].key != 0 && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    return slots_[at].key == 0 ? nullptr : &slots_[at].count;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    uint32_t count = 0;
  };
  std::vector<Slot> slots_;
};

/// One hash for every `length` consecutive words, by a rolling sum; mixed, because tables take the
/// lowest bits.
Words grams(const Words& words, size_t length) {
  constexpr uint64_t kBase = 0x9E3779B97F4A7C15ull;  // odd
  Words out;
  if (words.size() < length) return out;
  out.reserve(words.size() - length + 1);
  uint64_t power = 1, sum = 0;
  for (size_t i = 0; i < length; ++i) power *= kBase;
  for (size_t i = 0; i < words.size(); ++i) {
    sum = sum * kBase + words[i];
    if (i >= length) sum -= power * words[i - length];
    if (i + 1 >= length) out.push_back((sum ^ sum >> 32) * 0xD6E8FEB86659FD93ull);
  }
  return out;
}

void append_words(std::string_view text, Case letters, Words& out) {
  char word[64];  // long words are hashed in pieces
  size_t length = 0;
  uint64_t hash = 0;
  bool open = false;
  const auto flush = [&] {
    hash = hash * 31 + fast_hash(word, length);
    length = 0;
  };
  const auto end = [&] {
    if (!open) return;
    flush();
    out.push_back(hash);
    hash = 0;
    open = false;
  };
  const auto put = [&](char c) {
    if (length == sizeof word) flush();
    word[length++] = c;
    open = true;
  };
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      if (whitespace_bytes(text, i) > 0)
        end();
      else
        put(letters == Case::folded && byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + 32)
                                                                  : text[i]);
      ++i;
      continue;
    }
    if (const size_t space = whitespace_bytes(text, i); space > 0) {
      end();
      i += space;
      continue;
    }
    const size_t bytes = std::max<size_t>(utf8_length(text, i), 1);
    // U+2E80 is E2 BA 80; what follows in UTF-8 compares greater byte by byte.
    const bool alone = text.substr(i, bytes) >= "\xE2\xBA\x80";
    if (alone) end();
    for (size_t k = 0; k < bytes; ++k) put(text[i + k]);
    if (alone) end();
    i += bytes;
  }
  end();
}

}  // namespace

Words words_of(std::string_view text, Case letters) {
  Words out;
  out.reserve(text.size() / 5);
  append_words(text, letters, out);
  return out;
}

Words words_of(const Content& content, Case letters) {
  if (!content.conversational()) return words_of(content.text, letters);
  if (content.messages.size() == 1) return words_of(content.messages[0].content, letters);
  Words out;
  for (const Message& message : content.messages) {
    // A hash that no text has: of a word with white space in it.
    const std::string role = message.role + " :";
    out.push_back(fast_hash(role.data(), role.size()));
    append_words(message.content, letters, out);
  }
  return out;
}

uint64_t hash_words(const Words& words) {
  return fast_hash(words.data(), words.size() * sizeof words[0]);
}

double overlap(const Words& a, const Words& b) {
  const Words left = grams(a, 3), right = grams(b, 3);
  if (left.empty() || right.empty()) return 0;
  Counts counts(left.size());
  for (const uint64_t gram : left) ++counts[gram];
  int64_t common = 0;
  for (const uint64_t gram : right)
    if (uint32_t* count = counts.find(gram); count != nullptr && *count > 0) {
      --*count;
      ++common;
    }
  return 2.0 * static_cast<double>(common) / static_cast<double>(left.size() + right.size());
}

int64_t longest_quote(const Words& prompt, const Words& answer) {
  constexpr auto kLength = static_cast<size_t>(kQuoteWords);
  if (prompt.size() < kLength || answer.size() < kLength) return 0;
  const Words known = grams(prompt, kLength);
  Counts counts(known.size());
  for (const uint64_t gram : known) counts[gram] = 1;
  int64_t longest = 0, run = 0;
  for (const uint64_t gram : grams(answer, kLength)) {
    run = counts.find(gram) != nullptr ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest == 0 ? 0 : longest + kQuoteWords - 1;
}

}  // namespace pref::audit
