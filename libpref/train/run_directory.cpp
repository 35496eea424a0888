// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/run_directory.h"

#include <unistd.h>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"

namespace pref {

RunDirectory::RunDirectory(FileSystem& files, std::string path, bool resuming)
    : files_(files), path_(std::move(path)) {
  const FileInfo earlier = files_.info(file("metrics.jsonl"));
  require(!earlier.exists || resuming, ErrorKind::cannot_create, "train", path_,
          " holds an earlier run. Continue it with resume_from_checkpoint: auto, or name another "
          "output_dir.");
  files_.make_directories(path_);
  metrics_bytes_ = earlier.size;
  metrics_ = files_.append(file("metrics.jsonl"));
  events_ = std::make_unique<TensorBoardWriter>(files_, path_);
}

void RunDirectory::write_metrics(const MetricLine& line) {
  JsonObject json;
  json.add("kind", line.kind).add("step", line.step);
  for (const auto& [name, value] : line.values) json.add(name, value);
  if (!line.message.empty()) json.add("message", line.message);
  const std::string text = json.str() + "\n";
  metrics_->write(text);
  metrics_bytes_ += text.size();
  events_->write(line);
}

void RunDirectory::restart(int64_t step, uint64_t bytes) {
  require(bytes <= metrics_bytes_, ErrorKind::digest, "train", file("metrics.jsonl"),
          ": the checkpoint saw ", bytes, " bytes and only ", metrics_bytes_,
          " are there. Lines were lost; start a new output_dir.");
  metrics_->close();
  files_.truncate(file("metrics.jsonl"), bytes);
  metrics_ = files_.append(file("metrics.jsonl"));
  metrics_bytes_ = bytes;
  events_ = std::make_unique<TensorBoardWriter>(files_, path_, step);
}

void RunDirectory::write_file(const std::string& name, const std::string& text) {
  const std::string aside = file(name) + ".tmp-" + std::to_string(::getpid());
  files_.remove_all(aside);
  auto out = files_.create(aside);
  out->write(text);
  out->close();
  files_.remove_all(file(name));
  files_.rename_new(aside, file(name));
}

}  // namespace pref
