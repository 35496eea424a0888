// SPDX-License-Identifier: Apache-2.0
// The POSIX file system. Partial writes and interrupted calls are finished here; nothing is
// buffered.
#include "libpref/base/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "libpref/base/error.h"

namespace pref {
namespace {

[[noreturn]] void fail_errno(ErrorKind kind, const std::string& path, std::string_view what,
                             int error, std::string_view advice = {}) {
  fail(kind, "file", path, ": ", what, ": ", std::generic_category().message(error), ".",
       advice.empty() ? "" : " ", advice);
}

/// The kind of an error on an input: not there or not readable, or a fault of the device.
ErrorKind input_kind(int error) {
  return error == EIO || error == EMFILE || error == ENFILE || error == ENOMEM
             ? ErrorKind::io
             : ErrorKind::missing_input;
}

/// An open descriptor, closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

int open_retry(const std::string& path, int flags) {
  int fd;
  do fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  while (fd < 0 && errno == EINTR);
  return fd;
}

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~PosixWritableFile() override {
    if (fd_ >= 0) ::close(fd_);
  }
  using WritableFile::write;

  void write(const void* data, size_t size) override {
    check_usable();
    const char* at = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t written = ::write(fd_, at, std::min<size_t>(size, size_t{1} << 30));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        failed_ = true;  // an unknown part may have been written
        fail_errno(ErrorKind::io, path_, "writing failed", errno);
      }
      at += written;
      size -= static_cast<size_t>(written);
    }
  }

  void sync() override {
    check_usable();
    int status;
    do status = ::fsync(fd_);
    while (status != 0 && errno == EINTR);
    if (status == 0) return;
    // After a failed fsync the kernel may have dropped the pages: a second one would succeed
    // without the data.
    failed_ = true;
    fail_errno(ErrorKind::io, path_, "fsync failed; the file is not durable", errno);
  }

  void close() override {
    if (fd_ < 0) return;
    const int fd = std::exchange(fd_, -1);
    if (::close(fd) != 0 && errno != EINTR)
      fail_errno(ErrorKind::io, path_, "closing failed", errno);
  }

 private:
  void check_usable() const {
    require(fd_ >= 0, ErrorKind::internal, "file", path_, ": used after close().");
    require(!failed_, ErrorKind::io, "file", path_,
            ": an earlier write or sync failed; write a new file instead.");
  }
  std::string path_;
  int fd_;
  bool failed_ = false;
};

class PosixMappedFile final : public MappedFile {
 public:
  PosixMappedFile(void* data, uint64_t size) : data_(data), size_(size) {}
  ~PosixMappedFile() override {
    if (data_ != nullptr) ::munmap(data_, size_);
  }
  const std::byte* data() const override { return static_cast<const std::byte*>(data_); }
  uint64_t size() const override { return size_; }

 private:
  void* data_;
  uint64_t size_;
};

class PosixFileSystem final : public FileSystem {
 public:
  std::unique_ptr<WritableFile> create(const std::string& path) override {
    return open_output(path, O_CREAT | O_EXCL);
  }
  std::unique_ptr<WritableFile> append(const std::string& path) override {
    return open_output(path, O_CREAT | O_APPEND);
  }

  std::unique_ptr<MappedFile> map(const std::string& path) override {
    // O_NONBLOCK: opening a FIFO without a writer would wait for ever; it is refused below.
    const Descriptor file(open_retry(path, O_RDONLY | O_NONBLOCK));
    if (file.get() < 0) fail_errno(input_kind(errno), path, "cannot be opened", errno);
    struct stat status;
    if (::fstat(file.get(), &status) != 0) fail_errno(ErrorKind::io, path, "fstat failed", errno);
    require(S_ISREG(status.st_mode), ErrorKind::missing_input, "file", path,
            ": a regular file is required to be mapped.");
    const auto size = static_cast<uint64_t>(status.st_size);
    if (size == 0)
      return std::make_unique<PosixMappedFile>(nullptr, 0);  // mmap refuses a length of zero
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
    if (data == MAP_FAILED) fail_errno(ErrorKind::io, path, "cannot be mapped", errno);
    return std::make_unique<PosixMappedFile>(data, size);
  }

