// SPDX-License-Identifier: Apache-2.0
// The POSIX file system in a fresh folder per test; each failure by its kind and text.
// No test hands remove_all a path outside its own folder, not even to see it refused: were the
// guard broken, the test would delete it. The guard is the pure function removable_path, tested by
// its answers.
#include "libpref/base/file_system.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "libpref/base/error.h"

namespace pref {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class FileSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "pref_file_system_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    if (folder_.find("pref_file_system_") != std::string::npos) files_.remove_all(folder_);
  }
  std::string path(std::string_view name) const { return join_path(folder_, name); }
  void put(std::string_view name, std::string_view text) {
    auto file = files_.create(path(name));
    file->write(text);
    file->close();
  }
  std::string get(std::string_view name) { return files_.read(path(name), 1 << 20); }

  template <class Run>
  static std::string error_of(ErrorKind kind, Run run) {
    try {
      run();
    } catch (const Error& error) {
      EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
      return error.what();
    }
    return "no error";
  }

  FileSystem& files_ = posix_file_system();
  std::string folder_;
};

TEST_F(FileSystemTest, RoundTrip) {
  std::string bytes(300000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 256);
  auto file = files_.create(path("a"));
  file->write(std::string_view(bytes).substr(0, 1));
  file->write(bytes.data() + 1, bytes.size() - 1);
  file->sync();
  file->close();
  file->close();  // nothing left to do
  EXPECT_EQ(get("a"), bytes);
  const auto mapped = files_.map(path("a"));
  ASSERT_EQ(mapped->size(), bytes.size());
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(mapped->data()), mapped->size()), bytes);
  files_.append(path("a"))->write("end");
  files_.append(path("new"))->write("begin");
  EXPECT_EQ(get("a"), bytes + "end");
  EXPECT_EQ(get("new"), "begin");
  files_.truncate(path("a"), 2);
  EXPECT_EQ(get("a"), bytes.substr(0, 2));
  files_.sync_directory(folder_);
  EXPECT_GT(files_.free_bytes(folder_), 0u);
}

TEST_F(FileSystemTest, ValueOfEmptyFiles) {
  put("empty", "");
  EXPECT_EQ(get("empty"), "");
  EXPECT_EQ(files_.map(path("empty"))->size(), 0u);
}

TEST_F(FileSystemTest, ValueInfo) {
  put("a", "12345");
  const FileInfo file = files_.info(path("a")), folder = files_.info(folder_);
  EXPECT_TRUE(file.exists && file.is_regular && !file.is_directory);
  EXPECT_EQ(file.size, 5u);
  EXPECT_TRUE(folder.exists && folder.is_directory && !folder.is_regular);
  EXPECT_FALSE(files_.info(path("none")).exists);
  EXPECT_FALSE(files_.info(path("a/below_a_file")).exists);
}

TEST_F(FileSystemTest, ValueListIsSorted) {
  for (const char* name : {"b", "a", ".hidden", "c10", "c9"}) put(name, "");
  files_.make_directories(path("d/e/f"));
  files_.make_directories(path("d/e/f"));
  EXPECT_THAT(files_.list(folder_), ElementsAre(".hidden", "a", "b", "c10", "c9", "d"));
  EXPECT_THAT(files_.list(path("d/e")), ElementsAre("f"));
}

TEST_F(FileSystemTest, RejectsExistingOutputs) {
  put("a", "old");
  EXPECT_EQ(error_of(ErrorKind::cannot_create, [&] { files_.create(path("a")); }),
            "[file] " + path("a") +
                ": cannot be created: File exists. Remove it or choose another name.");
  EXPECT_EQ(get("a"), "old");
  EXPECT_THAT(error_of(ErrorKind::cannot_create, [&] { files_.create(path("no/such/a")); }),
              HasSubstr("No such file"));
  EXPECT_THAT(error_of(ErrorKind::cannot_create, [&] { files_.append(folder_); }),
              HasSubstr("Is a directory"));
  EXPECT_THAT(error_of(ErrorKind::cannot_create, [&] { files_.make_directories(path("a/b")); }),
              HasSubstr("Not a directory"));
}

TEST_F(FileSystemTest, RejectsMissingInputs) {
  const std::string none = path("none");
  for (const std::string& text :
       {error_of(ErrorKind::missing_input, [&] { files_.read(none, 10); }),
        error_of(ErrorKind::missing_input, [&] { files_.map(none); }),
        error_of(ErrorKind::missing_input, [&] { files_.list(none); }),
        error_of(ErrorKind::missing_input, [&] { files_.truncate(none, 0); }),
        error_of(ErrorKind::missing_input, [&] { files_.sync_directory(none); }),
        error_of(ErrorKind::missing_input, [&] { files_.free_bytes(none); })}) {
    EXPECT_THAT(text, HasSubstr(none + ": "));
    EXPECT_THAT(text, HasSubstr("No such file or directory"));
  }
  EXPECT_THAT(error_of(ErrorKind::missing_input, [&] { files_.read(folder_, 10); }),
              HasSubstr("Is a directory"));
  EXPECT_THAT(error_of(ErrorKind::missing_input, [&] { files_.map(folder_); }),
              HasSubstr("regular file"));
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of(ErrorKind::missing_input, [&] { files_.map(path("pipe")); }),
              HasSubstr("regular file"));
}

