// SPDX-License-Identifier: Apache-2.0
// Writing a model folder: everything into a temporary folder beside the target, synced, then one
// rename. A failure at any point leaves the target as it was.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <random>
#include <unordered_set>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/data/model_folder/model_files.h"
#include "libpref/data/model_folder/model_folder.h"
#include "libpref/data/model_folder/safetensors_format.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref {
namespace {

namespace fs = std::filesystem;
constexpr const char* kWhere = "model folder";
constexpr const char* kCopied[] = {
    "generation_config.json",  "tokenizer.json",    "tokenizer.model", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json",      "merges.txt",
    "chat_template.jinja",     "chat_template.json"};

/// Consecutive entries that make one file.
struct Shard {
  size_t first = 0, count = 0;
  uint64_t bytes = 0;
};

/// A shard's view of the source of all tensors.
class ShardSource : public TensorSource {
 public:
  ShardSource(TensorSource& source, size_t first) : source_(source), first_(first) {}
  std::span<const std::byte> bytes(size_t index) override { return source_.bytes(first_ + index); }

 private:
  TensorSource& source_;
  size_t first_;
};

void check_entries(const DecoderConfig& config, const std::vector<TensorEntry>& entries) {
  std::unordered_map<std::string, const TensorEntry*> given;
  std::vector<std::string> problems;
  for (const TensorEntry& entry : entries)
    if (!given.emplace(entry.name, &entry).second)
      problems.push_back("twice: " + escape_text(entry.name));
  std::unordered_set<std::string> expected;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    expected.insert(tensor.name);
    const auto found = given.find(tensor.name);
    if (found == given.end()) {
      problems.push_back("missing: " + tensor.name);
    } else if (found->second->shape != tensor.shape) {
      problems.push_back("shape: " + tensor.name + ": " + shape_text(tensor.shape) +
                         " is required, found " + shape_text(found->second->shape));
    }
  }
  for (const TensorEntry& entry : entries)
    if (!expected.contains(entry.name))
      problems.push_back("unexpected: " + escape_text(entry.name));
  require(problems.empty(), ErrorKind::option, kWhere,
          "the tensors to write are not those of this ", config.model_type,
          " configuration:", list_lines(problems));
}

