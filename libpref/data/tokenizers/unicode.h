// SPDX-License-Identifier: Apache-2.0
// What tokenizers ask of Unicode: normal forms, lower case, classes of characters. The one file
// that sees utf8proc is unicode.cpp. All texts are valid UTF-8.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pref {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// The code point at text[at]; `at` moves behind it.
inline char32_t next_character(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[i])); };
  const char32_t lead = byte(at);
  if (lead < 0x80) return ++at, lead;
  if (lead < 0xE0) return at += 2, (lead & 0x1F) << 6 | (byte(at - 1) & 0x3F);
  if (lead < 0xF0)
    return at += 3, (lead & 0x0F) << 12 | (byte(at - 2) & 0x3F) << 6 | (byte(at - 1) & 0x3F);
  at += 4;
  return (lead & 0x07) << 18 | (byte(at - 3) & 0x3F) << 12 | (byte(at - 2) & 0x3F) << 6 |
         (byte(at - 1) & 0x3F);
}
void append_character(std::string& out, char32_t character);

bool is_ascii(std::string_view text);

/// Appends to `out`.
void append_normal_form(std::string_view text, NormalForm form, std::string& out);
/// Character by character, without regard to context, as Rust's char::to_lowercase.
void append_lower_case(std::string_view text, std::string& out);
/// Without the characters of the general categories Mn, Mc and Me.
void append_without_marks(std::string_view text, std::string& out);

bool is_white_space(char32_t character);       ///< the property White_Space
bool is_numeric(char32_t character);           ///< Nd, Nl, No
bool is_punctuation_mark(char32_t character);  ///< ASCII punctuation or a category P*
/// Bytes of the longest prefix, or suffix, of White_Space characters.
size_t white_space_prefix(std::string_view text);
size_t white_space_suffix(std::string_view text);

}  // namespace pref
