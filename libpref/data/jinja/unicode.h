// SPDX-License-Identifier: Apache-2.0
// Text by code points, with upper and lower case as Python's str has them. Everything here takes
// valid UTF-8. The tables are generated (make_unicode_tables.py): results depend on no locale.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pref::jinja {

struct CodeRange {
  uint32_t first, last;
};
/// Every `step`-th character of first..last maps to itself plus `added`.
struct CaseRun {
  uint32_t first, last, step;
  int32_t added;
};
/// A character that maps to two or three; 0 where there is none.
struct CaseSpecial {
  uint32_t code, mapped[3];
};
extern const std::span<const CodeRange> kNotPrintable, kCased, kCaseIgnorable;
extern const std::span<const CaseRun> kLower, kUpper, kTitle;
extern const std::span<const CaseSpecial> kUpperSpecial, kTitleSpecial;

/// The code point at text[*offset]; moves *offset behind it.
uint32_t next_code_point(std::string_view text, size_t* offset);
void append_code_point(std::string& out, uint32_t code);

bool is_ascii(std::string_view text);
size_t count_code_points(std::string_view text);
/// The byte offset of code point number `index`, at most text.size().
size_t code_point_offset(std::string_view text, size_t index);

bool is_printable(uint32_t code);
bool is_cased(uint32_t code);
bool is_upper(uint32_t code);
bool is_lower(uint32_t code);

/// str.upper, str.lower, str.capitalize and str.title.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_capitalized(std::string_view text);
std::string to_title(std::string_view text);

}  // namespace pref::jinja
