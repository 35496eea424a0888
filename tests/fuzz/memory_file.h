// SPDX-License-Identifier: Apache-2.0
// One file in memory for readers that take a FileSystem; nothing is written.
#pragma once
#include "libpref/base/file_system.h"
#include "tests/fuzz/fuzz_util.h"

namespace pref::fuzz {

class MemoryFile final : public FileSystem {
 public:
  explicit MemoryFile(std::string_view bytes) : bytes_(bytes) {}
  std::unique_ptr<MappedFile> map(const std::string&) override {
    return std::make_unique<Mapped>(bytes_);
  }
  std::string read(const std::string&, uint64_t) override { return std::string(bytes_); }
  FileInfo info(const std::string&) override {
    return {.exists = true, .is_regular = true, .size = bytes_.size()};
  }
  std::unique_ptr<WritableFile> create(const std::string&) override { refuse(); }
  std::unique_ptr<WritableFile> append(const std::string&) override { refuse(); }
  std::vector<std::string> list(const std::string&) override { refuse(); }
  void make_directories(const std::string&) override { refuse(); }
  void rename_new(const std::string&, const std::string&) override { refuse(); }
  void remove_all(const std::string&) override { refuse(); }
  void truncate(const std::string&, uint64_t) override { refuse(); }
  void sync_directory(const std::string&) override { refuse(); }
  uint64_t free_bytes(const std::string&) override { refuse(); }

 private:
  struct Mapped final : MappedFile {
    explicit Mapped(std::string_view bytes) : bytes_(bytes) {}
    const std::byte* data() const override {
      return reinterpret_cast<const std::byte*>(bytes_.data());
    }
    uint64_t size() const override { return bytes_.size(); }
    std::string_view bytes_;
  };
  [[noreturn]] static void refuse() {
    promise(false, "a reader reads only");
    std::abort();
  }
  std::string_view bytes_;
};

}  // namespace pref::fuzz
