// SPDX-License-Identifier: Apache-2.0
// See byte_level.h.
#include "libpref/data/tokenizers/byte_level.h"

#include <array>

#include "libpref/base/utf8.h"
#include "libpref/data/tokenizers/unicode.h"

namespace pref {
namespace {

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, 512> byte{};  // -1: no character of the alphabet
};

const Alphabet& alphabet() {
  static const Alphabet made = [] {
    Alphabet a;
    a.byte.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
      a.character[static_cast<size_t>(b)] = printable ? static_cast<char32_t>(b) : next++;
      a.byte[a.character[static_cast<size_t>(b)]] = static_cast<int16_t>(b);
    }
    return a;
  }();
  return made;
}

}  // namespace

void append_byte_characters(std::string_view bytes, std::string& out) {
  for (const char b : bytes) append_character(out, alphabet().character[static_cast<uint8_t>(b)]);
}

bool append_character_bytes(std::string_view text, std::string& out) {
  const size_t before = out.size();
  for (size_t at = 0; at < text.size();) {
    const char32_t character = next_character(text, at);
    if (character >= 512 || alphabet().byte[character] < 0) {
      out.resize(before);
      return false;
    }
    out += static_cast<char>(alphabet().byte[character]);
  }
  return true;
}

void append_lossy(std::string_view bytes, std::string& out) {
  for (size_t at = 0; at < bytes.size();) {
    if (const size_t length = utf8_length(bytes, at); length > 0) {
      out.append(bytes.substr(at, length));
      at += length;
      continue;
    }
    out += "\xEF\xBF\xBD";
    // The maximal subpart: as many bytes as could begin a character.
    const auto lead = static_cast<uint8_t>(bytes[at]);
    const size_t whole = lead >= 0xF0 && lead < 0xF5 ? 4 : lead >= 0xE0 && lead < 0xF0 ? 3 : 1;
    size_t taken = 1;
    while (taken + 1 < whole && at + taken < bytes.size()) {
      std::string probe(bytes.substr(at, taken + 1));
      // Does some continuation make it whole?
      probe.append(whole - probe.size(), '\x80');
      if (utf8_length(probe, 0) == 0) break;
      ++taken;
    }
    at += taken;
  }
}

}  // namespace pref