TEST_F(FileSystemTest, RejectsLargerThanAllowed) {
  put("a", "12345");
  EXPECT_EQ(files_.read(path("a"), 5), "12345");
  EXPECT_EQ(files_.read(path("a"), UINT64_MAX), "12345");
  EXPECT_THAT(error_of(ErrorKind::data, [&] { files_.read(path("a"), 4); }),
              HasSubstr("at most 4 bytes"));
  // No size is known beforehand here.
  EXPECT_FALSE(files_.read("/proc/self/status", 1 << 20).empty());
  EXPECT_THAT(error_of(ErrorKind::data, [&] { files_.read("/dev/zero", 100000); }),
              HasSubstr("at most 100000 bytes"));
}

TEST_F(FileSystemTest, RenameMovesFilesAndFolders) {
  put("a", "text");
  files_.rename_new(path("a"), path("b"));
  EXPECT_EQ(get("b"), "text");
  EXPECT_FALSE(files_.info(path("a")).exists);
  files_.make_directories(path("d/e"));
  files_.rename_new(path("d"), path("f"));
  EXPECT_TRUE(files_.info(path("f/e")).is_directory);
}

TEST_F(FileSystemTest, RejectsRenamingOntoSomething) {
  put("a", "a");
  put("b", "b");
  EXPECT_THAT(error_of(ErrorKind::cannot_create, [&] { files_.rename_new(path("a"), path("b")); }),
              HasSubstr("File exists"));
  EXPECT_EQ(get("a") + get("b"), "ab");
  files_.make_directories(path("c"));
  files_.make_directories(path("d"));  // rename(2) would replace an empty folder
  EXPECT_THAT(error_of(ErrorKind::cannot_create, [&] { files_.rename_new(path("c"), path("d")); }),
              HasSubstr("File exists"));
  EXPECT_THAT(
      error_of(ErrorKind::missing_input, [&] { files_.rename_new(path("none"), path("e")); }),
      HasSubstr("none"));
}

TEST_F(FileSystemTest, ValueRemoveAll) {
  files_.make_directories(path("d/e"));
  put("d/e/a", "x");
  put("kept", "x");
  files_.remove_all(path("d/"));
  EXPECT_THAT(files_.list(folder_), ElementsAre("kept"));
  files_.remove_all(path("d"));  // nothing there: nothing to do
  // The refusal itself, with the one path that names nothing even if it were tried.
  EXPECT_THAT(error_of(ErrorKind::internal, [&] { files_.remove_all(""); }),
              HasSubstr("is refused"));
}

TEST(RemovablePath, Value) {
  for (const char* path : {"a", "a/", "/a", "../a", "../../a/b/", "a/../b", "..a", "/a/b/..c"})
    EXPECT_TRUE(removable_path(path)) << path;
  for (const char* path : {"", "/", "//", ".", "./", "..", "../", "../..", "a/..", "a/../", "/.",
                           "/..", "/a/..", "/a/../"})
    EXPECT_FALSE(removable_path(path)) << path;
}

TEST_F(FileSystemTest, RejectsWritesAfterAFailure) {
  const int fd = ::open("/dev/full", O_WRONLY);
  if (fd < 0) GTEST_SKIP() << "no /dev/full";
  ::close(fd);
  auto file = files_.append("/dev/full");
  EXPECT_THAT(error_of(ErrorKind::io, [&] { file->write("x"); }),
              HasSubstr("/dev/full: writing failed: No space left"));
  EXPECT_THAT(error_of(ErrorKind::io, [&] { file->write("x"); }),
              HasSubstr("earlier write or sync failed"));
  EXPECT_THAT(error_of(ErrorKind::io, [&] { file->sync(); }),
              HasSubstr("earlier write or sync failed"));
  auto closed = files_.create(path("a"));
  closed->close();
  EXPECT_THAT(error_of(ErrorKind::internal, [&] { closed->write("x"); }), HasSubstr("after close"));
}

TEST_F(FileSystemTest, ValueFinishesPartialWrites) {
  // A file size limit makes write(2) take a part first and fail after it.
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 10000;
  auto file = files_.create(path("a"));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string text = error_of(ErrorKind::io, [&] { file->write(std::string(20000, 'x')); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(text, HasSubstr("File too large"));
  EXPECT_EQ(files_.info(path("a")).size, 10000u);
}

TEST(JoinPath, Value) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(join_path("/", "b"), "/b");
  EXPECT_EQ(join_path("a", ""), "a");
}

}  // namespace
}  // namespace pref
