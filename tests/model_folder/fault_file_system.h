// SPDX-License-Identifier: Apache-2.0
// A file system in memory that fails or crashes at the n-th call and forgets what was not synced.
// It holds what POSIX promises and no more: bytes are durable after fsync of their file, names
// after fsync of their folder, and a crash may keep any subset of the rest. Every open, write,
// sync, rename and unlink is one call. Nothing touches the disk.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"

namespace pref::testing_util {

/// Thrown in place of the process's end: derived from nothing, so that no handler for errors takes
/// it.
struct Crash {};

enum class Fault {
  none,
  error,         ///< the call fails with ENOSPC; a write leaves half of its bytes
  errors_after,  ///< it and every later call fail
  crash_before,  ///< the process ends before the call takes effect; a write leaves half of its
                 ///< bytes
  crash_after,   ///< it ends just after
};

class FaultFileSystem final : public FileSystem {
 public:
  /// The `call`-th call from now on (from 0) faults.
  void arm(Fault fault, int64_t call) {
    fault_ = fault;
    fault_call_ = calls_ + call;
  }
  void disarm() { fault_ = Fault::none; }
  int64_t calls() const { return calls_; }
  bool crashed() const { return crashed_; }

  /// The machine starts again. `keep(n)` draws from [0, n): for each unsynced change whether it
  /// survives (0: it does not). Without it, nothing unsynced survives.
  void restart(const std::function<uint64_t(uint64_t)>& keep = nullptr) {
    forget(*root_, keep);
    crashed_ = false;
    disarm();
  }

  // ---- what tests look at and alter; no calls, no faults ----

  /// Every path with its bytes; a folder has a final slash and no bytes.
  std::map<std::string, std::string> snapshot(const std::string& folder = "/") const {
    std::map<std::string, std::string> out;
    if (const Node* node = find(folder)) collect(*node, folder == "/" ? "" : folder, out);
    return out;
  }
  /// The bytes of a file, to read or to alter behind everyone's back (durably: see settle).
  std::string& bytes(const std::string& path) { return need(path, "open")->data; }
  /// Makes everything durable.
  void settle() { settle(*root_); }
  void put(const std::string& path, std::string text) {
    make_folders(parent_of(path));
    auto node = std::make_shared<Node>();
    node->data = std::move(text);
    folder_of(path).entries[last_of(path)] = std::move(node);
  }
  void make_folders(const std::string& path) { make(path); }
  void erase(const std::string& path) { folder_of(path).entries.erase(last_of(path)); }
  void swap(const std::string& a, const std::string& b) {
    std::swap(folder_of(a).entries.at(last_of(a)), folder_of(b).entries.at(last_of(b)));
  }
  bool has(const std::string& path) const { return find(path) != nullptr; }
  std::vector<std::string> names(const std::string& folder) const {
    std::vector<std::string> out;
    if (const Node* node = find(folder))
      for (const auto& [name, child] : node->entries) out.push_back(name);
    return out;
  }
  const std::vector<std::string>& removed() const {
    return removed_;
  }  ///< every path given to remove_all
  uint64_t free = uint64_t{1} << 40;

  // ---- FileSystem ----

