// SPDX-License-Identifier: Apache-2.0
// Option values as text: the small pieces of YAML's scalar syntax that options, YAML files and
// messages share.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pref::option_detail {

/// The shortest decimal text that reads back as the same double.
std::string format_number(double value);

std::string_view trimmed(std::string_view text);

/// null, none or ~, in any case, perhaps between spaces.
bool is_null_word(std::string_view text);

/// The text on one line: control characters as \n, \r, \t or \xNN.
std::string escaped_controls(std::string_view text);

/// The text in double quotes with \", \\, \n, \r, \t and \xNN; unquoted() undoes it, and 'single
/// quotes' with ''.
std::string quoted(std::string_view text);
std::optional<std::string> unquoted(
    std::string_view text);  ///< nothing when not wholly one quoted text

/// quoted(), of at most `width` columns of the text: for messages.
std::string shown(std::string_view text, size_t width = 200);

/// The elements of "[a, b]" or "a,b", each still quoted when it was; nothing when malformed. "" and
/// "[]" are empty lists.
std::optional<std::vector<std::string>> split_list(std::string_view text);

}  // namespace pref::option_detail
