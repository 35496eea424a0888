// SPDX-License-Identifier: Apache-2.0
// One file or an index with shards. The index and the shards must agree on every tensor; all that
// differs is one error.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/base/log.h"
#include "libpref/data/model_folder/model_files.h"
#include "libpref/data/model_folder/model_folder.h"
#include "libpref/data/model_folder/safetensors_format.h"
#include "libpref/data/model_folder/strict_json.h"
#include "libpref/data/model_folder/weight_index.h"

namespace pref {
namespace {

constexpr const char* kWhere = "model folder";
constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr size_t kDigestChunk = 1 << 24;

/// Says what stands in the folder in place of safetensors weights.
[[noreturn]] void fail_no_weights(const std::string& folder) {
  const std::vector<std::string> names = posix_file_system().list(folder);
  for (const std::string& name : names)
    if (name == "adapter_model.safetensors" || name == "adapter_model.bin")
      fail(ErrorKind::data, kWhere, folder, ": holds an adapter (", name,
           "), not a model. Merge it into its base model first.");
  for (const std::string& name : names)
    for (const char* ending : {".bin", ".pt", ".pth", ".ckpt"})
      if (name.ends_with(ending) && name != "training_args.bin")
        fail(ErrorKind::data, kWhere, folder, ": holds a PyTorch pickle (", escape_text(name),
             "), which may run code when read and is refused. Convert it with transformers: "
             "AutoModelForCausalLM.from_pretrained(...).save_pretrained(..., "
             "safe_serialization=True).");
  fail(ErrorKind::missing_input, kWhere, folder, ": neither ", kSingle, " nor ", kIndex,
       " is there.");
}

}  // namespace

WeightFiles::WeightFiles(const std::string& folder) : folder_(folder) {
  require_model_folder(folder, std::string(kSingle) + " or " + kIndex);
  FileSystem& files = posix_file_system();
  const std::string single = find_model_file(folder, kSingle),
                    index_path = find_model_file(folder, kIndex);
  if (!single.empty()) {
    if (!index_path.empty())
      log_warning("[", kWhere, "] ", folder, ": both ", kSingle, " and ", kIndex,
                  " are there; the first is used.");
    files_.push_back(std::make_unique<SafetensorsFile>(files, single));
    for (const TensorEntry& entry : files_[0]->tensors())
      by_name_[entry.name] = {files_[0].get(), &entry};
    return;
  }
  if (index_path.empty()) fail_no_weights(folder);
  std::string text;
  read_model_file(folder, kIndex, kMaxIndexBytes, &text);
  const std::string path = join_path(folder, kIndex);
  const WeightIndex index = parse_weight_index(text, path);

  std::vector<std::string> missing, paths;
  for (const std::string& shard : index.shards) {
    paths.push_back(find_model_file(folder, shard));
    if (paths.back().empty()) missing.push_back(shard);
  }
  require(missing.empty(), ErrorKind::missing_input, "index", path, ": ", missing.size(), " of ",
          index.shards.size(), " shards are missing. Download them:", list_lines(missing));

  std::vector<std::string> problems;
  std::map<std::string, std::string> shard_that_holds;
  uint64_t total = 0;
  for (size_t i = 0; const std::string& shard : index.shards) {
    files_.push_back(std::make_unique<SafetensorsFile>(files, paths[i++]));
    for (const TensorEntry& entry : files_.back()->tensors()) {
      const std::string name = escape_text(entry.name);
      total += entry.bytes;
      const auto [held, first] = shard_that_holds.emplace(entry.name, shard);
      if (!first) {
        problems.push_back(name + " is in two shards, " + held->second + " and " + shard);
        continue;
      }
      by_name_[entry.name] = {files_.back().get(), &entry};
      const auto said = index.shard_of.find(entry.name);
      if (said == index.shard_of.end()) {
        problems.push_back(name + " is in " + shard + " but not in the index");
      } else if (said->second != shard) {
        problems.push_back(name + " is in " + shard + ", not in " + said->second +
                           " as the index says");
      }
    }
  }
  for (const auto& [name, shard] : index.shard_of)
    if (!shard_that_holds.contains(name))
      problems.push_back(escape_text(name) + " is in the index (" + shard + ") but in no shard");
  require(problems.empty(), ErrorKind::data, "index", path,
          ": the index and its shards disagree; download both again:", list_lines(problems));
  // Tied tensors counted twice make total_size wrong in many published folders; the shards are what
  // counts.
  if (index.total_size && *index.total_size != total)
    log_warning("[index] ", path, ": total_size is ", *index.total_size, "; the shards hold ",
                total, " bytes.");
}

WeightFiles::Found WeightFiles::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? Found{} : found->second;
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> out;
  out.reserve(by_name_.size());
  for (const auto& [name, found] : by_name_) out.push_back(name);
  std::sort(out.begin(), out.end());
  return out;
}

void WeightFiles::read_f32(const std::string& name, const std::vector<int64_t>& shape,
                           float* out) const {
  const Found found = find(name);
  require(static_cast<bool>(found), ErrorKind::data, kWhere, folder_, ": tensor ",
          escape_text(name), " is missing.");
  require(found.entry->shape == shape, ErrorKind::data, kWhere, folder_, ": tensor ",
          escape_text(name), ": shape ", shape_text(shape), " is required, found ",
          shape_text(found.entry->shape), ".");
  convert_to_f32(found.entry->type, found.file->bytes(*found.entry).data(), found.entry->elements(),
                 out);
}

std::string WeightFiles::digest() const {
  Sha256 digest;
  for (const std::string& name : names()) {
    const Found found = find(name);
    // One line a tensor before its bytes; the shape fixes how many follow, so no two contents give
    // one stream.
    digest.update(json_value(name));
    digest.update(tensor_type_name(found.entry->type));
    digest.update(shape_text(found.entry->shape) + "\n");
    const std::span<const std::byte> bytes = found.file->bytes(*found.entry);
    for (size_t at = 0; at < bytes.size(); at += kDigestChunk)
      digest.update(bytes.data() + at, std::min(kDigestChunk, bytes.size() - at));
  }
  return digest.hex();
}

}  // namespace pref
