// SPDX-License-Identifier: Apache-2.0
// The folder of a run: metrics.jsonl (one JSON object a line; `kind` is train, eval or event), the
// same as TensorBoard events, run.json (options as resolved, versions, digests), checkpoint-N/, and
// at the end model/ and report.html.
#pragma once
#include <memory>
#include <string>

#include "libpref/base/file_system.h"
#include "libpref/train/metric_line.h"
#include "libpref/train/tensorboard.h"

namespace pref {

class RunDirectory {
 public:
  /// Opens `path`; one that already holds metrics.jsonl is refused (cannot_create) unless
  /// `resuming`.
  RunDirectory(FileSystem& files, std::string path, bool resuming);
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return join_path(path_, name); }

  void write_metrics(const MetricLine& line);
  /// Bytes of metrics.jsonl so far.
  uint64_t metrics_bytes() const { return metrics_bytes_; }
  /// A run that continues at `step` cuts metrics.jsonl back to the bytes that its checkpoint saw.
  void restart(int64_t step, uint64_t metrics_bytes);

  /// Writes a whole small file aside and renames it.
  void write_file(const std::string& name, const std::string& text);

 private:
  FileSystem& files_;
  std::string path_;
  std::unique_ptr<WritableFile> metrics_;
  std::unique_ptr<TensorBoardWriter> events_;
  uint64_t metrics_bytes_ = 0;
};

}  // namespace pref
