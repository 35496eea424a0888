// SPDX-License-Identifier: Apache-2.0
// White space as Python's str.strip and str.isspace see it: the Unicode property White_Space and
// U+001C..U+001F. All texts are valid UTF-8.
#pragma once
#include <cstddef>
#include <string_view>

namespace pref {

/// Bytes of the white-space character at `offset`; 0 when the character there is none.
size_t whitespace_bytes(std::string_view text, size_t offset);

/// `text` without leading and trailing white space.
std::string_view strip(std::string_view text);

/// The greatest offset <= `offset` at which a character begins (or the text ends).
size_t character_start(std::string_view text, size_t offset);

/// The greatest offset <= `offset` that directly follows white space; 0 when there is none.
size_t word_start(std::string_view text, size_t offset);

}  // namespace pref