  std::unique_ptr<WritableFile> create(const std::string& path) override {
    return call(ErrorKind::cannot_create, path, "cannot be created", [&] {
      require(find(path) == nullptr, ErrorKind::cannot_create, "file", path,
              ": cannot be created: File exists.");
      return open_output(path);
    });
  }
  std::unique_ptr<WritableFile> append(const std::string& path) override {
    return call(ErrorKind::cannot_create, path, "cannot be created",
                [&] { return open_output(path); });
  }
  std::unique_ptr<MappedFile> map(const std::string& path) override {
    return call(ErrorKind::io, path, "cannot be mapped",
                [&] { return std::make_unique<Map>(file(path)->data); });
  }
  std::string read(const std::string& path, uint64_t max_bytes) override {
    return call(ErrorKind::io, path, "reading failed", [&] {
      const std::string& data = file(path)->data;
      require(data.size() <= max_bytes, ErrorKind::data, "file", path, ": too large.");
      return data;
    });
  }
  FileInfo info(const std::string& path) override {
    return call(ErrorKind::io, path, "cannot be examined", [&]() -> FileInfo {
      const Node* node = find(path);
      if (node == nullptr) return {};
      return {.exists = true,
              .is_directory = node->directory,
              .is_regular = !node->directory,
              .size = node->data.size()};
    });
  }
  std::vector<std::string> list(const std::string& directory) override {
    return call(ErrorKind::io, directory, "cannot be listed", [&] {
      require(need(directory, "list")->directory, ErrorKind::missing_input, "file", directory,
              ": not a folder.");
      return names(directory);
    });
  }
  void make_directories(const std::string& path) override {
    call(ErrorKind::cannot_create, path, "the folder cannot be created", [&] { make(path); });
  }
  void rename_new(const std::string& from, const std::string& to) override {
    call(ErrorKind::io, from, "cannot be renamed", [&] {
      require(parent_of(from) == parent_of(to), ErrorKind::internal, "file",
              "only renames within a folder are modelled.");
      require(find(to) == nullptr, ErrorKind::cannot_create, "file", from,
              ": cannot be renamed: File exists.");
      const std::shared_ptr<Node> node = need(from, "rename");
      Node& folder = folder_of(from);
      folder.entries.erase(last_of(from));
      folder.entries[last_of(to)] = node;
      folder.pending.push_back(
          {last_of(from), last_of(to), node});  // one change: POSIX renames atomically
    });
  }
  void remove_all(const std::string& path) override {
    removed_.push_back(path);
    require(removable_path(path), ErrorKind::internal, "file", "remove_all(\"", path,
            "\") is refused.");
    if (find(path) != nullptr) unlink(path);
  }
  void truncate(const std::string& path, uint64_t size) override {
    call(ErrorKind::io, path, "cannot be cut", [&] { file(path)->data.resize(size); });
  }
  void sync_directory(const std::string& path) override {
    call(ErrorKind::io, path, "fsync of the folder failed", [&] {
      const std::shared_ptr<Node> node = need(path, "sync");
      node->durable_entries = node->entries;
      node->pending.clear();
    });
  }
  uint64_t free_bytes(const std::string& path) override {
    return call(ErrorKind::io, path, "free space is unknown", [&] {
      need(path, "statvfs");
      return free;
    });
  }

 private:
  struct Node;
  /// A change of a folder that is not durable: a name gone, a name made, or both at once (a
  /// rename).
  struct Change {
    std::string gone, made;
    std::shared_ptr<Node> node;
  };
  struct Node {
    bool directory = false;
    std::string data, durable_data;
    std::map<std::string, std::shared_ptr<Node>> entries, durable_entries;
    std::vector<Change> pending;
  };

  class Map final : public MappedFile {
   public:
    explicit Map(std::string data) : data_(std::move(data)) {}
    const std::byte* data() const override {
      return reinterpret_cast<const std::byte*>(data_.data());
    }
    uint64_t size() const override { return data_.size(); }

   private:
    std::string data_;
  };

  class File final : public WritableFile {
   public:
    File(FaultFileSystem& owner, std::string path, std::shared_ptr<Node> node)
        : owner_(owner), path_(std::move(path)), node_(std::move(node)) {}
    using WritableFile::write;
    void write(const void* data, size_t size) override {
      const std::string_view text(static_cast<const char*>(data), size);
      const auto half = [&] { node_->data.append(text.substr(0, size / 2)); };
      owner_.call(
          ErrorKind::io, path_, "writing failed", [&] { node_->data.append(text); }, half);
    }
    void sync() override {
      owner_.call(ErrorKind::io, path_, "fsync failed", [&] { node_->durable_data = node_->data; });
    }
    void close() override {
      owner_.call(ErrorKind::io, path_, "closing failed", [] {});
    }

   private:
    FaultFileSystem& owner_;
    std::string path_;
    std::shared_ptr<Node> node_;
  };

  template <class Effect>
  std::invoke_result_t<Effect&> call(ErrorKind kind, const std::string& path, std::string_view what,
                                     Effect effect) {
    return call(kind, path, what, effect, [] {});
  }
  template <class Effect, class Partial>
  std::invoke_result_t<Effect&> call(ErrorKind kind, const std::string& path, std::string_view what,
                                     Effect effect, Partial partial) {
    if (crashed_) throw Crash();
    const int64_t index = calls_++;
    const bool hit = fault_ == Fault::errors_after ? index >= fault_call_ : index == fault_call_;
    if (hit && (fault_ == Fault::error || fault_ == Fault::errors_after)) {
      partial();
      fail(kind, "file", path, ": ", what, ": No space left on device.");
    }
    if (hit && fault_ == Fault::crash_before) {
      partial();
      crash();
    }
    // Whether before or after the effect, the caller does not get its result.
    struct After {
      FaultFileSystem& self;
      bool hit;
      void check() const {
        if (hit && self.fault_ == Fault::crash_after) self.crash();
      }
    } const after{*this, hit};
    if constexpr (std::is_void_v<std::invoke_result_t<Effect&>>) {
      effect();
      after.check();
    } else {
      auto result = effect();
      after.check();
      return result;
    }
  }
  [[noreturn]] void crash() {
    crashed_ = true;
    throw Crash();
  }

