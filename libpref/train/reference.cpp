// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/reference.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"
#include "libpref/base/progress.h"
#include "libpref/data/model_folder/safetensors.h"

namespace pref {
namespace {

constexpr const char* kTensor = "ref_logps";
constexpr const char* kMarked = "ref_marked";
constexpr const char* kFormat = "libpref reference log-probs 2";

struct LogpTensors : TensorSource {
  explicit LogpTensors(const ReferenceLogps& logps) : logps_(logps) {}
  std::span<const std::byte> bytes(size_t i) override {
    return std::as_bytes(std::span(i == 0 ? logps_.values() : logps_.marked()));
  }
  const ReferenceLogps& logps_;
};

std::vector<double> read_doubles(const SafetensorsFile& file, const std::string& path,
                                 const char* name) {
  const TensorEntry* entry = file.find(name);
  require(entry != nullptr && entry->type == TensorType::f64, ErrorKind::data, "reference", path,
          ": tensor \"", name, "\" of type F64 is required and not there. Delete the file.");
  const auto bytes = file.bytes(*entry);
  std::vector<double> values(bytes.size() / sizeof(double));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

ReferenceLogps compute_reference(PreferenceStep& engine, std::span<const TokenizedRow> rows) {
  Progress progress("reference", static_cast<int64_t>(rows.size()));
  const auto report = [&](int64_t done) { progress.update(done); };
  if (std::all_of(rows.begin(), rows.end(),
                  [](const TokenizedRow& row) { return row.reference_prompt.empty(); }))
    return engine.reference(rows, report);
  std::vector<TokenizedRow> seen(rows.begin(), rows.end());
  for (TokenizedRow& row : seen)
    if (!row.reference_prompt.empty()) row.prompt = row.reference_prompt;
  return engine.reference(seen, report);
}

std::map<std::string, std::string> ReferenceKey::as_map() const {
  return {{"format", kFormat}, {"model", model}, {"tokenizer", tokenizer},
          {"rows", rows},      {"dtype", dtype}, {"marks", marks}};
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
  return ReferenceLogps(
      rows, read_doubles(file, path, kTensor),
      key.marks.empty() ? std::vector<double>() : read_doubles(file, path, kMarked));
}

void write_reference_cache(const std::string& path, const ReferenceKey& key,
                           const ReferenceLogps& logps) {
  FileSystem& files = posix_file_system();
  const std::string aside = path + ".tmp-" + std::to_string(::getpid());
  files.remove_all(aside);
  LogpTensors source(logps);
  const std::vector<int64_t> shape = {static_cast<int64_t>(logps.values().size())};
  std::vector<TensorEntry> entries = {{.name = kTensor, .type = TensorType::f64, .shape = shape}};
  if (!logps.marked().empty())
    entries.push_back({.name = kMarked, .type = TensorType::f64, .shape = shape});
  write_safetensors(files, aside, std::move(entries), source, key.as_map());
  files.remove_all(path);
  files.rename_new(aside, path);
}

}  // namespace pref
