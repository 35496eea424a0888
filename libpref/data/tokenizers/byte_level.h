// SPDX-License-Identifier: Apache-2.0
// The alphabet in which GPT-2's and later vocabularies write bytes: printable characters stand for
// themselves, the other 68 bytes for U+0100 onwards in order.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pref {

/// Appends the characters of the alphabet that stand for `bytes`.
void append_byte_characters(std::string_view bytes, std::string& out);
/// Appends the bytes that `text` stands for. False, and nothing appended, when a character of it is
/// not of the alphabet.
bool append_character_bytes(std::string_view text, std::string& out);

/// Appends `bytes` with what is not UTF-8 replaced by U+FFFD, one for each maximal subpart (the
/// practice of the Unicode Standard, as Rust's from_utf8_lossy).
void append_lossy(std::string_view bytes, std::string& out);

}  // namespace pref
