// SPDX-License-Identifier: Apache-2.0
// Run files: a YAML mapping of option names to scalars or flat lists, each with its place. yaml-cpp
// reads the text; aliases, tags, nested mappings, duplicate keys, files above 1 MB and nesting
// above 32 are refused.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/options.h"

namespace pref {

/// The settings of a YAML text in order. `path` is for messages. Throws ErrorKind::option with
/// path:line:column.
std::vector<Setting> parse_yaml_settings(std::string_view text, const std::string& path);
std::vector<Setting> read_yaml_settings(const std::string& path);
/// `name=value` from a command line.
Setting parse_setting_argument(std::string_view argument);

}  // namespace pref
