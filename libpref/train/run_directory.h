// SPDX-License-Identifier: Apache-2.0
// The folder of a run: metrics.jsonl (one JSON object a line; `kind` is train, eval or event), run.json (options as
// resolved, versions, digests), checkpoint-N/, and model/ at the end.
#pragma once
#include <memory>
#include <string>

#include "libpref/base/file_system.h"
#include "libpref/base/json_text.h"

namespace pref {

class RunDirectory {
 public:
  /// Opens `path`; one that already holds metrics.jsonl is refused (cannot_create) unless `resuming`.
  RunDirectory(FileSystem& files, std::string path, bool resuming);
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return join_path(path_, name); }

  void write_metrics(const JsonObject& line);
  /// Bytes of metrics.jsonl so far; a resumed run cuts the file back to what its checkpoint saw.
  uint64_t metrics_bytes() const { return metrics_bytes_; }
  void truncate_metrics(uint64_t bytes);

  /// Writes a whole small file aside and renames it.
  void write_file(const std::string& name, const std::string& text);

 private:
  FileSystem& files_;
  std::string path_;
  std::unique_ptr<WritableFile> metrics_;
  uint64_t metrics_bytes_ = 0;
};

}  // namespace pref
