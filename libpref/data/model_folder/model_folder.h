// SPDX-License-Identifier: Apache-2.0
// A Hugging Face model folder on disk: config.json, model.safetensors or shards with
// model.safetensors.index.json.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "libpref/data/model_folder/config.h"
#include "libpref/data/model_folder/safetensors.h"

namespace pref {

/// The weights of a folder, by name. Shard names must be plain file names inside the folder; all
/// missing shards and tensors are named in one error; pickle files (.bin, .pt) are refused, naming
/// the conversion.
class WeightFiles {
 public:
  explicit WeightFiles(const std::string& folder);
  struct Found {
    const SafetensorsFile* file = nullptr;
    const TensorEntry* entry = nullptr;
    explicit operator bool() const { return entry != nullptr; }
  };
  Found find(const std::string& name) const;
  std::vector<std::string> names() const;  ///< sorted
  /// Copies tensor `name`, whose shape must be `shape`, to `out` as f32.
  void read_f32(const std::string& name, const std::vector<int64_t>& shape, float* out) const;
  /// The digest of all weights with their names, types and shapes: the same for any sharding of the
  /// same tensors.
  std::string digest() const;

 private:
  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::unordered_map<std::string, Found> by_name_;
};

/// Reads and parses <folder>/config.json. A folder that is not there: missing_input, naming what
/// was looked for.
DecoderConfig read_decoder_config(const std::string& folder);

/// Names and shapes of every tensor that the family expects, in model order; `tie_word_embeddings`
/// leaves out lm_head.weight. The error of a folder that lacks or has unexpected tensors lists all
/// of them.
struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
};
std::vector<ExpectedTensor> expected_tensors(const DecoderConfig& config);
void check_weights(const DecoderConfig& config, const WeightFiles& weights);

/// Writes model.safetensors (shards of at most `shard_bytes` with an index when larger),
/// config.json and generation_config.json (copied from `source_folder` when there), and copies
/// tokenizer files from `source_folder`. Goes through a temporary folder beside `folder`, renamed
/// at the end; an existing `folder` that is not empty is an error.
struct WeightWriter {
  std::vector<TensorEntry> entries;
  TensorSource* source = nullptr;
};
void write_model_folder(const std::string& folder, const DecoderConfig& config,
                        const std::string& dtype, const WeightWriter& weights,
                        const std::string& source_folder, uint64_t shard_bytes = 5'000'000'000);

}  // namespace pref
