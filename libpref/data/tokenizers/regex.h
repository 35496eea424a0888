// SPDX-License-Identifier: Apache-2.0
// Split patterns of tokenizer files, matched by PCRE2's just-in-time compiler. The one file that
// sees PCRE2 is regex.cpp. Patterns are translated first (regex_dialect.h), so that they mean what
// they mean to the engine they were written for.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "libpref/data/tokenizers/regex_dialect.h"

namespace pref {

class Regex {
 public:
  /// Throws UnsupportedTokenizer when the pattern uses something that is not translated, with
  /// `place` in front.
  Regex(std::string_view pattern, RegexDialect dialect, const std::string& place);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  /// The text to search instead of `text`: of equal length, with characters that are younger than
  /// PCRE2's tables replaced by older ones of the same kind. `buffer` holds it where it differs.
  static std::string_view subject(std::string_view text, std::string& buffer);

  /// The first match at or behind `from`: its place, true. Thread-safe. `subject` is valid UTF-8.
  /// Throws ErrorKind::data when the pattern backtracks without end.
  bool find(std::string_view subject, size_t from, size_t& begin, size_t& end) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
  std::string pattern_;
};

}  // namespace pref
