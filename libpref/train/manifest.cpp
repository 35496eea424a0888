// SPDX-License-Identifier: Apache-2.0
// Saving, verifying, finding and deleting checkpoints. The order of the calls is the protocol:
// files are durable before the manifest, the manifest before the rename, the rename before anything
// older is deleted.
#include "libpref/train/manifest.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <utility>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/train/manifest_text.h"

namespace pref {
namespace {

using namespace manifest;

void check_file_name(const std::string& name) {
  require(is_plain_name(name) && name != kManifest, ErrorKind::option, "checkpoint",
          "a plain file name other than manifest.json is required (printable ASCII, no slash, no "
          "leading dot), got \"",
          name, "\".");
}

void check_run_dir(const std::string& run_dir) {
  require(!run_dir.empty(), ErrorKind::option, "checkpoint",
          "the run folder must have a name, got an empty one.");
}

// ---- errors during a save ----

std::string free_text(FileSystem& files, const std::string& folder) {
  try {
    return std::to_string(files.free_bytes(folder));
  } catch (const Error&) {
    return "an unknown number";
  }
}

/// Runs one part of a save. Its I/O errors come out as ErrorKind::io with the bytes needed and
/// free.
template <class Run>
auto saving(FileSystem& files, const std::string& folder, uint64_t needed, Run&& run) {
  try {
    return run();
  } catch (const Error& error) {
    const ErrorKind kind = error.kind();
    if (kind != ErrorKind::io && kind != ErrorKind::cannot_create &&
        kind != ErrorKind::missing_input)
      throw;
    std::string_view text = error.what();
    if (const size_t end = text.find("] "); text.starts_with("[") && end != text.npos)
      text.remove_prefix(end + 2);
    fail(ErrorKind::io, "checkpoint", text, " The save needs ", needed, " bytes; ",
         free_text(files, folder), " are free in ", folder,
         ". Earlier checkpoints are as they were.");
  }
}

// ---- writing ----

class DigestObserver final : public ByteObserver {
 public:
  void update(const void* data, size_t size) override {
    digest_.update(data, size);
    size_ += size;
  }
  CheckpointFile file(const std::string& name) {
    return {.name = name, .size = size_, .sha256 = digest_.hex()};
  }

