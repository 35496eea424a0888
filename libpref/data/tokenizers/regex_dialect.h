// SPDX-License-Identifier: Apache-2.0
// Regular expressions as two engines read them, rewritten for PCRE2. The same text means different
// things: white space, words, line ends and possessive intervals are the places.
#pragma once
#include <string>
#include <string_view>

namespace pref {

/// oniguruma: what tokenizer.json's Split patterns are written for (Ruby syntax). rust: the split
/// patterns of tiktoken, and the fixed ones inside the tokenizers package.
enum class RegexDialect { oniguruma, rust };

/// The pattern in PCRE2's syntax. Every construct is known or refused (UnsupportedTokenizer with
/// `place`, the construct and its offset), so that nothing is matched by a rule that merely looks
/// alike.
std::string translate_regex(std::string_view pattern, RegexDialect dialect,
                            const std::string& place);

}  // namespace pref
