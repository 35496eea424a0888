// SPDX-License-Identifier: Apache-2.0
// Looks at every row on its way through load_preferences: what `pref audit` and `pref inspect` are
// built on, so that they see what training sees. With a watcher (DataOptions::watcher) rows that
// cannot be used are only reported to it: on_bad_row=skip writes no rejects.jsonl, and a data set
// without any usable row is no error.
#pragma once
#include <string>

#include "libpref/data/dialect.h"
#include "libpref/data/encode_row.h"
#include "libpref/data/json_row.h"

namespace pref {

/// Both are called by several threads at once, in any order; row.place tells rows apart.
class RowWatcher {
 public:
  virtual ~RowWatcher() = default;
  virtual void usable(const ParsedRow& parsed, const EncodedRow& encoded) = 0;
  /// `place` is "path:line".
  virtual void unusable(const std::string& place, const RowError& error) = 0;
};

}  // namespace pref
