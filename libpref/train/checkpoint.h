// SPDX-License-Identifier: Apache-2.0
// A run's state on disk: all weights (a model file that transformers reads too), the optimizer's
// flat moments, and the small state that makes a resumed run the one that never stopped. manifest.h
// holds the durable folder protocol.
#pragma once
#include <map>
#include <set>
#include <string>

#include "libpref/base/file_system.h"
#include "libpref/nn/decoder.h"
#include "libpref/objectives/coupling.h"
#include "libpref/optim/adamw.h"
#include "libpref/train/manifest.h"
#include "libpref/train/metrics.h"

namespace pref {

struct TrainingState {
  int64_t step = 0;              ///< updates done; with seed and data it is the data cursor
  double num_tokens = 0;         ///< trained on since the start
  uint64_t metrics_bytes = 0;    ///< of metrics.jsonl when saved
  MetricSums interval;           ///< of the logging interval that is open
  CouplingState coupling;        ///< running values of objectives that couple a batch
  std::set<std::string> alerts;  ///< given so far (health.h)
  std::map<std::string, std::string> identity;  ///< what must be the same on resume: name to text
};

/// Writes <run_dir>/checkpoint-<step>. Throws as CheckpointWriter does.
void save_training_state(FileSystem& files, const std::string& run_dir, const TrainingState& state,
                         Decoder& network, const AdamW& optimizer);

/// Restores network and optimizer and returns the rest. `identity` is what the resuming run is: a
/// difference is ErrorKind::option naming every one, with both values.
TrainingState load_training_state(const Checkpoint& checkpoint,
                                  const std::map<std::string, std::string>& identity,
                                  Decoder& network, AdamW& optimizer);

}  // namespace pref
