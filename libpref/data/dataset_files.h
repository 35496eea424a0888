// SPDX-License-Identifier: Apache-2.0
// What `dataset_name` and `dataset_mixer` name: files, folders, globs, data sets of the Hub's local
// cache, each with a fraction of its rows.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/file_system.h"

namespace pref {

/// By the ending: .jsonl, .json, .csv (each also .gz, .zst) or .parquet; not dataset_info.json and
/// its like.
bool is_dataset_file(std::string_view name);

/// The files that `names` mean: paths, folders (their data files), globs (* and ? in the last
/// component), names of the Hub (hub_cache.h), each sorted by name. Throws missing_input where
/// nothing matches.
std::vector<std::string> expand_dataset_names(FileSystem& files,
                                              const std::vector<std::string>& names);

/// One entry of a mixture: "path", or "path=fraction". A file whose name holds the '=' is itself.
struct MixtureEntry {
  std::string name;
  double fraction = 1;  ///< of the rows; above 1 rows are repeated
  std::vector<std::string> paths;
};
/// Throws ErrorKind::option for a fraction that is none.
std::vector<MixtureEntry> parse_mixture(FileSystem& files, const std::vector<std::string>& names);

/// How often each of `rows` rows is taken: floor(fraction) times, and once more for an exact share
/// of them, drawn by seed. Entry `index` of the mixture has draws of its own.
std::vector<uint32_t> mixture_copies(int64_t rows, double fraction, int64_t seed, size_t index);

}  // namespace pref
