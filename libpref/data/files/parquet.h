// SPDX-License-Identifier: Apache-2.0
// Parquet through a small Python program that comes with the library (parquet_to_jsonl.py, built
// in): it runs by itself where python3 can import pyarrow, and its result is kept in the user's
// cache folder under the digest of the file. Anywhere else the error gives the line to run.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/file_system.h"

namespace pref {

/// Path of the JSON lines of the Parquet file `path`, whose content is `bytes`. The interpreter is
/// PREF_PYTHON, else python3; the folder is XDG_CACHE_HOME, else ~/.cache. Throws ErrorKind::data.
std::string convert_parquet(FileSystem& files, const std::string& path, std::string_view bytes);

/// Runs a program (looked up on PATH) without a shell and waits for it; `errors` is the end of what
/// it wrote to stderr. Returns its exit code, -1 where it cannot start or a signal ended it.
int run_program(const std::vector<std::string>& arguments, std::string& errors);

/// `text` as one word of a shell command line, for messages.
std::string shell_word(std::string_view text);

}  // namespace pref
