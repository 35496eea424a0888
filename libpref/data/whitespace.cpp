// SPDX-License-Identifier: Apache-2.0
// See whitespace.h.
#include "libpref/data/whitespace.h"

#include <cstdint>

namespace pref {
namespace {

/// The start of the character that ends at `end` >= 1.
size_t previous_character(std::string_view text, size_t end) {
  return character_start(text, end - 1);
}

}  // namespace

size_t whitespace_bytes(std::string_view text, size_t offset) {
  if (offset >= text.size()) return 0;
  const std::string_view rest = text.substr(offset);
  const auto lead = static_cast<uint8_t>(rest[0]);
  if (lead == ' ' || (lead >= 0x09 && lead <= 0x0D) || (lead >= 0x1C && lead <= 0x1F)) return 1;
  if (lead < 0x80) return 0;
  if (rest.starts_with("\u0085") || rest.starts_with("\u00A0")) return 2;
  if (rest.size() < 3) return 0;
  for (const std::string_view space : {"\u1680", "\u2028", "\u2029", "\u202F", "\u205F", "\u3000"})
    if (rest.starts_with(space)) return 3;
  const auto third = static_cast<uint8_t>(rest[2]);
  return rest.starts_with("\xE2\x80") && third >= 0x80 && third <= 0x8A ? 3 : 0;  // U+2000..U+200A
}

std::string_view strip(std::string_view text) {
  while (const size_t bytes = whitespace_bytes(text, 0)) text.remove_prefix(bytes);
  while (!text.empty()) {
    const size_t last = previous_character(text, text.size());
    if (whitespace_bytes(text, last) == 0) break;
    text = text.substr(0, last);
  }
  return text;
}

size_t character_start(std::string_view text, size_t offset) {
  if (offset >= text.size()) return text.size();
  while (offset > 0 && (static_cast<uint8_t>(text[offset]) & 0xC0) == 0x80) --offset;
  return offset;
}

size_t word_start(std::string_view text, size_t offset) {
  size_t end = character_start(text, offset);
  while (end > 0) {
    const size_t before = previous_character(text, end);
    if (whitespace_bytes(text, before) > 0) return end;
    end = before;
  }
  return 0;
}

}  // namespace pref
