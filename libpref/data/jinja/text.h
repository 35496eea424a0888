// SPDX-License-Identifier: Apache-2.0
// Cutting, padding and replacing of texts, shared by methods and filters.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/jinja/value.h"

namespace pref::jinja {

/// Without the characters of *set (nullptr: white space) at the chosen ends.
std::string strip_text(std::string_view text, const std::string* set, bool left, bool right);

/// str.split and str.rsplit, at most `most` cuts (-1: all).
std::vector<std::string_view> split_words(std::string_view text, int64_t most);
std::vector<std::string_view> split_words_right(std::string_view text, int64_t most);
std::vector<std::string_view> split_text(std::string_view text, std::string_view mark,
                                         int64_t most);
std::vector<std::string_view> split_text_right(std::string_view text, std::string_view mark,
                                               int64_t most);
/// str.splitlines: at every line break that Unicode knows.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

/// str.replace, at most `most` times (-1: all).
std::string replace_text(Budget& budget, const std::string& text, const std::string& old,
                         const std::string& with, int64_t most);

enum class Padding { left, right, both };
std::string pad_text(Budget& budget, const std::string& text, int64_t width,
                     const std::string& fill, Padding padding);

/// str.isupper and str.islower: a cased character and none for which `other` holds.
bool is_cased_as(std::string_view text, bool (*other)(uint32_t));

}  // namespace pref::jinja