 private:
  Sha256 digest_;
  uint64_t size_ = 0;
};

CheckpointFile write_bytes(FileSystem& files, const std::string& folder, const std::string& name,
                           std::string_view bytes) {
  const auto file = files.create(join_path(folder, name));
  file->write(bytes);
  file->sync();
  file->close();
  return {.name = name, .size = bytes.size(), .sha256 = sha256_hex(bytes)};
}

CheckpointFile write_tensors(FileSystem& files, const std::string& folder, const std::string& name,
                             const std::vector<TensorEntry>& entries, TensorSource& source,
                             const std::map<std::string, std::string>& metadata) {
  const std::string path = join_path(folder, name);
  DigestObserver observer;
  const uint64_t size = write_safetensors(files, path, entries, source, metadata, &observer);
  // write_safetensors does not promise durability; fsync acts on the file, whichever descriptor
  // wrote it.
  const auto written = files.append(path);
  written->sync();
  written->close();
  CheckpointFile file = observer.file(name);
  require(file.size == size, ErrorKind::internal, "checkpoint", path, ": has ", size, " bytes, ",
          file.size, " were digested.");
  return file;
}

uint64_t tensor_bytes(const std::vector<TensorEntry>& entries) {
  uint64_t bytes = 0;
  for (const TensorEntry& entry : entries)
    bytes += static_cast<uint64_t>(entry.elements()) *
             static_cast<uint64_t>(tensor_type_bytes(entry.type));
  return bytes;
}

/// Makes a folder and the missing ones above it, each entry durable.
void make_durable_directories(FileSystem& files, const std::string& path) {
  std::vector<std::filesystem::path> missing;
  std::filesystem::path at = path;
  for (; !at.empty() && !files.info(at.string()).exists; at = at.parent_path())
    missing.push_back(at);
  if (missing.empty()) return;
  files.make_directories(path);
  for (auto made = missing.rbegin(); made != missing.rend(); ++made) {
    const std::string parent = made->parent_path().string();
    files.sync_directory(parent.empty() ? "." : parent);
  }
}

Json parse_state(const std::string& name, const std::string& text) {
  try {
    return parse_json(text);
  } catch (const std::exception& error) {  // nlohmann's, or too deep
    fail(ErrorKind::option, "checkpoint", "state \"", name, "\" must be JSON text: ", error.what());
  }
}

// ---- reading ----

[[noreturn]] void fail_manifest(const std::string& path, std::string_view what) {
  fail(ErrorKind::digest, "checkpoint", path, ": ", what, " Use an older checkpoint.");
}

/// The last name of a path, also of "a/checkpoint-20/".
std::string last_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return std::filesystem::path(path).filename().string();
}

Checkpoint read_manifest(FileSystem& files, const std::string& folder) {
  require(files.info(folder).is_directory, ErrorKind::missing_input, "checkpoint", folder,
          ": a checkpoint folder is required, there is none.");
  const std::string path = join_path(folder, kManifest);
  const FileInfo info = files.info(path);
  require(info.is_regular, ErrorKind::missing_input, "checkpoint", folder,
          ": has no manifest.json, so it is no checkpoint of libpref. Name a folder checkpoint-N "
          "of a run.");
  if (info.size < kFirstLine || info.size > kMaxManifestBytes)
    fail_manifest(path, "it has " + std::to_string(info.size) + " bytes, which no manifest has.");
  const std::string text = files.read(path, kMaxManifestBytes);
  const std::string_view view = text;
  if (view.size() < kFirstLine || !view.starts_with(kDigestOpens) ||
      view.substr(kFirstLine - kDigestCloses.size(), kDigestCloses.size()) != kDigestCloses)
    fail_manifest(
        path,
        "line 1 must be {\"sha256\":\"<64 digits>\", and is not: the file was altered or cut.");
  const std::string_view listed = view.substr(kDigestOpens.size(), kDigestDigits);
  if (const std::string found = sha256_hex(view.substr(kFirstLine)); found != listed)
    fail_manifest(path, "SHA-256 of what follows line 1 is " + found + ", line 1 says " +
                            std::string(listed) + ": the file was altered or cut.");
  Checkpoint checkpoint;
  try {
    checkpoint = parse_manifest(view);
  } catch (const std::exception& error) {  // nlohmann's, or one of ours without the path
    std::string_view what = error.what();
    if (what.starts_with("[checkpoint] "))
      what.remove_prefix(std::string_view("[checkpoint] ").size());
    fail_manifest(path, what);
  }
  checkpoint.folder = folder;
  const std::string name = last_name(folder);
  if (const std::optional<int64_t> step = step_of(name); step && *step != checkpoint.step)
    fail_manifest(path, "it is of step " + std::to_string(checkpoint.step) +
                            ", in a folder named " + name + ": the folder was renamed or swapped.");
  return checkpoint;
}

enum class Check { sizes, digests };

Checkpoint open_checked(FileSystem& files, const std::string& folder, Check check) {
  Checkpoint checkpoint = read_manifest(files, folder);
  for (const CheckpointFile& file :
       checkpoint.files) {  // sizes first: a cut file is found without reading the others
    const std::string path = join_path(folder, file.name);
    const FileInfo info = files.info(path);
    if (!info.is_regular) fail_manifest(path, "the manifest lists it, it is missing.");
    if (info.size != file.size)
      fail_manifest(path, "must have " + std::to_string(file.size) + " bytes, has " +
                              std::to_string(info.size) + ".");
  }
  if (check == Check::sizes) return checkpoint;
  for (const CheckpointFile& file : checkpoint.files) {
    const std::string path = join_path(folder, file.name);
    const auto map = files.map(path);
    const std::string found = sha256_hex({reinterpret_cast<const char*>(map->data()), map->size()});
    if (found != file.sha256)
      fail_manifest(path,
                    "SHA-256 must be " + file.sha256 + ", is " + found + ": the file was altered.");
  }
  return checkpoint;
}

std::optional<Error> fault_of(FileSystem& files, const std::string& folder, Check check) {
  try {
    open_checked(files, folder, check);
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  }
}

// ---- the run folder ----

std::vector<std::string> names_in(FileSystem& files, const std::string& run_dir) {
  check_run_dir(run_dir);
  if (!files.info(run_dir).is_directory) return {};
  return files.list(run_dir);
}

/// Steps of the folders checkpoint-N, newest first.
std::vector<int64_t> steps_in(FileSystem& files, const std::string& run_dir) {
  std::vector<int64_t> steps;
  for (const std::string& name : names_in(files, run_dir))
    if (const std::optional<int64_t> step = step_of(name)) steps.push_back(*step);
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

std::string move_to_trash(FileSystem& files, const std::string& run_dir, int64_t step) {
  const std::string trash = std::string(kTrash) + random_hex();
  files.rename_new(join_path(run_dir, checkpoint_name(step)), join_path(run_dir, trash));
  return trash;
}

/// The only deletion in this file. A checkpoint proper never passes: it is renamed to trash first.
void remove_leftover(FileSystem& files, const std::string& run_dir, const std::string& name) {
  require(!run_dir.empty() && (is_temporary(name) || is_trash(name)), ErrorKind::internal,
          "checkpoint", "refused to remove \"", name, "\" in \"", run_dir, "\".");
  files.remove_all(join_path(run_dir, name));
}

/// For what may be left to clear_stale_checkpoints.
void try_remove_leftover(FileSystem& files, const std::string& run_dir, const std::string& name) {
  try {
    remove_leftover(files, run_dir, name);
  } catch (const std::exception& error) {
    log_warning("checkpoint: ", name, " is left over in ", run_dir, ": ", error.what());
  }
}

}  // namespace

std::string Checkpoint::path(const std::string& name) const {
  const bool listed =
      std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.name == name; });
  require(listed, ErrorKind::digest, "checkpoint", folder, ": its manifest lists no file \"", name,
          "\". Was it saved by another trainer or version?");
  return join_path(folder, name);
}

