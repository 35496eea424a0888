// SPDX-License-Identifier: Apache-2.0
// Helpers of the data tests: a folder of its own per test, and the shared real data where it is
// present.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "libpref/base/error.h"
#include "tests/data/tiny_models.h"

namespace pref::testing {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "pref_data_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TempFolder() {  // only ever the folder that mkdtemp made
    const std::filesystem::path path(path_);
    if (path.is_absolute() && path.filename().string().starts_with("pref_data_"))
      std::filesystem::remove_all(path);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string write(const std::string& name, std::string_view text) const {
    const std::string file = path_ + "/" + name;
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The text of the pref::Error that `run` throws, "" when it throws none.
template <class Run>
std::string error_of(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline std::string shared_file(const std::string& name) {
  return std::string(PREF_SOURCE_DIR) + "/../shared/data/" + name;
}
#define PREF_SKIP_WITHOUT(file) \
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not present"

}  // namespace pref::testing
