// SPDX-License-Identifier: Apache-2.0
// The well-formed byte sequences of the Unicode Standard, table 3-7.
#include "libpref/base/utf8.h"

#include <algorithm>

namespace pref {

size_t utf8_length(std::string_view text, size_t at) {
  if (at >= text.size()) return 0;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xc2 && lead < 0xe0   ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || text.size() - at < length) return 0;
  // The second byte excludes overlong forms, surrogates and code points above U+10FFFF.
  const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  return length;
}

size_t find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size(); ++width) at += std::max<size_t>(1, utf8_length(text, at));
  return width;
}

std::string cut_to_width(std::string_view text, size_t width) {
  size_t at = 0;
  for (; width > 0 && at < text.size(); --width) at += std::max<size_t>(1, utf8_length(text, at));
  return std::string(text.substr(0, at));
}

}  // namespace pref
