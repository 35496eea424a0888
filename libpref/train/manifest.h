// SPDX-License-Identifier: Apache-2.0
// Checkpoints on disk: written so that a crash at any moment leaves every earlier one whole, read
// only when every byte
// is the one that was written. Torch-free; what the files mean is the trainer's.
//   run_dir/checkpoint-20/            manifest.json and the files it lists
//   run_dir/checkpoint-30.tmp-<hex>/  being written; renamed to checkpoint-30 at the end
//   run_dir/.trash-<hex>/             being deleted
// manifest.json is JSON. Its first line, {"sha256":"<digest>", holds the SHA-256 of all bytes after
// that line: format
// and version, step, state, and each file with its size and SHA-256.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/base/file_system.h"
#include "libpref/data/model_folder/safetensors.h"

namespace pref {

struct CheckpointFile {
  std::string name;    ///< a plain file name: printable ASCII, no slash, not starting with "."
  uint64_t size = 0;   ///< bytes
  std::string sha256;  ///< 64 lower-case hex digits
};

/// A checkpoint whose manifest was read or written.
struct Checkpoint {
  std::string folder;
  int64_t step = 0;  ///< optimizer steps done
  std::map<std::string, std::string>
      state;                          ///< name to JSON text, compact: no white space between tokens
  std::vector<CheckpointFile> files;  ///< by name

  /// The path of a listed file. A file that the manifest does not list is ErrorKind::digest, even
  /// if it is there.
  std::string path(const std::string& name) const;
  /// The JSON text saved under `name`; ErrorKind::digest when there is none.
  const std::string& state_text(const std::string& name) const;
};

/// "checkpoint-<step>"; step >= 0.
std::string checkpoint_name(int64_t step);

/// Writes one file of a checkpoint that another process commits (see
/// CheckpointWriter::add_written): exclusively, without following a link, fsynced, digested while
/// written. Different names may be written from different threads. Throws ErrorKind::io with path,
/// errno's text, bytes needed and bytes free; ErrorKind::option for a bad name.
CheckpointFile write_checkpoint_file(FileSystem& files, const std::string& folder,
                                     const std::string& name, std::string_view bytes);
/// The same for tensors, as one safetensors file.
CheckpointFile write_checkpoint_tensors(FileSystem& files, const std::string& folder,
                                        const std::string& name,
                                        const std::vector<TensorEntry>& entries,
                                        TensorSource& source,
                                        const std::map<std::string, std::string>& metadata = {});

/// Saves one checkpoint. With several ranks one process has the writer; the others write their
/// files into its folder() and send it what write_checkpoint_* returned. Not thread-safe. I/O
/// errors are ErrorKind::io with path, errno's text, bytes needed and bytes free; they leave
/// earlier checkpoints as they were, and the save may be tried again with a new writer.
class CheckpointWriter {
 public:
  /// Makes run_dir where missing and the temporary folder in it. Refuses (ErrorKind::io)
  /// unless 1.05 x `planned_bytes` are free, and when a complete checkpoint of this step, or a
  /// folder of its name that is not a checkpoint, is already there. A damaged checkpoint of this
  /// step is replaced by commit().
  CheckpointWriter(FileSystem& files, std::string run_dir, int64_t step, uint64_t planned_bytes);
  /// Removes the temporary folder unless committed; a failure there is logged.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// The temporary folder.
  const std::string& folder() const { return folder_; }
  void add_file(const std::string& name, std::string_view bytes);
  void add_tensors(const std::string& name, const std::vector<TensorEntry>& entries,
                   TensorSource& source, const std::map<std::string, std::string>& metadata = {});
  /// Lists a file that write_checkpoint_* put into folder(), also from another process.
  void add_written(CheckpointFile file);
  /// Writes the manifest, makes all durable and gives the folder its name. `state`: name to JSON
  /// text (ErrorKind::option when it is not JSON, or nested deeper than 64). Call once, last.
  /// Should only the last fsync, that of run_dir, fail, it throws but the checkpoint is in place
  /// and complete; it may not survive a power loss.
  Checkpoint commit(const std::map<std::string, std::string>& state);

 private:
  void list_file(CheckpointFile file);
  void check_open(std::string_view call) const;

  FileSystem& files_;
  std::string run_dir_;
  int64_t step_;
  uint64_t planned_bytes_;
  std::string temporary_name_, folder_;
  std::vector<CheckpointFile> listed_;
  bool replaces_damaged_ = false;  ///< checkpoint-<step> is there and does not verify
  bool committed_ = false;
};

/// Reads a checkpoint and verifies the manifest and the size and digest of every file.
/// ErrorKind::missing_input: no such folder, or no manifest in it; ErrorKind::digest: altered, cut
/// or missing files, a format version that this build does not know, or a folder named checkpoint-N
/// whose manifest is of another step; ErrorKind::io: reading failed. Files that the manifest does
/// not list are ignored.
Checkpoint open_checkpoint(FileSystem& files, const std::string& folder);
Checkpoint open_checkpoint(const std::string& folder);

/// The newest checkpoint of `run_dir` that verifies, or none. Each newer one passed over is logged
/// with the reason, which is also appended to `passed_over`. When there is none and some could not
/// be read (ErrorKind::io), that error is thrown: a run must not start over because of a passing
/// fault.
std::optional<Checkpoint> find_newest_checkpoint(FileSystem& files, const std::string& run_dir,
                                                 std::vector<std::string>* passed_over = nullptr);

/// Deletes checkpoints older than the `keep` (>= 1) newest complete ones: renamed to .trash-<hex>,
/// then removed. The newest complete one has been verified byte by byte by then, the others by
/// manifest and sizes. Damaged ones are not counted, and go when older. Folders without a manifest
/// are not libpref's and stay.
void prune_checkpoints(FileSystem& files, const std::string& run_dir, int64_t keep);

/// Removes the temporary and trash folders that interrupted runs left. Only for the single writer
/// of `run_dir`, before its first save.
void clear_stale_checkpoints(FileSystem& files, const std::string& run_dir);

}  // namespace pref
