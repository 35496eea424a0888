// SPDX-License-Identifier: Apache-2.0
// PCRE2 10.42 knows the characters of Unicode 14; the engines behind the tokenizers and tiktoken
// packages know those of Unicode 16. The difference is additions only, so a text is matched with
// each younger character replaced by an older one of the same general category (and script, for
// Han) and of the same length in UTF-8: places stay where they are.
#pragma once
#include <string>
#include <string_view>

namespace pref {

/// `text` itself when it has no character of Unicode 15 to 16; otherwise `buffer`, filled.
std::string_view with_older_characters(std::string_view text, std::string& buffer);

}  // namespace pref