/// In the order given; a tensor larger than shard_bytes gets a shard of its own.
std::vector<Shard> make_shards(const std::vector<TensorEntry>& entries, uint64_t shard_bytes) {
  std::vector<Shard> shards;
  for (size_t i = 0; i < entries.size(); ++i) {
    uint64_t bytes = 0;
    require(checked_tensor_bytes(entries[i].type, entries[i].shape, &bytes), ErrorKind::option,
            kWhere, "tensor ", escape_text(entries[i].name), ": its size overflows.");
    // Written as a difference: the sum could wrap.
    if (shards.empty() || shards.back().bytes > shard_bytes ||
        bytes > shard_bytes - shards.back().bytes)
      shards.push_back({.first = i});
    shards.back().count += 1;
    shards.back().bytes += bytes;
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

std::string index_text(const std::vector<TensorEntry>& entries, const std::vector<Shard>& shards) {
  JsonObject map;
  uint64_t total = 0;
  for (size_t s = 0; s < shards.size(); ++s) {
    total += shards[s].bytes;
    for (size_t i = 0; i < shards[s].count; ++i)
      map.add(entries[shards[s].first + i].name, shard_name(s, shards.size()));
  }
  JsonObject metadata;
  metadata.add("total_size", total);
  return JsonObject().add_raw("metadata", metadata.str()).add_raw("weight_map", map.str()).str() +
         "\n";
}

void write_text(FileSystem& files, const std::string& path, std::string_view text) {
  const std::unique_ptr<WritableFile> file = files.create(path);
  file->write(text);
  file->sync();
  file->close();
}

void copy_file(FileSystem& files, const std::string& from, const std::string& to) {
  const std::unique_ptr<MappedFile> map = files.map(from);
  write_text(files, to,
             {reinterpret_cast<const char*>(map->data()), static_cast<size_t>(map->size())});
}

void write_files(FileSystem& files, const std::string& folder, const std::string& config_text,
                 const WeightWriter& weights, const std::vector<Shard>& shards,
                 const std::string& source_folder) {
  for (size_t s = 0; s < shards.size(); ++s) {
    const auto first = weights.entries.begin() + static_cast<ptrdiff_t>(shards[s].first);
    ShardSource source(*weights.source, shards[s].first);
    const std::string path = join_path(folder, shard_name(s, shards.size()));
    write_safetensors(files, path, {first, first + static_cast<ptrdiff_t>(shards[s].count)}, source,
                      {{"format", "pt"}});
    const std::unique_ptr<WritableFile> written =
        files.append(path);  // fsync acts on the file, not the descriptor
    written->sync();
    written->close();
  }
  if (shards.size() > 1)
    write_text(files, join_path(folder, "model.safetensors.index.json"),
               index_text(weights.entries, shards));
  write_text(files, join_path(folder, "config.json"), config_text);
  if (source_folder.empty()) return;
  for (const char* name : kCopied)
    if (const std::string from = find_model_file(source_folder, name); !from.empty())
      copy_file(files, from, join_path(folder, name));
}

std::string random_suffix() {
  std::random_device device;
  char text[32];
  std::snprintf(text, sizeof(text), "%08x%08x", device(), device());
  return text;
}

}  // namespace

void write_model_folder(const std::string& folder, const DecoderConfig& config,
                        const std::string& dtype, const WeightWriter& weights,
                        const std::string& source_folder, uint64_t shard_bytes) {
  FileSystem& files = posix_file_system();
  fs::path target = fs::path(folder).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // "out/" is out
  require(removable_path(target.string()), ErrorKind::option, kWhere,
          "a folder name is required, found ", escape_text(folder), ".");
  require(weights.source != nullptr, ErrorKind::internal, kWhere, folder,
          ": no source of tensor bytes was given.");
  check_entries(config, weights.entries);
  const std::string config_text = write_decoder_config(config, dtype);
  const std::vector<Shard> shards = make_shards(weights.entries, shard_bytes);
  if (!source_folder.empty()) require_model_folder(source_folder, "tokenizer files");

  std::error_code error;
  require(!fs::is_symlink(fs::symlink_status(target, error)), ErrorKind::cannot_create, kWhere,
          folder, ": is a link, which is not written through. Give the folder's own name.");
  const FileInfo info = files.info(target.string());
  require(!info.exists || info.is_directory, ErrorKind::cannot_create, kWhere, folder,
          ": exists and is not a folder. Give another name or remove it first.");
  require(!info.exists || files.list(target.string()).empty(), ErrorKind::cannot_create, kWhere,
          folder, ": the folder is not empty. Give another name or remove it first.");

  const std::string parent = target.has_parent_path() ? target.parent_path().string() : ".";
  files.make_directories(parent);
  uint64_t total = 0;
  for (const Shard& shard : shards) total += shard.bytes;
  const uint64_t free = files.free_bytes(parent);
  require(total <= free, ErrorKind::cannot_create, kWhere, folder, ": ", total,
          " bytes are needed on this disk, ", free, " are free.");

  const std::string aside =
      join_path(parent, "." + target.filename().string() + ".tmp-" + random_suffix());
  files.make_directories(aside);
  try {
    write_files(files, aside, config_text, weights, shards, source_folder);
    files.sync_directory(aside);
    // Not recursive: a folder that has been filled in the meantime stays, and the rename then
    // fails.
    if (info.exists) fs::remove(target, error);
    files.rename_new(aside, target.string());
  } catch (...) {
    try {
      files.remove_all(aside);
    } catch (const Error&) {  // the first failure is the one to tell
    }
    throw;
  }
  files.sync_directory(parent);
}

}  // namespace pref
