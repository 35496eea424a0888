// SPDX-License-Identifier: Apache-2.0
// See hub_cache.h. The cache's layout: models--org--name/{refs/main, snapshots/<commit>/...}.
#include "libpref/data/hub_cache.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/data/dataset_files.h"

namespace pref {
namespace {

constexpr std::string_view kWhere = "hub";
constexpr int kMaxDepth = 4;
constexpr size_t kMaxFiles = 100'000;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_part(std::string_view part) {
  return !part.empty() && part != "." && part != ".." &&
         std::all_of(part.begin(), part.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

/// A revision may have slashes (refs/pr/1), but no part that leaves the cache.
bool is_revision(std::string_view revision) {
  for (size_t at = 0; at <= revision.size();) {
    const size_t slash = std::min(revision.find('/', at), revision.size());
    if (!is_part(revision.substr(at, slash - at))) return false;
    at = slash + 1;
  }
  return true;
}

struct DatasetName {
  std::string name, path, revision, split;
};
DatasetName parse_name(std::string_view text) {
  DatasetName out;
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    out.split = text.substr(colon + 1);
    text = text.substr(0, colon);
  }
  if (const size_t at = text.find('@'); at != std::string_view::npos) {
    out.revision = text.substr(at + 1);
    text = text.substr(0, at);
  }
  const size_t first = text.find('/');
  const size_t second = first == std::string_view::npos ? first : text.find('/', first + 1);
  out.name = text.substr(0, second);
  if (second != std::string_view::npos) out.path = text.substr(second + 1);
  return out;
}

std::string split_of(const std::string& folder, const std::string& name) {
  std::string stem = name.substr(0, name.find('.', 1));
  const size_t shard = stem.find("-of-");
  if (shard != std::string::npos) {
    const size_t dash = stem.rfind('-', shard - 1);
    stem = stem.substr(0, dash == std::string::npos ? 0 : dash);
  }
  if (stem.find_first_not_of("0123456789") == std::string::npos)
    return folder.substr(folder.rfind('/') + 1);
  return stem;
}

using Splits = std::map<std::string, std::vector<std::string>>;
void collect(FileSystem& files, const std::string& folder, int depth, size_t& count, Splits& out) {
  for (const std::string& entry : files.list(folder)) {
    if (entry.starts_with('.')) continue;
    const std::string path = join_path(folder, entry);
    const FileInfo info = files.info(path);
    require(++count <= kMaxFiles, ErrorKind::data, kWhere, folder, ": more than ", kMaxFiles,
            " files; name a folder or file of it");
    if (info.is_directory && depth < kMaxDepth)
      collect(files, path, depth + 1, count, out);
    else if (info.is_regular && is_dataset_file(entry))
      out[split_of(folder, entry)].push_back(path);
  }
}

std::string names_of(const Splits& splits) {
  std::string out;
  for (const auto& [name, paths] : splits) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

bool is_hub_name(std::string_view name) {
  const size_t slash = name.find('/');
  return slash != std::string_view::npos && is_part(name.substr(0, slash)) &&
         is_part(name.substr(slash + 1));
}

std::string hub_cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const std::string folder = environment(name); !folder.empty()) return folder;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return join_path(home, "hub");
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return join_path(cache, "huggingface/hub");
  if (const std::string home = environment("HOME"); !home.empty())
    return join_path(home, ".cache/huggingface/hub");
  return "";
}

std::string resolve_hub_folder(FileSystem& files, HubKind kind, std::string_view name,
                               std::string_view revision) {
  require(is_hub_name(name), ErrorKind::missing_input, kWhere, "\"", name,
          "\" is no name of the Hub; org/name is required");
  const std::string wanted(revision.empty() ? "main" : revision);
  require(is_revision(wanted), ErrorKind::option, kWhere, name, ": \"", wanted,
          "\" is no revision; a branch, a tag or a commit is required");
  std::string folder(kind == HubKind::model ? "models--" : "datasets--");
  for (const char c : name) folder += c == '/' ? std::string("--") : std::string(1, c);
  const std::string cache = hub_cache_folder();
  const std::string root = join_path(cache, folder), snapshots = join_path(root, "snapshots");
  std::string commit = wanted;
  const std::string ref = join_path(join_path(root, "refs"), wanted);
  if (files.info(ref).is_regular) {
    commit = files.read(ref, 1000);
    commit.erase(std::find_if(commit.begin(), commit.end(), [](char c) { return c <= ' '; }),
                 commit.end());
    require(is_part(commit), ErrorKind::data, kWhere, ref, ": holds no commit. Download again");
  }
  const std::string snapshot = join_path(snapshots, commit);
  if (is_part(commit) && files.info(snapshot).is_directory) return snapshot;
  const bool known = files.info(root).is_directory;
  fail(ErrorKind::missing_input, kWhere, name, ": no such file or folder, and ",
       known ? "the revision " + wanted + " is" : std::string("it is"),
       " not in the local Hugging Face cache (", known ? root : cache,
       "). Download it: hf download ", name, kind == HubKind::dataset ? " --repo-type dataset" : "",
       revision.empty() ? "" : " --revision " + wanted);
}

std::string resolve_model_folder(const std::string& name, std::string_view revision) {
  FileSystem& files = posix_file_system();
  if (files.info(name).exists) return name;
  const size_t at = name.find('@');
  const std::string_view repository = std::string_view(name).substr(0, at);
  if (!is_hub_name(repository)) return name;  // the reader of folders says what is missing
  if (at != std::string::npos) revision = std::string_view(name).substr(at + 1);
  const std::string folder = resolve_hub_folder(files, HubKind::model, repository, revision);
  log_info(name, " is ", folder);
  return folder;
}

std::vector<std::string> hub_dataset_files(FileSystem& files, std::string_view name) {
  const DatasetName wanted = parse_name(name);
  const std::string snapshot =
      resolve_hub_folder(files, HubKind::dataset, wanted.name, wanted.revision);
  std::string place = snapshot;
  if (!wanted.path.empty()) {
    require(is_revision(wanted.path), ErrorKind::option, kWhere, name, ": \"", wanted.path,
            "\" is no path inside of a snapshot");
    place = join_path(snapshot, wanted.path);
    const FileInfo info = files.info(place);
    if (info.is_regular) return {place};
    require(info.is_directory, ErrorKind::missing_input, kWhere, name, ": no ", wanted.path, " in ",
            snapshot);
  }
  Splits splits;
  size_t count = 0;
  collect(files, place, 0, count, splits);
  require(!splits.empty(), ErrorKind::missing_input, kWhere, name, ": no data file in ", place,
          " (looked for .jsonl, .json, .csv and .parquet). Was all of it downloaded? hf download ",
          wanted.name, " --repo-type dataset");
  const std::string split = !wanted.split.empty()      ? wanted.split
                            : splits.contains("train") ? "train"
                            : splits.size() == 1       ? splits.begin()->first
                                                       : "";
  require(!split.empty(), ErrorKind::option, kWhere, name, ": has the splits ", names_of(splits),
          "; name one: ", wanted.name, ":", splits.begin()->first);
  require(splits.contains(split), ErrorKind::missing_input, kWhere, name, ": no split ", split,
          " in ", place, "; there are ", names_of(splits));
  return splits[split];
}

}  // namespace pref
