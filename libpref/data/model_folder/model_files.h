// SPDX-License-Identifier: Apache-2.0
// Files of a model folder: which names and which links are followed. A hub cache is made of links,
// models--x--y/snapshots/<revision>/<file> -> ../../blobs/<digest>, and only such ones may leave
// the folder.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pref {

/// One component of a path that names a file: not empty, ".", "..", no separator, NUL or control
/// byte.
bool is_plain_file_name(const std::string& name);

/// missing_input unless `folder` is a folder; `wanted` says what was looked for in it.
void require_model_folder(const std::string& folder, const std::string& wanted);

/// The path to open for file `name` of `folder`, links resolved: a regular file in the folder or in
/// its hub cache's blobs. "" when there is no such entry. ErrorKind::data for a name that is not
/// plain, a link that leads nowhere or elsewhere, and for anything that is not a regular file.
std::string find_model_file(const std::string& folder, const std::string& name);

/// Reads file `name` into `text`; false when it is not there. Larger than max_bytes:
/// ErrorKind::data.
bool read_model_file(const std::string& folder, const std::string& name, uint64_t max_bytes,
                     std::string* text);

/// The lines of a list in a message, indented; at most 20, then a count of the rest.
std::string list_lines(const std::vector<std::string>& lines);

}  // namespace pref
