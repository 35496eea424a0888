// SPDX-License-Identifier: Apache-2.0
// See dataset_files.h.
#include "libpref/data/dataset_files.h"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/base/random.h"
#include "libpref/data/hub_cache.h"

namespace pref {
namespace {

constexpr double kMaxFraction = 1000;

std::string_view without(std::string_view name, std::string_view ending) {
  return name.ends_with(ending) ? name.substr(0, name.size() - ending.size()) : name;
}

/// Up to `=`, `:` and `@`, and to the second slash: what may be a name of the Hub.
bool names_the_hub(std::string_view name) {
  name = name.substr(0, name.find_first_of("@:"));
  const size_t first = name.find('/');
  if (first == std::string_view::npos) return false;
  const size_t second = name.find('/', first + 1);
  return is_hub_name(name.substr(0, second)) && !is_dataset_file(name.substr(0, second));
}

std::vector<std::string> folder_files(FileSystem& files, const std::string& folder) {
  std::vector<std::string> out;
  for (const std::string& entry : files.list(folder))
    if (!entry.starts_with('.') && is_dataset_file(entry) &&
        files.info(join_path(folder, entry)).is_regular)
      out.push_back(join_path(folder, entry));
  require(!out.empty(), ErrorKind::missing_input, "data", folder,
          ": no data file in the folder; .jsonl, .json, .csv (also .gz and .zst) or .parquet is "
          "required");
  return out;
}

std::vector<std::string> glob_files(FileSystem& files, const std::string& name) {
  const size_t slash = name.rfind('/');
  const bool here = slash == std::string::npos;
  const std::string folder = here ? "." : name.substr(0, std::max<size_t>(slash, 1));
  const std::string pattern = here ? name : name.substr(slash + 1);
  require(files.info(folder).is_directory, ErrorKind::missing_input, "data", name, ": no folder ",
          folder);
  std::vector<std::string> out;
  for (const std::string& entry : files.list(folder))
    if (fnmatch(pattern.c_str(), entry.c_str(), FNM_PERIOD) == 0)
      out.push_back(here ? entry : join_path(folder, entry));
  require(!out.empty(), ErrorKind::missing_input, "data", name, ": no file matches ", pattern);
  return out;
}

std::vector<std::string> expand(FileSystem& files, const std::string& name) {
  const FileInfo info = files.info(name);
  if (info.is_directory) return folder_files(files, name);
  if (info.exists) return {name};
  if (name.substr(name.rfind('/') + 1).find_first_of("*?[") != std::string::npos)
    return glob_files(files, name);
  require(names_the_hub(name), ErrorKind::missing_input, "data", name, ": no such file or folder");
  std::vector<std::string> paths = hub_dataset_files(files, name);
  for (const std::string& path : paths) log_info(name, " has ", path);
  return paths;
}

}  // namespace

bool is_dataset_file(std::string_view name) {
  if (name.ends_with(".parquet")) return true;
  const std::string_view plain = without(without(name, ".gz"), ".zst");
  if (plain.ends_with(".jsonl") || plain.ends_with(".csv")) return true;
  const std::string_view file = plain.substr(plain.rfind('/') + 1);
  return plain.ends_with(".json") && file != "dataset_info.json" && file != "dataset_infos.json" &&
         file != "dataset_dict.json" && file != "state.json";
}

std::vector<std::string> expand_dataset_names(FileSystem& files,
                                              const std::vector<std::string>& names) {
  require(!names.empty(), ErrorKind::option, "data", "no data set is named; set dataset_name");
  std::vector<std::string> out;
  for (const std::string& name : names)
    for (std::string& path : expand(files, name)) out.push_back(std::move(path));
  return out;
}

std::vector<MixtureEntry> parse_mixture(FileSystem& files, const std::vector<std::string>& names) {
  require(!names.empty(), ErrorKind::option, "data", "no data set is named; set dataset_name");
  std::vector<MixtureEntry> out;
  for (const std::string& name : names) {
    MixtureEntry entry{.name = name};
    const size_t equals = name.rfind('=');
    if (equals != std::string::npos && !files.info(name).exists) {
      const std::string text = name.substr(equals + 1);
      const char* end = text.data() + text.size();
      const auto [reached, error] = std::from_chars(text.data(), end, entry.fraction);
      require(error == std::errc() && reached == end && std::isfinite(entry.fraction) &&
                  entry.fraction > 0 && entry.fraction <= kMaxFraction,
              ErrorKind::option, "data", name, ": the fraction \"", text,
              "\" must be a number above 0 and at most ", kMaxFraction,
              "; write path=0.5 for half of the rows, path=2 for each row twice");
      entry.name = name.substr(0, equals);
    }
    entry.paths = expand_dataset_names(files, {entry.name});
    out.push_back(std::move(entry));
  }
  return out;
}

std::vector<uint32_t> mixture_copies(int64_t rows, double fraction, int64_t seed, size_t index) {
  const double whole = std::floor(fraction);
  std::vector<uint32_t> copies(static_cast<size_t>(rows), static_cast<uint32_t>(whole));
  const auto more =
      static_cast<size_t>(std::llround((fraction - whole) * static_cast<double>(rows)));
  RandomStream random(static_cast<uint64_t>(seed), "mixture", index);
  const std::vector<int64_t> order = random.permutation(rows);
  for (size_t i = 0; i < more; ++i) ++copies[static_cast<size_t>(order[i])];
  return copies;
}

}  // namespace pref
