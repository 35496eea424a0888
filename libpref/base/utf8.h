// SPDX-License-Identifier: Apache-2.0
// Strict UTF-8 (RFC 3629): what JSON output, YAML input and aligned text need of it.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace pref {

/// The length in bytes (1-4) of the valid character at text[at]; 0 when the bytes there are none
/// (overlong forms, surrogates, code points above U+10FFFF, truncation).
size_t utf8_length(std::string_view text, size_t at);

/// The first byte that is not valid UTF-8, or npos.
size_t find_invalid_utf8(std::string_view text);

/// Code points, each taken to be one column wide.
size_t display_width(std::string_view text);

/// At most `width` columns of the text, cut between code points.
std::string cut_to_width(std::string_view text, size_t width);

}  // namespace pref
