// SPDX-License-Identifier: Apache-2.0
// See parquet.h.
#include "libpref/data/files/parquet.h"

#include <fcntl.h>
#include <parquet_script.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "libpref/data/model_folder/strict_json.h"

extern char** environ;

namespace pref {
namespace {

constexpr int kNoPyarrow = 3;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string cache_folder(const std::string& path) {
  std::string base = environment("XDG_CACHE_HOME");
  if (base.empty()) {
    const std::string home = environment("HOME");
    require(!home.empty(), ErrorKind::data, "parquet", path,
            ": its conversion needs a cache folder. Set XDG_CACHE_HOME or HOME");
    base = join_path(home, ".cache");
  }
  return join_path(base, "libpref");
}

/// The script as a file, so that the line in a message can be run as it stands.
std::string script_file(FileSystem& files, const std::string& folder, const std::string& digest) {
  const std::string path = join_path(folder, "parquet_to_jsonl-" + digest + ".py");
  if (files.info(path).is_regular) return path;
  files.make_directories(folder);
  const std::string part = path + "." + std::to_string(getpid());
  const auto file = files.create(part);
  file->write(kParquetScript);
  file->close();
  try {
    files.rename_new(part, path);
  } catch (const Error&) {  // another process was first
    files.remove_all(part);
    if (!files.info(path).is_regular) throw;
  }
  return path;
}

}  // namespace

std::string shell_word(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

int run_program(const std::vector<std::string>& arguments, std::string& errors) {
  constexpr size_t kKept = 2000;
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  int ends[2];
  require(pipe2(ends, O_CLOEXEC) == 0, ErrorKind::io, "run", "no pipe for ", arguments[0]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  pid_t child = 0;
  const int status = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  errors.clear();
  char buffer[1024];
  for (ssize_t size = 0;
       (size = read(ends[0], buffer, sizeof buffer)) > 0 || (size < 0 && errno == EINTR);) {
    if (size > 0) errors.append(buffer, static_cast<size_t>(size));
    if (errors.size() > 2 * kKept) errors.erase(0, errors.size() - kKept);
  }
  close(ends[0]);
  if (status != 0) return -1;
  int result = 0;
  while (waitpid(child, &result, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

std::string convert_parquet(FileSystem& files, const std::string& path, std::string_view bytes) {
  const std::string folder = cache_folder(path);
  const std::string version =
      fast_digest(kParquetScript.data(), kParquetScript.size()).substr(0, 8);
  const std::string target = join_path(join_path(folder, "parquet"),
                                       sha256_hex(bytes).substr(0, 32) + "-" + version + ".jsonl");
  if (files.info(target).is_regular) return target;
  files.make_directories(join_path(folder, "parquet"));
  const std::string script = script_file(files, folder, version);
  std::string python = environment("PREF_PYTHON");
  if (python.empty()) python = "python3";
  log_info("converting ", path, " to ", target);
  std::string errors;
  const int code = run_program({python, script, path, target}, errors);
  if (code == 0 && files.info(target).is_regular) return target;
  const std::string line = shell_word(python) + " " + shell_word(script) + " " + shell_word(path) +
                           " " + shell_word(path + ".jsonl");
  if (code == kNoPyarrow || code == -1 || code == 127)
    fail(ErrorKind::data, "parquet", path, ": is a Parquet file, and its conversion needs ",
         code == kNoPyarrow ? "pyarrow, which " + python + " cannot import"
                            : python + ", which does not start",
         ". Install it (", python,
         " -m pip install pyarrow), name another Python in PREF_PYTHON, or "
         "convert the file where there is one: ",
         line);
  errors.erase(errors.find_last_not_of(" \n") + 1);
  fail(ErrorKind::data, "parquet", path, ": the conversion failed (exit code ", code,
       "): ", escape_text(errors.substr(errors.rfind('\n') + 1)),
       ". Is the file whole? To see more, run: ", line);
}

}  // namespace pref
