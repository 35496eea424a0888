// SPDX-License-Identifier: Apache-2.0
// Links are resolved by realpath once; what is then opened is the resolved path.
#include "libpref/data/model_folder/model_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

namespace fs = std::filesystem;
constexpr const char* kWhere = "model folder";

bool lies_within(const fs::path& file, const fs::path& folder) {
  const auto [end, at] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  return end == folder.end() && at != file.end();
}

}  // namespace

bool is_plain_file_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.size() > 255) return false;
  return std::none_of(name.begin(), name.end(), [](unsigned char c) {
    return c == '/' || c == '\\' || c < 0x20 || c == 0x7f;
  });
}

void require_model_folder(const std::string& folder, const std::string& wanted) {
  const FileInfo info = posix_file_system().info(folder);
  require(info.exists, ErrorKind::missing_input, kWhere, folder, ": no such folder; looked for ",
          wanted,
          " in it. Give the path of a downloaded Hugging Face model folder (a hub name alone is "
          "not a path).");
  require(info.is_directory, ErrorKind::missing_input, kWhere, folder,
          ": not a folder; looked for ", wanted, " in it. Give the folder that holds the file.");
}

std::string find_model_file(const std::string& folder, const std::string& name) {
  require(is_plain_file_name(name), ErrorKind::data, kWhere, folder, ": ", escape_text(name),
          " is not the plain name of a file in this folder.");
  const std::string path = join_path(folder, name);
  std::error_code error;
  const fs::file_status entry = fs::symlink_status(path, error);
  if (entry.type() == fs::file_type::not_found) return "";
  require(!error, ErrorKind::missing_input, kWhere, path, ": cannot be examined: ", error.message(),
          ".");
  if (entry.type() != fs::file_type::symlink) {
    require(entry.type() == fs::file_type::regular, ErrorKind::data, kWhere, path,
            ": not a regular file. Put the file itself in its place.");
    return path;
  }
  const fs::path target = fs::canonical(path, error);
  require(!error, ErrorKind::data, kWhere, path, ": the link leads nowhere (", error.message(),
          "). Was the download interrupted? Download the model again.");
  const fs::path root = fs::canonical(folder, error);
  require(!error, ErrorKind::missing_input, kWhere, folder,
          ": cannot be resolved: ", error.message(), ".");
  const bool in_cache = root.parent_path().filename() == "snapshots" &&
                        lies_within(target, root.parent_path().parent_path() / "blobs");
  require(in_cache || lies_within(target, root), ErrorKind::data, kWhere, path,
          ": the link leads to ", escape_text(target.string()),
          ", outside the folder and its hub cache. Copy the file into the folder.");
  require(fs::is_regular_file(target, error), ErrorKind::data, kWhere, path, ": the link leads to ",
          escape_text(target.string()), ", which is not a regular file.");
  return target.string();
}

bool read_model_file(const std::string& folder, const std::string& name, uint64_t max_bytes,
                     std::string* text) {
  const std::string path = find_model_file(folder, name);
  if (path.empty()) return false;
  const uint64_t size = posix_file_system().info(path).size;
  require(size <= max_bytes, ErrorKind::data, kWhere, join_path(folder, name), ": has ", size,
          " bytes; the cap for this file is ", max_bytes, ".");
  *text = posix_file_system().read(path, max_bytes);
  return true;
}

std::string list_lines(const std::vector<std::string>& lines) {
  constexpr size_t kShown = 20;
  std::string out;
  for (size_t i = 0; i < std::min(lines.size(), kShown); ++i) out += "\n  " + lines[i];
  if (lines.size() > kShown) out += "\n  and " + std::to_string(lines.size() - kShown) + " more";
  return out;
}

}  // namespace pref
