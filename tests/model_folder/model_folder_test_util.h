// SPDX-License-Identifier: Apache-2.0
// Helpers of the model-folder tests: a folder of its own per test, files made from bytes, tensors
// from memory.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/error.h"
#include "libpref/data/model_folder/model_folder.h"

namespace pref::testing {

/// A private folder under the system's temporary one. The destructor removes what mkdtemp made and
/// nothing else.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "pref_folder_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TempFolder() {
    const std::filesystem::path path(path_);
    if (path.is_absolute() && path.filename().string().starts_with("pref_folder_")) {
      std::error_code error;
      std::filesystem::remove_all(path, error);
    }
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, std::string_view bytes) const {
    std::filesystem::create_directories(std::filesystem::path(file(name)).parent_path());
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }

 private:
  std::string path_;
};

inline std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The text of the pref::Error that `run` throws, "" when it throws none.
template <class Run>
std::string error_of(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

template <class Run>
ErrorKind kind_of(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "no error";
  return ErrorKind::internal;
}

/// The bytes of a safetensors file: header length, header, data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data = {}) {
  const uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out.append(header).append(data);
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// Tensors with random bytes behind them.
struct MemoryTensors : TensorSource {
  std::vector<TensorEntry> entries;
  std::vector<std::vector<std::byte>> values;

  void add(const std::string& name, TensorType type, const std::vector<int64_t>& shape,
           std::mt19937_64& random) {
    entries.push_back({.name = name, .type = type, .shape = shape});
    auto& bytes = values.emplace_back(
        static_cast<size_t>(entries.back().elements() * tensor_type_bytes(type)));
    for (std::byte& b : bytes)
      b = static_cast<std::byte>(random() & 0x3f);  // small: no NaN in any float type
  }
  std::span<const std::byte> bytes(size_t index) override { return values[index]; }
};

/// Every tensor that `config` expects.
inline MemoryTensors random_tensors(const DecoderConfig& config, TensorType type, uint64_t seed) {
  std::mt19937_64 random(seed);
  MemoryTensors out;
  for (const ExpectedTensor& tensor : expected_tensors(config))
    out.add(tensor.name, type, tensor.shape, random);
  return out;
}

inline DecoderConfig small_config(const std::string& model_type) {
  DecoderConfig config;
  config.model_type = model_type;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 4;
  config.vocab_size = 10;
  config.max_position_embeddings = 64;
  config.qkv_bias = model_type == "qwen2";
  config.qk_norm = model_type == "qwen3";
  config.layer_window = {0, 0};
  return config;
}

}  // namespace pref::testing
