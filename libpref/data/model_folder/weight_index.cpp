// SPDX-License-Identifier: Apache-2.0
// See weight_index.h.
#include "libpref/data/model_folder/weight_index.h"

#include <cmath>

#include "libpref/base/error.h"
#include "libpref/data/model_folder/model_files.h"
#include "libpref/data/model_folder/safetensors_format.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {

WeightIndex parse_weight_index(const std::string& text, const std::string& path) {
  using Json = nlohmann::ordered_json;
  const Json json =
      parse_json(text, "index", path,
                 {.max_bytes = kMaxIndexBytes, .max_depth = 32, .max_values = kMaxTensors + 1000});
  const auto need = [&](bool ok, const std::string& pointer, const char* required,
                        const Json* found) {
    require(ok, ErrorKind::data, "index", path, ": ", pointer, ": ", required,
            " is required, found ", found == nullptr ? "nothing" : describe_json(*found),
            ". Correct the file or download it again.");
  };
  need(json.is_object(), "/", "an object", &json);
  WeightIndex index;
  if (const auto metadata = json.find("metadata"); metadata != json.end()) {
    need(metadata->is_object(), "/metadata", "an object", &*metadata);
    if (const auto size = metadata->find("total_size"); size != metadata->end()) {
      // Some writers give a whole number as a float.
      const bool whole = size->is_number_float() && size->get<double>() >= 0 &&
                         size->get<double>() < 0x1p63 &&
                         size->get<double>() == std::floor(size->get<double>());
      need(size->is_number_unsigned() || whole, "/metadata/total_size", "a number of bytes",
           &*size);
      index.total_size = whole ? static_cast<uint64_t>(size->get<double>()) : size->get<uint64_t>();
    }
  }
  const auto map = json.find("weight_map");
  need(map != json.end() && map->is_object() && !map->empty(), "/weight_map",
       "an object of tensor name to file name", map == json.end() ? nullptr : &*map);
  for (const auto& [name, shard] : map->items()) {
    const std::string pointer = "/weight_map/" + escape_text(name);
    need(shard.is_string(), pointer, "a file name", &shard);
    const std::string& file = shard.get_ref<const std::string&>();
    require(is_plain_file_name(file), ErrorKind::data, "index", path, ": ", pointer, ": ",
            escape_text(file), " is not the plain name of a file in this folder. Download the index again.");
    require(file.ends_with(".safetensors"), ErrorKind::data, "index", path, ": ", pointer, ": ",
            escape_text(file), " is not a .safetensors file. Download the safetensors form of the model.");
    index.shard_of.emplace(name, file);
    index.shards.insert(file);
  }
  return index;
}

}  // namespace pref