  std::string read(const std::string& path, uint64_t max_bytes) override {
    const Descriptor file(open_retry(path, O_RDONLY));
    if (file.get() < 0) fail_errno(input_kind(errno), path, "cannot be opened", errno);
    struct stat status;
    if (::fstat(file.get(), &status) != 0) fail_errno(ErrorKind::io, path, "fstat failed", errno);
    std::string out;
    max_bytes = std::min(max_bytes, uint64_t{1} << 62);
    // The size is a hint only: pipes and /proc files say 0, and a file may grow. One byte more than
    // told finds the end.
    uint64_t step = S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) + 1 : 1 << 16;
    while (true) {
      step = std::min({step, max_bytes - out.size() + 1, uint64_t{1} << 30});
      const size_t before = out.size();
      out.resize(before + step);
      ssize_t got;
      do got = ::read(file.get(), out.data() + before, step);
      while (got < 0 && errno == EINTR);
      if (got < 0)
        fail_errno(errno == EISDIR ? ErrorKind::missing_input : ErrorKind::io, path,
                   "reading failed", errno);
      out.resize(before + static_cast<size_t>(got));
      require(out.size() <= max_bytes, ErrorKind::data, "file", path, ": must have at most ",
              max_bytes, " bytes, has more. Is it the right file?");
      if (got == 0) return out;
      step = std::max<uint64_t>(step, 1 << 16);
    }
  }

  FileInfo info(const std::string& path) override {
    struct stat status;
    if (::stat(path.c_str(), &status) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return {};
      fail_errno(input_kind(errno), path, "cannot be examined", errno);
    }
    return {.exists = true,
            .is_directory = S_ISDIR(status.st_mode),
            .is_regular = S_ISREG(status.st_mode),
            .size = S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0};
  }

  std::vector<std::string> list(const std::string& directory) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), ::closedir);
    if (!stream) fail_errno(input_kind(errno), directory, "cannot be listed", errno);
    std::vector<std::string> names;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(stream.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) fail_errno(ErrorKind::io, directory, "listing failed", errno);
    std::sort(names.begin(), names.end());
    return names;
  }

  void make_directories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error)
      fail_errno(ErrorKind::cannot_create, path, "the folder cannot be created", error.value());
  }

  void rename_new(const std::string& from, const std::string& to) override {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return;
    if (errno == EINVAL || errno == ENOSYS)
      return rename_checked(from, to);  // NFS and others lack the flag
    fail_rename(from, to, errno);
  }

  void remove_all(const std::string& path) override {
    require(removable_path(path), ErrorKind::internal, "file", "remove_all(\"", path,
            "\") is refused: the path must end in the name of a file or folder.");
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) fail_errno(ErrorKind::io, path, "cannot be removed", error.value());
  }

  void truncate(const std::string& path, uint64_t size) override {
    int status;
    do status = ::truncate(path.c_str(), static_cast<off_t>(size));
    while (status != 0 && errno == EINTR);
    if (status != 0)
      fail_errno(errno == ENOENT ? ErrorKind::missing_input : ErrorKind::io, path, "cannot be cut",
                 errno);
  }

  void sync_directory(const std::string& path) override {
    const Descriptor directory(open_retry(path, O_RDONLY | O_DIRECTORY));
    if (directory.get() < 0)
      fail_errno(input_kind(errno), path, "the folder cannot be opened", errno);
    int status;
    do status = ::fsync(directory.get());
    while (status != 0 && errno == EINTR);
    // EINVAL: this file system cannot sync a folder; it has no more durability to give.
    if (status != 0 && errno != EINVAL)
      fail_errno(ErrorKind::io, path, "fsync of the folder failed", errno);
  }

  uint64_t free_bytes(const std::string& path) override {
    struct statvfs status;
    if (::statvfs(path.c_str(), &status) != 0)
      fail_errno(input_kind(errno), path, "free space is unknown", errno);
    return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
  }

 private:
  static std::unique_ptr<WritableFile> open_output(const std::string& path, int flags) {
    const int fd = open_retry(path, O_WRONLY | flags);
    if (fd < 0)
      fail_errno(ErrorKind::cannot_create, path, "cannot be created", errno,
                 errno == EEXIST ? "Remove it or choose another name." : "");
    return std::make_unique<PosixWritableFile>(path, fd);
  }

  [[noreturn]] static void fail_rename(const std::string& from, const std::string& to, int error) {
    const ErrorKind kind = error == EEXIST || error == ENOTEMPTY ? ErrorKind::cannot_create
                           : error == ENOENT                     ? ErrorKind::missing_input
                                                                 : ErrorKind::io;
    fail_errno(kind, from, "cannot be renamed to " + to, error);
  }

  /// For file systems without RENAME_NOREPLACE. link() is as exclusive; for a folder the check and
  /// the rename are two steps, and only an empty folder made in between could be lost.
  static void rename_checked(const std::string& from, const std::string& to) {
    struct stat status;
    if (::lstat(from.c_str(), &status) != 0) fail_rename(from, to, errno);
    if (!S_ISDIR(status.st_mode)) {
      if (::link(from.c_str(), to.c_str()) != 0) fail_rename(from, to, errno);
      if (::unlink(from.c_str()) != 0)
        fail_errno(ErrorKind::io, from, "cannot be removed after linking", errno);
      return;
    }
    if (::lstat(to.c_str(), &status) == 0) fail_rename(from, to, EEXIST);
    if (::rename(from.c_str(), to.c_str()) != 0) fail_rename(from, to, errno);
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem instance;
  return instance;
}

bool removable_path(const std::string& path) {
  std::filesystem::path last = std::filesystem::path(path).lexically_normal();
  if (!last.has_filename()) last = last.parent_path();  // "a/b/" is a/b
  return last.has_filename() && last.filename() != "." && last.filename() != "..";
}

std::string join_path(std::string_view directory, std::string_view name) {
  std::string out(directory);
  if (!out.empty() && out.back() != '/' && !name.empty()) out.push_back('/');
  return out.append(name);
}

}  // namespace pref
