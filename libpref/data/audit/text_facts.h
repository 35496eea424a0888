// SPDX-License-Identifier: Apache-2.0
// How the audit compares texts: as sequences of words. A word is a stretch without white space;
// characters from U+2E80 on (Chinese, Japanese, Korean), which are written without spaces, are
// words of their own. Everything here takes time linear in the texts.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "libpref/data/rows.h"

namespace pref::audit {

using Words = std::vector<uint64_t>;  ///< one hash a word

enum class Case { kept, folded };  ///< folded: ASCII letters as lower case

Words words_of(std::string_view text, Case letters = Case::kept);
/// Of a single message or a plain text: its words. Of a longer conversation: those of all messages,
/// the role of each before it.
Words words_of(const Content& content, Case letters = Case::kept);

/// Equal for equal sequences of words.
uint64_t hash_words(const Words& words);

/// The share of stretches of three words that two texts have in common, each counted as often as it
/// stands: 2 |A and B| / (|A| + |B|). 0 where a text has fewer than three words.
double overlap(const Words& a, const Words& b);

constexpr int64_t kQuoteWords = 8;
/// The longest stretch of `answer`, in words, of which every kQuoteWords consecutive words stand in
/// `prompt` as well; 0 when there is none of that length.
int64_t longest_quote(const Words& prompt, const Words& answer);

}  // namespace pref::audit
