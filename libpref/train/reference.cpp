// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/reference.h"

#include <unistd.h>

#include <cstring>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/data/model_folder/safetensors.h"

namespace pref {
namespace {

constexpr const char* kTensor = "ref_logps";
constexpr const char* kFormat = "libpref reference log-probs 1";

struct OneTensor : TensorSource {
  explicit OneTensor(const std::vector<double>& values) : values_(values) {}
  std::span<const std::byte> bytes(size_t) override { return std::as_bytes(std::span(values_)); }
  const std::vector<double>& values_;
};

}  // namespace

std::map<std::string, std::string> ReferenceKey::as_map() const {
  return {{"format", kFormat},
          {"model", model},
          {"tokenizer", tokenizer},
          {"rows", rows},
          {"dtype", dtype}};
}

std::optional<ReferenceLogps> read_reference_cache(const std::string& path, const ReferenceKey& key,
                                                   std::span<const TokenizedRow> rows) {
  if (!posix_file_system().info(path).exists) return std::nullopt;
  const SafetensorsFile file(posix_file_system(), path);
  std::string differs;
  for (const auto& [name, wanted] : key.as_map()) {
    const auto found = file.metadata().find(name);
    if (found != file.metadata().end() && found->second == wanted) continue;
    differs += "\n  " + name + ": this run has " + wanted.substr(0, 32) + ", the file " +
               (found == file.metadata().end() ? "nothing" : found->second.substr(0, 32));
  }
  require(differs.empty(), ErrorKind::digest, "reference", path,
          ": these reference log-probs were made for something else:", differs,
          "\nDelete the file, or name another one with ref_logps_cache.");
  const TensorEntry* entry = file.find(kTensor);
  require(entry != nullptr && entry->type == TensorType::f64, ErrorKind::data, "reference", path,
          ": tensor \"", kTensor, "\" of type F64 is required and not there. Delete the file.");
  const auto bytes = file.bytes(*entry);
  std::vector<double> values(bytes.size() / sizeof(double));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return ReferenceLogps(rows, std::move(values));
}

void write_reference_cache(const std::string& path, const ReferenceKey& key,
                           const ReferenceLogps& logps) {
  FileSystem& files = posix_file_system();
  const std::string aside = path + ".tmp-" + std::to_string(::getpid());
  files.remove_all(aside);
  OneTensor source(logps.values());
  write_safetensors(files, aside,
                    {{.name = kTensor,
                      .type = TensorType::f64,
                      .shape = {static_cast<int64_t>(logps.values().size())}}},
                    source, key.as_map());
  files.remove_all(path);
  files.rename_new(aside, path);
}

}  // namespace pref