const std::string& Checkpoint::state_text(const std::string& name) const {
  const auto found = state.find(name);
  require(found != state.end(), ErrorKind::digest, "checkpoint", folder,
          ": its manifest has no state \"", name,
          "\". Was it saved by another trainer or version?");
  return found->second;
}

std::string checkpoint_name(int64_t step) {
  require(step >= 0, ErrorKind::option, "checkpoint", "the step must be >= 0, got ", step, ".");
  return std::string(kPrefix) + std::to_string(step);
}

CheckpointFile write_checkpoint_file(FileSystem& files, const std::string& folder,
                                     const std::string& name, std::string_view bytes) {
  check_file_name(name);
  return saving(files, folder, bytes.size(),
                [&] { return write_bytes(files, folder, name, bytes); });
}

CheckpointFile write_checkpoint_tensors(FileSystem& files, const std::string& folder,
                                        const std::string& name,
                                        const std::vector<TensorEntry>& entries,
                                        TensorSource& source,
                                        const std::map<std::string, std::string>& metadata) {
  check_file_name(name);
  return saving(files, folder, tensor_bytes(entries),
                [&] { return write_tensors(files, folder, name, entries, source, metadata); });
}

CheckpointWriter::CheckpointWriter(FileSystem& files, std::string run_dir, int64_t step,
                                   uint64_t planned_bytes)
    : files_(files), run_dir_(std::move(run_dir)), step_(step), planned_bytes_(planned_bytes) {
  check_run_dir(run_dir_);
  const std::string name = checkpoint_name(step_);
  temporary_name_ = name + std::string(kTemporary) + random_hex();
  folder_ = join_path(run_dir_, temporary_name_);
  saving(files_, run_dir_, planned_bytes_, [&] {
    make_durable_directories(files_, run_dir_);
    const std::string target = join_path(run_dir_, name);
    if (files_.info(target).exists) {
      const std::optional<Error> fault = fault_of(files_, target, Check::digests);
      if (fault && fault->kind() == ErrorKind::io) throw *fault;
      require(!fault || fault->kind() == ErrorKind::digest, ErrorKind::io, "checkpoint", target,
              ": is in the way and is not a checkpoint of libpref. Move it, or choose another run "
              "folder.");
      require(fault.has_value(), ErrorKind::io, "checkpoint", target,
              ": is already there and complete; a saved step is never overwritten. Move it to save "
              "this step again.");
      replaces_damaged_ = true;
    }
    const uint64_t free = files_.free_bytes(run_dir_);
    const uint64_t margin = planned_bytes_ / 20 + (planned_bytes_ % 20 != 0);  // 5 %, rounded up
    require(free >= planned_bytes_ && free - planned_bytes_ >= margin, ErrorKind::io, "checkpoint",
            target, ": not begun, as 1.05 x its planned size must be free.");
    files_.make_directories(folder_);
  });
}

