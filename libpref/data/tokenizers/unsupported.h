// SPDX-License-Identifier: Apache-2.0
// A tokenizer file that is sound but asks for something that is not built. load_tokenizer may then
// turn to another file of the folder; a damaged file never gets that second chance.
#pragma once
#include "libpref/base/error.h"

namespace pref {

class UnsupportedTokenizer : public Error {
 public:
  explicit UnsupportedTokenizer(std::string_view text)
      : Error(ErrorKind::data, "tokenizer", text) {}
};

template <class... Parts>
[[noreturn]] void fail_unsupported(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw UnsupportedTokenizer(text.str());
}

}  // namespace pref
