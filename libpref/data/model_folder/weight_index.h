// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json: which shard holds which tensor. Shard names are plain file names, so
// that none leads out of the folder.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace pref {

constexpr uint64_t kMaxIndexBytes = 64'000'000;

struct WeightIndex {
  std::map<std::string, std::string> shard_of;  ///< tensor name to file name
  std::set<std::string> shards;
  std::optional<uint64_t> total_size;
};

/// `path` is for messages. Throws ErrorKind::data with the path and the place in the file.
WeightIndex parse_weight_index(const std::string& text, const std::string& path);

}  // namespace pref
