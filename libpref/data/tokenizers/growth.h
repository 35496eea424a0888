// SPDX-License-Identifier: Apache-2.0
// How far the steps of a tokenizer.json may lengthen a text. Published ones write a few bytes more;
// a chain of replacements that doubles its input fills any memory.
#pragma once
#include <cstddef>

#include "libpref/base/error.h"

namespace pref {

/// A single character may become 33 bytes (U+FDFA under NFKC), a short text may get a long prefix.
constexpr size_t growth_limit(size_t bytes) { return 64 * bytes + (1 << 16); }

inline void check_growth(size_t bytes, size_t most) {
  require(bytes <= most, ErrorKind::data, "tokenizer",
          "the normalizer or decoder of tokenizer.json makes a text longer than ", most,
          " bytes, 64 times what it was given. No published tokenizer does; download the file "
          "again.");
}

}  // namespace pref