CheckpointWriter::~CheckpointWriter() {
  if (committed_) return;
  try {
    try_remove_leftover(files_, run_dir_, temporary_name_);
  } catch (...) {  // a destructor must not throw, whatever the file system or the log does
  }
}

void CheckpointWriter::check_open(std::string_view call) const {
  require(!committed_, ErrorKind::internal, "checkpoint", "CheckpointWriter::", call,
          "() after commit().");
}

void CheckpointWriter::list_file(CheckpointFile file) {
  const bool twice = std::any_of(listed_.begin(), listed_.end(),
                                 [&](const auto& other) { return other.name == file.name; });
  require(!twice, ErrorKind::option, "checkpoint", "the file \"", file.name, "\" is added twice.");
  listed_.push_back(std::move(file));
}

void CheckpointWriter::add_file(const std::string& name, std::string_view bytes) {
  check_open("add_file");
  check_file_name(name);
  list_file(saving(files_, run_dir_, planned_bytes_,
                   [&] { return write_bytes(files_, folder_, name, bytes); }));
}

void CheckpointWriter::add_tensors(const std::string& name, const std::vector<TensorEntry>& entries,
                                   TensorSource& source,
                                   const std::map<std::string, std::string>& metadata) {
  check_open("add_tensors");
  check_file_name(name);
  list_file(saving(files_, run_dir_, planned_bytes_, [&] {
    return write_tensors(files_, folder_, name, entries, source, metadata);
  }));
}

void CheckpointWriter::add_written(CheckpointFile file) {
  check_open("add_written");
  check_file_name(file.name);
  require(file.sha256.size() == kDigestDigits && is_hex(file.sha256), ErrorKind::option,
          "checkpoint", file.name, ": its SHA-256 must have 64 lower-case hex digits, got \"",
          file.sha256, "\".");
  list_file(std::move(file));
}