  static std::vector<std::string> parts(const std::string& path) {
    std::vector<std::string> out;
    for (size_t at = 0; at < path.size();) {
      const size_t end = std::min(path.find('/', at), path.size());
      if (end > at && path.substr(at, end - at) != ".") out.push_back(path.substr(at, end - at));
      at = end + 1;
    }
    return out;
  }
  static std::string parent_of(const std::string& path) {
    const size_t slash = path.find_last_of('/');
    return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
  }
  static std::string last_of(const std::string& path) { return parts(path).back(); }

  std::shared_ptr<Node> lookup(const std::string& path) const {
    std::shared_ptr<Node> at = root_;
    for (const std::string& part : parts(path)) {
      const auto found = at->entries.find(part);
      if (found == at->entries.end()) return nullptr;
      at = found->second;
    }
    return at;
  }
  const Node* find(const std::string& path) const { return lookup(path).get(); }
  std::shared_ptr<Node> need(const std::string& path, std::string_view what) const {
    std::shared_ptr<Node> node = lookup(path);
    require(node != nullptr, ErrorKind::missing_input, "file", path, ": ", what,
            ": No such file or directory.");
    return node;
  }
  std::shared_ptr<Node> file(const std::string& path) const {
    std::shared_ptr<Node> node = need(path, "open");
    require(!node->directory, ErrorKind::missing_input, "file", path,
            ": a regular file is required.");
    return node;
  }
  Node& folder_of(const std::string& path) const { return *need(parent_of(path), "open"); }

  std::unique_ptr<WritableFile> open_output(const std::string& path) {
    std::shared_ptr<Node> node = lookup(path);
    if (node == nullptr) {
      node = std::make_shared<Node>();
      link(folder_of(path), last_of(path), node);
    }
    return std::make_unique<File>(*this, path, node);
  }
  static void link(Node& folder, const std::string& name, const std::shared_ptr<Node>& node) {
    folder.entries[name] = node;
    folder.pending.push_back({"", name, node});
  }
  void make(const std::string& path) {
    std::shared_ptr<Node> at = root_;
    for (const std::string& part : parts(path)) {
      std::shared_ptr<Node> next = at->entries.contains(part) ? at->entries.at(part) : nullptr;
      if (next == nullptr) {
        next = std::make_shared<Node>();
        next->directory = true;
        link(*at, part, next);
      }
      require(next->directory, ErrorKind::cannot_create, "file", path, ": Not a directory.");
      at = next;
    }
  }
  void unlink(const std::string& path) {
    if (find(path)->directory)
      for (const std::string& name : names(path)) unlink(join_path(path, name));
    call(ErrorKind::io, path, "cannot be removed", [&] {
      Node& folder = folder_of(path);
      folder.entries.erase(last_of(path));
      folder.pending.push_back({last_of(path), "", nullptr});
    });
  }

  static void forget(Node& node, const std::function<uint64_t(uint64_t)>& keep) {
    if (!node.directory) {
      const uint64_t choice = keep && node.data != node.durable_data ? keep(4) : 0;
      const std::string written = std::exchange(node.data, node.durable_data);
      if (choice == 1) node.data = written;
      if (choice == 2) node.data = written.substr(0, keep(written.size() + 1));
      if (choice == 3)
        node.data.resize(written.size(), '\0');  // the size survived, the bytes did not
      node.durable_data = node.data;
      return;
    }
    for (const Change& change : node.pending) {
      if (!keep || keep(2) == 0) continue;
      if (!change.gone.empty()) node.durable_entries.erase(change.gone);
      if (!change.made.empty()) node.durable_entries[change.made] = change.node;
    }
    node.pending.clear();
    node.entries = node.durable_entries;
    for (const auto& [name, child] : node.entries) forget(*child, keep);
  }
  static void settle(Node& node) {
    node.durable_data = node.data;
    node.durable_entries = node.entries;
    node.pending.clear();
    for (const auto& [name, child] : node.entries) settle(*child);
  }
  static void collect(const Node& node, const std::string& path,
                      std::map<std::string, std::string>& out) {
    if (!node.directory) {
      out[path] = node.data;
      return;
    }
    out[path + "/"] = "";
    for (const auto& [name, child] : node.entries) collect(*child, path + "/" + name, out);
  }
  static std::shared_ptr<Node> make_root() {
    auto root = std::make_shared<Node>();
    root->directory = true;
    return root;
  }

  std::shared_ptr<Node> root_ = make_root();
  Fault fault_ = Fault::none;
  int64_t fault_call_ = -1, calls_ = 0;
  bool crashed_ = false;
  std::vector<std::string> removed_;
};

}  // namespace pref::testing_util
