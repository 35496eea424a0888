// SPDX-License-Identifier: Apache-2.0
// What commands that read a data set and answer in text share.
#pragma once
#include <iostream>
#include <string>
#include <vector>

#include "libpref/base/error.h"
#include "libpref/base/terminal.h"
#include "libpref/base/yaml.h"
#include "libpref/data/load_preferences.h"

namespace pref::cli {

inline std::vector<Setting> parse_settings(const std::vector<std::string>& texts) {
  std::vector<Setting> out;
  for (const auto& text : texts) out.push_back(parse_setting_argument(text));
  return out;
}

/// Options that a command does not look at must not be given.
inline void refuse_ignored(const DataOptions& data, const char* command) {
  require(data.dataset_name.empty(), ErrorKind::option, command,
          "dataset_name has no meaning here; name the data as arguments");
  require(data.rejects_folder.empty(), ErrorKind::option, command,
          "rejects_folder has no meaning here; nothing is written");
}

inline bool has_colors(const std::ostream& out) {
  return &out == &std::cout && stdout_is_terminal();
}

}  // namespace pref::cli
