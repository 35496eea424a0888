// SPDX-License-Identifier: Apache-2.0
// Where the Unicode tables inside the tokenizers package differ from utf8proc's (Unicode 15). Its
// normal forms and classes of marks and punctuation are those of Unicode 9 or so, its numbers and
// lower case those of Unicode 17; ids must be equal, so we follow it. Found by comparing every code
// point; what later versions of utf8proc know is covered as far as Unicode 17.
#pragma once

namespace pref {

/// A character that the package's normal forms leave alone, whatever stands beside it.
bool inert_in_normal_forms(char32_t character);
bool later_mark(char32_t character);            ///< of category M*, unknown to the package
bool later_punctuation(char32_t character);     ///< of category P*, unknown to the package
bool later_number(char32_t character);          ///< of category N* in Unicode 16 and 17
char32_t later_lower_case(char32_t character);  ///< lower case since Unicode 16 or 17; 0: none

}  // namespace pref
