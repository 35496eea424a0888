// SPDX-License-Identifier: Apache-2.0
// TensorBoard event files: scalars in TFRecord frames. What is written here is the part of
// tensorflow/core/util/event.proto that scalars need, by hand: a file version, a session start that
// makes TensorBoard drop later steps of an earlier file, and summaries.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libpref/base/file_system.h"
#include "libpref/train/metric_line.h"

namespace pref {

class TensorBoardWriter {
 public:
  /// Creates `directory`/events.out.tfevents.<seconds>.<host>.<process>.libpref when the first line
  /// comes. With `restart_at` the run continues there: TensorBoard forgets what earlier files of
  /// the folder hold from that step on.
  TensorBoardWriter(FileSystem& files, std::string directory,
                    std::optional<int64_t> restart_at = std::nullopt);
  /// Tags as transformers' callback writes them: "train/loss", and "eval/loss" for "eval_loss".
  /// Values that are not finite are written as they are.
  void write(const MetricLine& line);

 private:
  void frame(std::string_view event);

  FileSystem& files_;
  std::string directory_;
  std::optional<int64_t> restart_at_;
  std::unique_ptr<WritableFile> file_;
};

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4): of "123456789" it is 0xe3069283.
uint32_t crc32c(std::string_view bytes);

}  // namespace pref