Checkpoint CheckpointWriter::commit(const std::map<std::string, std::string>& state) {
  check_open("commit");
  Checkpoint checkpoint{
      .folder = join_path(run_dir_, checkpoint_name(step_)), .step = step_, .files = listed_};
  std::sort(checkpoint.files.begin(), checkpoint.files.end(),
            [](const CheckpointFile& a, const CheckpointFile& b) { return a.name < b.name; });
  Json values = Json::object();
  for (const auto& [name, text] : state) {
    const Json& value = values[name] = parse_state(name, text);
    checkpoint.state.emplace(name, value.dump());
  }
  std::string manifest;
  try {
    manifest = manifest_text(checkpoint, values);
  } catch (const nlohmann::json::exception& error) {  // a state's name that is not UTF-8
    fail(ErrorKind::option, "checkpoint", "the state must be JSON: ", error.what());
  }
  require(manifest.size() <= kMaxManifestBytes, ErrorKind::option, "checkpoint",
          "the manifest may have ", kMaxManifestBytes, " bytes, has ", manifest.size(),
          ". Save large state as a file.");
  saving(files_, run_dir_, planned_bytes_, [&] {
    for (const CheckpointFile& file :
         checkpoint.files) {  // another rank may have written to a disk of its own
      const std::string path = join_path(folder_, file.name);
      const FileInfo info = files_.info(path);
      require(info.is_regular && info.size == file.size, ErrorKind::io, "checkpoint", path,
              ": must have ", file.size, " bytes, ",
              info.is_regular ? "has " + std::to_string(info.size) + "." : "is missing.",
              " All ranks must see the same run folder.");
    }
    write_bytes(files_, folder_, std::string(kManifest), manifest);
    files_.sync_directory(folder_);
    std::string trash;
    if (replaces_damaged_) trash = move_to_trash(files_, run_dir_, step_);
    files_.rename_new(folder_, checkpoint.folder);
    committed_ = true;
    files_.sync_directory(run_dir_);
    if (!trash.empty()) try_remove_leftover(files_, run_dir_, trash);
  });
  return checkpoint;
}

Checkpoint open_checkpoint(FileSystem& files, const std::string& folder) {
  return open_checked(files, folder, Check::digests);
}

Checkpoint open_checkpoint(const std::string& folder) {
  return open_checkpoint(posix_file_system(), folder);
}

std::optional<Checkpoint> find_newest_checkpoint(FileSystem& files, const std::string& run_dir,
                                                 std::vector<std::string>* passed_over) {
  std::optional<Error> unread;
  for (const int64_t step : steps_in(files, run_dir)) {
    try {
      return open_checkpoint(files, join_path(run_dir, checkpoint_name(step)));
    } catch (const Error& error) {
      log_warning("checkpoint: passed over ", checkpoint_name(step), ": ", error.what());
      if (passed_over != nullptr) passed_over->emplace_back(error.what());
      if (error.kind() == ErrorKind::io && !unread) unread = error;
    }
  }
  if (unread) throw *unread;
  return std::nullopt;
}

void prune_checkpoints(FileSystem& files, const std::string& run_dir, int64_t keep) {
  require(keep >= 1, ErrorKind::option, "checkpoint", "at least one checkpoint must be kept, got ",
          keep, ".");
  int64_t complete = 0;
  std::vector<int64_t> older;
  for (const int64_t step : steps_in(files, run_dir)) {
    const std::string folder = join_path(run_dir, checkpoint_name(step));
    if (complete < keep) {
      // The newest must be whole to the last byte before anything older goes; reading the others
      // too would cost `keep` times the time at every save.
      const std::optional<Error> fault =
          fault_of(files, folder, complete == 0 ? Check::digests : Check::sizes);
      if (fault)
        log_warning("checkpoint: ", checkpoint_name(step), " is not counted: ", fault->what());
      else
        ++complete;
    } else if (files.info(join_path(folder, kManifest)).exists) {
      older.push_back(step);
    }
  }
  if (older.empty()) return;
  files.sync_directory(run_dir);  // the name of the newest: its own sync may have failed
  std::vector<std::string> trash;
  for (const int64_t step : older) trash.push_back(move_to_trash(files, run_dir, step));
  files.sync_directory(run_dir);  // no checkpoint loses a file before it has lost its name
  for (const std::string& name : trash) remove_leftover(files, run_dir, name);
}

void clear_stale_checkpoints(FileSystem& files, const std::string& run_dir) {
  for (const std::string& name : names_in(files, run_dir))
    if (is_temporary(name) || is_trash(name)) remove_leftover(files, run_dir, name);
}

}  // namespace pref
