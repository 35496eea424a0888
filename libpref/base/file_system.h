// SPDX-License-Identifier: Apache-2.0
// The file operations that durable output needs, behind an interface small enough to be replaced in
// tests (an in-memory one that drops unsynced writes or fails the n-th call). Readers of plain
// inputs use it too. Every failure is a pref::Error with the path and errno's text: missing_input,
// cannot_create or io; a file larger than a reader allows is ErrorKind::data.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pref {

/// A file being written. Nothing is durable before sync(). The destructor closes without throwing.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual void write(const void* data, size_t size) = 0;
  void write(std::string_view text) { write(text.data(), text.size()); }
  virtual void sync() = 0;  ///< fsync; a failed one is never retried on the same file
  virtual void close() = 0;
};

/// A whole file mapped read-only.
class MappedFile {
 public:
  virtual ~MappedFile() = default;
  virtual const std::byte* data() const = 0;
  virtual uint64_t size() const = 0;
};

struct FileInfo {
  bool exists = false, is_directory = false, is_regular = false;
  uint64_t size = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual std::unique_ptr<WritableFile> create(
      const std::string& path) = 0;  ///< exclusively: an existing file is an error
  virtual std::unique_ptr<WritableFile> append(
      const std::string& path) = 0;  ///< created when missing
  virtual std::unique_ptr<MappedFile> map(const std::string& path) = 0;
  virtual std::string read(
      const std::string& path,
      uint64_t max_bytes) = 0;  ///< whole file; larger than max_bytes is an error
  virtual FileInfo info(const std::string& path) = 0;  ///< never throws for a missing path
  virtual std::vector<std::string> list(const std::string& directory) = 0;  ///< names, sorted
  virtual void make_directories(const std::string& path) = 0;
  virtual void rename_new(const std::string& from,
                          const std::string& to) = 0;    ///< fails when `to` exists
  virtual void remove_all(const std::string& path) = 0;  ///< refuses what is not removable_path
  virtual void truncate(const std::string& path, uint64_t size) = 0;
  virtual void sync_directory(const std::string& path) = 0;
  virtual uint64_t free_bytes(const std::string& path) = 0;
};

/// The machine's own file system (POSIX). One instance, without state.
FileSystem& posix_file_system();

/// False for "", "/", "." and "..", and paths that come to them. Tests ask this; none may hand such
/// a path to remove_all.
bool removable_path(const std::string& path);

std::string join_path(std::string_view directory, std::string_view name);

}  // namespace pref
