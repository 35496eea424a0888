// SPDX-License-Identifier: Apache-2.0
// See unicode.h. utf8proc composes and decomposes; everything is asked per code point otherwise.
#include "libpref/data/tokenizers/unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "libpref/base/error.h"
#include "libpref/data/tokenizers/package_tables.h"

namespace pref {

void append_character(std::string& out, char32_t character) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool is_ascii(std::string_view text) {
  uint8_t any = 0;
  for (const char c : text) any |= static_cast<uint8_t>(c);
  return any < 0x80;
}

namespace {

void append_mapped(std::string_view text, NormalForm form, std::string& out) {
  if (is_ascii(text)) {
    out.append(text);
    return;
  }
  // STABLE: the published forms, which no later version of Unicode changes.
  int options = UTF8PROC_STABLE;
  options |=
      form == NormalForm::nfc || form == NormalForm::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* mapped = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                 static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(mapped, std::free);
  require(size >= 0, ErrorKind::internal, "unicode",
          "normalization failed: ", size < 0 ? utf8proc_errmsg(size) : "");
  out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
}

utf8proc_category_t category(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

}  // namespace

void append_normal_form(std::string_view text, NormalForm form, std::string& out) {
  // Nothing moves or joins across an inert character, so the text between two is a text of its own.
  size_t first = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!inert_in_normal_forms(next_character(text, at))) continue;
    append_mapped(text.substr(first, begin - first), form, out);
    out.append(text.substr(begin, at - begin));
    first = at;
  }
  append_mapped(text.substr(first), form, out);
}

void append_lower_case(std::string_view text, std::string& out) {
  for (size_t at = 0; at < text.size();) {
    const char32_t character = next_character(text, at);
    if (character < 0x80)
      out += static_cast<char>(character >= 'A' && character <= 'Z' ? character + 32 : character);
    else if (character == 0x130)  // the only character whose lower case is two characters
      out += "i\xCC\x87";
    else if (const char32_t later = later_lower_case(character); later != 0)
      append_character(out, later);
    else
      append_character(
          out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character))));
  }
}

void append_without_marks(std::string_view text, std::string& out) {
  const auto is_mark = [](char32_t c) {
    const auto kind = category(c);
    const bool mark = kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC ||
                      kind == UTF8PROC_CATEGORY_ME;
    return (mark && !later_mark(c)) || c == 0x1CF2 || c == 0x1CF3;  // marks until Unicode 12
  };
  for (size_t at = 0; at < text.size();) {
    const size_t first = at;
    if (!is_mark(next_character(text, at))) out.append(text.substr(first, at - first));
  }
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL ||
         kind == UTF8PROC_CATEGORY_NO || later_number(c);
}

bool is_punctuation_mark(char32_t c) {
  if (c < 0x80)
    return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
           (c >= 0x7B && c <= 0x7E);
  const auto kind = category(c);
  if (c == 0x166D || c == 0x111C9) return true;  // punctuation when the package's table was made
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO && !later_punctuation(c);
}

size_t white_space_prefix(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size() && is_white_space(next_character(text, at));) end = at;
  return end;
}

size_t white_space_suffix(std::string_view text) {
  size_t first = text.size();
  while (first > 0) {
    size_t at = first - 1;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    size_t end = at;
    if (!is_white_space(next_character(text, end))) break;
    first = at;
  }
  return text.size() - first;
}

}  // namespace pref
