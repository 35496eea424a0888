// SPDX-License-Identifier: Apache-2.0
// Checkpoints against a file system that fails, crashes and forgets: whatever happens, what was
// complete stays complete, and what is damaged is never loaded. All but the one test named OnDisk
// run in memory; that one stays in a folder of its own.
#include "libpref/train/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/base/log.h"
#include "tests/model_folder/fault_file_system.h"

namespace pref {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;
using testing::UnorderedElementsAre;
using testing_util::Crash;
using testing_util::Fault;
using testing_util::FaultFileSystem;

const std::string kRun = "/runs/dpo";

/// Two tensors whose bytes depend on the step.
class Tensors final : public TensorSource {
 public:
  explicit Tensors(int64_t step)
      : data_{std::string(24, static_cast<char>(step)), std::string(6, '\x5a')} {}
  static std::vector<TensorEntry> entries() {
    return {{.name = "w", .type = TensorType::f32, .shape = {2, 3}},
            {.name = "b", .type = TensorType::bf16, .shape = {3}}};
  }
  std::span<const std::byte> bytes(size_t index) override {
    return std::as_bytes(std::span(data_[index]));
  }

 private:
  std::string data_[2];
};

std::string log_text(int64_t step) { return "step " + std::to_string(step) + "\n"; }
std::string state_text(int64_t step) {
  return "{\"row\":" + std::to_string(8 * step) + ",\"epoch\":1}";
}

Checkpoint save(FileSystem& files, int64_t step) {
  CheckpointWriter writer(files, kRun, step, 1000);
  Tensors tensors(step);
  writer.add_tensors("model.safetensors", Tensors::entries(), tensors, {{"format", "pt"}});
  writer.add_file("metrics.jsonl", log_text(step));
  return writer.commit({{"cursor", state_text(step)}});
}

std::string folder_of(int64_t step) { return kRun + "/checkpoint-" + std::to_string(step); }

/// That a checkpoint holds what save() wrote at its step.
void expect_saved(FileSystem& files, const Checkpoint& checkpoint) {
  const int64_t step = checkpoint.step;
  EXPECT_EQ(checkpoint.folder, folder_of(step));
  EXPECT_EQ(checkpoint.state_text("cursor"), state_text(step));
  EXPECT_EQ(files.read(checkpoint.path("metrics.jsonl"), 100), log_text(step));
  const SafetensorsFile tensors(files, checkpoint.path("model.safetensors"));
  ASSERT_NE(tensors.find("w"), nullptr);
  const auto bytes = tensors.bytes(*tensors.find("w"));
  EXPECT_EQ(bytes.size(), 24u);
  EXPECT_TRUE(
      std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) { return b == std::byte(step); }));
}

template <class Run>
std::string error_of(ErrorKind kind, Run run) {
  try {
    run();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  return "no error";
}

class ManifestTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::error);
  }  // each checkpoint passed over is a warning
  void TearDown() override {
    set_log_level(LogLevel::info);
    for (const std::string& path : files_.removed())
      EXPECT_THAT(
          path,
          MatchesRegex("/runs/(a/)?dpo/(checkpoint-[0-9]+\\.tmp-[0-9a-f]+|\\.trash-[0-9a-f]+)"));
  }
  /// The names in the run folder: "checkpoint-20", and "temporary" or "trash" for what is left
  /// over.
  std::vector<std::string> run_names(const FaultFileSystem& files) {
    std::vector<std::string> names = files.names(kRun);
    for (std::string& name : names) {
      if (name.find(".tmp-") != std::string::npos) name = "temporary";
      if (name.starts_with(".trash-")) name = "trash";
    }
    return names;
  }
  int64_t newest() {
    const auto found = find_newest_checkpoint(files_, kRun);
    return found ? found->step : -1;
  }
  /// A manifest with the right digest over `rest`, which follows the first line.
  void put_manifest(int64_t step, const std::string& rest) {
    files_.put(folder_of(step) + "/manifest.json",
               "{\"sha256\":\"" + sha256_hex(rest) + "\",\n" + rest);
  }

  FaultFileSystem files_;
};

// ---- what is written ----

TEST_F(ManifestTest, ValueManifestText) {
  CheckpointWriter writer(files_, kRun, 20, 3);
  writer.add_file("b.txt", "");
  writer.add_file("a.txt", "abc");
  const Checkpoint checkpoint =
      writer.commit({{"rows", "[ 1, 2.5 ]"}, {"cursor", "{\"row\": 7, \"epoch\": 1}"}});
  EXPECT_EQ(checkpoint.state_text("rows"), "[1,2.5]");
  const std::string text = files_.bytes(folder_of(20) + "/manifest.json");
  // The digests of "abc" and of nothing are FIPS 180's examples.
  const std::string rest =
      "\"format\":\"pref-checkpoint\",\"version\":1,\"step\":20,"
      "\"state\":{\"cursor\":{\"row\":7,\"epoch\":1},\"rows\":[1,2.5]},\"files\":["
      "{\"name\":\"a.txt\",\"size\":3,\"sha256\":"
      "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"},"
      "{\"name\":\"b.txt\",\"size\":0,\"sha256\":"
      "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}"
      "]}\n";
  EXPECT_EQ(text, "{\"sha256\":\"" + sha256_hex(rest) + "\",\n" + rest);
}

TEST_F(ManifestTest, ValueCheckpointName) {
  EXPECT_EQ(checkpoint_name(0), "checkpoint-0");
  EXPECT_EQ(checkpoint_name(12000), "checkpoint-12000");
  EXPECT_THAT(error_of(ErrorKind::option, [] { checkpoint_name(-1); }), HasSubstr("got -1"));
}

TEST_F(ManifestTest, RoundTrip) {
  const std::map<std::string, std::string> state = {
      {"numbers", "[0.1,1e-300,-0.0,18446744073709551615,-9223372036854775808,true,null]"},
      {"text", "\"Grüße \\\"x\\\" \\n\""},
      {"order", "{\"z\":1,\"a\":{\"y\":[],\"b\":{}}}"},
      {"cursor", state_text(3)}};
  CheckpointWriter writer(files_, kRun, 3, 1000);
  EXPECT_THAT(writer.folder(), MatchesRegex("/runs/dpo/checkpoint-3\\.tmp-[0-9a-f]+"));
  Tensors tensors(3);
  writer.add_tensors("model.safetensors", Tensors::entries(), tensors);
  writer.add_file("metrics.jsonl", log_text(3));
  const Checkpoint written = writer.commit(state);
  const Checkpoint read = open_checkpoint(files_, folder_of(3) + "/");
  EXPECT_EQ(read.step, 3);
  EXPECT_EQ(read.state, state);
  EXPECT_EQ(written.state, state);
  ASSERT_EQ(read.files.size(), 2u);
  ASSERT_EQ(written.files.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const std::string& bytes = files_.bytes(read.path(read.files[i].name));
    EXPECT_EQ(read.files[i].name, i == 0 ? "metrics.jsonl" : "model.safetensors");
    EXPECT_EQ(read.files[i].size, bytes.size());
    EXPECT_EQ(read.files[i].sha256, sha256_hex(bytes));
    EXPECT_EQ(written.files[i].sha256, read.files[i].sha256);
  }
  expect_saved(files_, written);
}

TEST_F(ManifestTest, RoundTripFilesOfOtherRanks) {
  {
    CheckpointWriter writer(files_, kRun, 4, 1000);
    Tensors tensors(4);
    const CheckpointFile a =
        write_checkpoint_file(files_, writer.folder(), "metrics.jsonl", log_text(4));
    const CheckpointFile b = write_checkpoint_tensors(files_, writer.folder(), "model.safetensors",
                                                      Tensors::entries(), tensors);
    EXPECT_EQ(a.size, log_text(4).size());
    writer.add_written(b);
    writer.add_written(a);
    writer.commit({{"cursor", state_text(4)}});
  }
  expect_saved(files_, open_checkpoint(files_, folder_of(4)));

  // Rank 1 wrote to a disk of its own, or less than it says.
  CheckpointWriter writer(files_, kRun, 5, 1000);
  CheckpointFile file = write_checkpoint_file(files_, writer.folder(), "rank1.bin", "12345");
  file.size = 6;
  writer.add_written(file);
  EXPECT_THAT(
      error_of(ErrorKind::io, [&] { writer.commit({}); }),
      AllOf(HasSubstr("rank1.bin: must have 6 bytes, has 5"), HasSubstr("same run folder")));
  CheckpointWriter other(files_, kRun, 6, 1000);
  other.add_written({.name = "rank1.bin", .size = 5, .sha256 = std::string(64, '0')});
  EXPECT_THAT(error_of(ErrorKind::io, [&] { other.commit({}); }),
              HasSubstr("rank1.bin: must have 5 bytes, is missing"));
}

TEST_F(ManifestTest, RoundTripOnDisk) {
  std::string folder = testing::TempDir() + "pref_manifest_XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string run = folder + "/a/run";
  FileSystem& files = posix_file_system();
  for (const int64_t step : {1, 2, 3}) {
    CheckpointWriter writer(files, run, step, 1000);
    Tensors tensors(step);
    writer.add_tensors("model.safetensors", Tensors::entries(), tensors);
    writer.add_file("metrics.jsonl", log_text(step));
    writer.commit({{"cursor", state_text(step)}});
  }
  { CheckpointWriter left(files, run, 4, 10); }
  prune_checkpoints(files, run, 2);
  clear_stale_checkpoints(files, run);
  EXPECT_THAT(files.list(run), ElementsAre("checkpoint-2", "checkpoint-3"));
  EXPECT_EQ(open_checkpoint(run + "/checkpoint-2").state_text("cursor"), state_text(2));
  files.truncate(run + "/checkpoint-3/metrics.jsonl", 6);
  const auto found = find_newest_checkpoint(files, run);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->step, 2);
  if (folder.find("pref_manifest_") != std::string::npos) files.remove_all(folder);
}

// ---- what is refused ----

TEST_F(ManifestTest, RejectsBadArguments) {
  CheckpointWriter writer(files_, kRun, 1, 10);
  for (const std::string name :
       {"", ".", "..", ".hidden", "a/b", "/a", "a\\b", "a\nb", "\xc3\xa9", "manifest.json"}) {
    EXPECT_THAT(error_of(ErrorKind::option, [&] { writer.add_file(name, ""); }),
                HasSubstr("plain file name"))
        << name;
    EXPECT_THAT(error_of(ErrorKind::option, [&] { write_checkpoint_file(files_, kRun, name, ""); }),
                HasSubstr("plain file name"));
    EXPECT_THAT(error_of(ErrorKind::option,
                         [&] {
                           writer.add_written({name, 0, std::string(64, 'a')});
                         }),
                HasSubstr("plain file name"));
  }
  EXPECT_THAT(error_of(ErrorKind::option, [&] { writer.add_file(std::string(256, 'a'), ""); }),
              HasSubstr("plain"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         writer.add_written({"a", 0, "abc"});
                       }),
              HasSubstr("64"));
  const CheckpointFile file = write_checkpoint_file(files_, writer.folder(), "a", "x");
  writer.add_written(file);
  EXPECT_THAT(error_of(ErrorKind::option, [&] { writer.add_written(file); }),
              HasSubstr("\"a\" is added twice"));
  EXPECT_THAT(error_of(ErrorKind::io, [&] { writer.add_file("a", "x"); }),
              HasSubstr("File exists"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         writer.commit({{"x", "{"}});
                       }),
              HasSubstr("state \"x\" must be JSON"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         writer.commit({{"x", "1 2"}});
                       }),
              HasSubstr("must be JSON"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         writer.commit({{"x", std::string(70, '[') + std::string(70, ']')}});
                       }),
              HasSubstr("deeper than 64"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         writer.commit({{"\xff", "1"}});
                       }),
              HasSubstr("must be JSON"));
  writer.commit({});
  EXPECT_THAT(error_of(ErrorKind::internal, [&] { writer.add_file("b", "x"); }),
              HasSubstr("after commit"));
  EXPECT_THAT(error_of(ErrorKind::internal, [&] { writer.commit({}); }), HasSubstr("after commit"));
  EXPECT_THAT(error_of(ErrorKind::option, [&] { CheckpointWriter(files_, "", 1, 1); }),
              HasSubstr("empty"));
  EXPECT_THAT(error_of(ErrorKind::option, [&] { CheckpointWriter(files_, kRun, -1, 1); }),
              HasSubstr(">= 0"));
  EXPECT_THAT(error_of(ErrorKind::option, [&] { prune_checkpoints(files_, kRun, 0); }),
              HasSubstr("at least one"));
  EXPECT_THAT(error_of(ErrorKind::option, [&] { clear_stale_checkpoints(files_, ""); }),
              HasSubstr("empty"));
  const Checkpoint checkpoint = open_checkpoint(files_, folder_of(1));
  EXPECT_THAT(error_of(ErrorKind::digest, [&] { checkpoint.path("b"); }),
              HasSubstr("lists no file \"b\""));
  EXPECT_THAT(error_of(ErrorKind::digest, [&] { checkpoint.state_text("b"); }),
              HasSubstr("no state \"b\""));
}

TEST_F(ManifestTest, RejectsWithoutFreeSpace) {
  const struct {
    uint64_t planned, free;
    bool begun;
  } cases[] = {{100, 104, false}, {100, 105, true}, {30, 31, false}, {30, 32, true}, {0, 0, true}};
  for (const auto& c : cases) {
    files_.free = c.free;
    const std::string error =
        error_of(ErrorKind::io, [&] { CheckpointWriter(files_, kRun, 1, c.planned); });
    if (c.begun) {
      EXPECT_EQ(error, "no error");
    } else {
      EXPECT_THAT(error, AllOf(HasSubstr("checkpoint-1"),
                               HasSubstr("needs " + std::to_string(c.planned) + " bytes"),
                               HasSubstr(std::to_string(c.free) + " are free")));
    }
  }
  EXPECT_THAT(files_.names(kRun), IsEmpty());
}

TEST_F(ManifestTest, RejectsToOverwriteAStep) {
  save(files_, 20);
  const auto before = files_.snapshot();
  EXPECT_THAT(error_of(ErrorKind::io, [&] { save(files_, 20); }),
              HasSubstr("already there and complete"));
  EXPECT_EQ(files_.snapshot(), before);
  files_.put(folder_of(30) + "/model.bin", "someone else's");
  EXPECT_THAT(error_of(ErrorKind::io, [&] { save(files_, 30); }),
              HasSubstr("not a checkpoint of libpref"));
  EXPECT_TRUE(files_.has(folder_of(30) + "/model.bin"));
}

TEST_F(ManifestTest, RejectsMissing) {
  EXPECT_THAT(error_of(ErrorKind::missing_input, [&] { open_checkpoint(files_, folder_of(1)); }),
              AllOf(HasSubstr(folder_of(1)), HasSubstr("there is none")));
  files_.make_folders(folder_of(1));
  EXPECT_THAT(error_of(ErrorKind::missing_input, [&] { open_checkpoint(files_, folder_of(1)); }),
              HasSubstr("has no manifest.json"));
}

/// Manifests whose digest is right but which no version wrote, or another one.
TEST_F(ManifestTest, RejectsManifests) {
  const std::string head =
      "\"format\":\"pref-checkpoint\",\"version\":1,\"step\":20,\"state\":{},\"files\":[";
  const std::string digest = std::string(64, 'a');
  const auto file = [](const std::string& name, const std::string& size, const std::string& sha) {
    return "{\"name\":\"" + name + "\",\"size\":" + size + ",\"sha256\":\"" + sha + "\"}";
  };
  const struct {
    std::string rest, expected;
  } cases[] = {
      {"\"format\":\"pref-checkpoint\",\"version\":2,\"step\":20,\"state\":{},\"files\":[]}",
       "format version 2 is unknown"},
      {"\"format\":\"other\",\"version\":1,\"step\":20,\"state\":{},\"files\":[]}", "is \"other\""},
      {"\"format\":\"pref-checkpoint\",\"version\":1,\"step\":30,\"state\":{},\"files\":[]}",
       "of step 30"},
      {"\"format\":\"pref-checkpoint\",\"version\":1,\"step\":-20,\"state\":{},\"files\":[]}",
       "\"step\" must be"},
      {"\"format\":\"pref-checkpoint\",\"version\":1,\"step\":20.0,\"state\":{},\"files\":[]}",
       "\"step\" must be"},
      {"\"format\":\"pref-checkpoint\",\"version\":1,\"step\":9223372036854775808,\"state\":{},"
       "\"files\":[]}",
       "too large"},
      {"\"format\":\"pref-checkpoint\",\"version\":1,\"step\":20,\"state\":[],\"files\":[]}",
       "\"state\" must be"},
      {"\"format\":\"pref-checkpoint\",\"version\":1,\"step\":20,\"state\":{},\"files\":{}}",
       "\"files\" must be"},
      {"\"format\":\"pref-checkpoint\",\"version\":1,\"step\":20,\"state\":{}}", "files"},
      {"\"format\":\"pref-checkpoint\"", "not JSON"},
      {"", "not JSON"},
      {"\"state\":" + std::string(100000, '['), "deeper than 64"},
      {head + file("../x", "1", digest) + "]}", "\"../x\" is not a plain one"},
      {head + file("manifest.json", "1", digest) + "]}", "not a plain one"},
      {head + file("a", "-1", digest) + "]}", "\"size\" must be"},
      {head + file("a", "\"1\"", digest) + "]}", "\"size\" must be"},
      {head + file("a", "1", "abc") + "]}", "64 hex digits"},
      {head + file("a", "1", digest) + "," + file("a", "1", digest) + "]}", "once each"},
      {head + "{\"name\":7}]}", "string"},
      {head + file("a", "1", digest) + "]}", "it is missing"},
  };
  for (const auto& c : cases) {
    put_manifest(20, c.rest);
    EXPECT_THAT(error_of(ErrorKind::digest, [&] { open_checkpoint(files_, folder_of(20)); }),
                AllOf(HasSubstr(folder_of(20)), HasSubstr(c.expected)));
  }
  put_manifest(20, head + "]}\n");
  EXPECT_EQ(open_checkpoint(files_, folder_of(20)).step, 20);  // the table's frame itself is good
}

// ---- damage ----

class DamageTest : public ManifestTest {
 protected:
  void SetUp() override {
    ManifestTest::SetUp();
    save(files_, 20);
    save(files_, 30);
    for (const std::string& name : files_.names(folder_of(30)))
      paths_.push_back(folder_of(30) + "/" + name);
    ASSERT_EQ(paths_.size(), 3u);
  }
  std::vector<std::string> paths_;
};

TEST_F(DamageTest, RejectsEveryFlippedBit) {
  for (const std::string& path : paths_) {
    std::string& bytes = files_.bytes(path);
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
      EXPECT_THAT(error_of(ErrorKind::digest, [&] { open_checkpoint(files_, folder_of(30)); }),
                  HasSubstr(path))
          << path << " bit " << bit;
      bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
    }
  }
  expect_saved(files_, open_checkpoint(files_, folder_of(30)));
}

TEST_F(DamageTest, RejectsEveryLength) {
  for (const std::string& path : paths_) {
    const std::string whole = files_.bytes(path);
    for (size_t size = 0; size <= whole.size() + 1; ++size) {
      if (size == whole.size()) continue;
      files_.bytes(path) = (whole + "\n").substr(0, size);
      EXPECT_THAT(error_of(ErrorKind::digest, [&] { open_checkpoint(files_, folder_of(30)); }),
                  HasSubstr(path))
          << path << " cut to " << size;
    }
    EXPECT_EQ(newest(), 20);
    files_.bytes(path) = whole;
    EXPECT_EQ(newest(), 30);
  }
}

TEST_F(DamageTest, RejectsMissingAndSwapped) {
  const auto damaged = [&](auto damage, const std::string& expected) {
    FaultFileSystem files;
    save(files, 20);
    save(files, 30);
    damage(files);
    std::vector<std::string> passed_over;
    const auto found = find_newest_checkpoint(files, kRun, &passed_over);
    ASSERT_TRUE(found.has_value()) << expected;
    EXPECT_EQ(found->step, 20);
    expect_saved(files, *found);
    EXPECT_THAT(passed_over, ElementsAre(AllOf(HasSubstr(folder_of(30)), HasSubstr(expected))));
  };
  for (const std::string& path : paths_)
    damaged([&](auto& files) { files.erase(path); },
            path.ends_with("manifest.json") ? "no manifest" : "is missing");
  damaged([&](auto& files) { files.erase(paths_[2]), files.make_folders(paths_[2]); },
          "is missing");
  damaged([&](auto& files) { files.swap(paths_[1], paths_[2]); }, paths_[1]);
  // Files of one name and size from two steps: the tensors, then the manifests.
  damaged(
      [&](auto& files) {
        files.bytes(paths_[2]) = files.bytes(folder_of(20) + "/model.safetensors");
      },
      "SHA-256");
  damaged(
      [&](auto& files) { files.bytes(paths_[0]) = files.bytes(folder_of(20) + "/manifest.json"); },
      "of step 20");
}

TEST_F(DamageTest, RejectsRenamedFolder) {
  files_.swap(folder_of(20), folder_of(30));
  std::vector<std::string> passed_over;
  EXPECT_FALSE(find_newest_checkpoint(files_, kRun, &passed_over).has_value());
  EXPECT_THAT(passed_over, ElementsAre(HasSubstr("of step 20, in a folder named checkpoint-30"),
                                       HasSubstr("of step 30, in a folder named checkpoint-20")));
  files_.rename_new(folder_of(20), kRun + "/best");  // a name that states no step is free
  EXPECT_EQ(open_checkpoint(files_, kRun + "/best").step, 30);
}

TEST_F(DamageTest, ReplacesADamagedStep) {
  files_.bytes(paths_[1])[0] ^= 1;
  save(files_, 30);
  expect_saved(files_, open_checkpoint(files_, folder_of(30)));
  EXPECT_THAT(run_names(files_), ElementsAre("checkpoint-20", "checkpoint-30"));
}

// ---- discovery ----

TEST_F(ManifestTest, FindsTheNewestByNumber) {
  EXPECT_EQ(newest(), -1);  // no run folder
  for (const int64_t step : {9, 100, 10}) save(files_, step);
  for (const std::string name :
       {"checkpoint-0200", "checkpoint-x", "checkpoint-", "checkpoint--300", "checkpoint-400 ",
        "checkpoint-500.tmp-ab", ".trash-ab", "checkpoint-99999999999999999999", "best"})
    files_.make_folders(kRun + "/" + name);
  files_.put(kRun + "/checkpoint-600", "a file");
  std::vector<std::string> passed_over;
  const auto found = find_newest_checkpoint(files_, kRun, &passed_over);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->step, 100);
  expect_saved(files_, *found);
  EXPECT_THAT(passed_over, ElementsAre(HasSubstr("checkpoint-600")));
}

TEST_F(ManifestTest, FindsThroughReadErrors) {
  save(files_, 20);
  save(files_, 30);
  const int64_t start = files_.calls();
  EXPECT_EQ(newest(), 30);
  const int64_t calls = files_.calls() - start;
  ASSERT_GE(calls, 8);
  for (int64_t call = 0; call < calls; ++call) {
    files_.arm(Fault::error, call);
    try {
      EXPECT_EQ(newest(), 20) << call;  // what could not be read is passed over
      EXPECT_GE(call, 2);
    } catch (const Error& error) {
      EXPECT_LT(call, 2) << error.what();  // the run folder itself
    }
  }
  // With nothing older to fall back to, the run must not start over.
  files_.arm(Fault::errors_after, 2);
  EXPECT_THAT(error_of(ErrorKind::io, [&] { newest(); }), HasSubstr("checkpoint-30"));
}

// ---- pruning and clearing ----

TEST_F(ManifestTest, PruneKeepsTheNewestComplete) {
  for (const int64_t step : {8, 9, 10, 11, 12, 100}) save(files_, step);
  files_.bytes(folder_of(100) + "/metrics.jsonl")[0] ^= 1;         // found by its digest only
  files_.bytes(folder_of(11) + "/metrics.jsonl").pop_back();       // found by its size
  files_.bytes(folder_of(9) + "/manifest.json").pop_back();        // damaged, older
  files_.put(kRun + "/checkpoint-5/model.bin", "someone else's");  // no manifest: not ours
  files_.put(kRun + "/notes.txt", "mine");
  prune_checkpoints(files_, kRun, 2);
  EXPECT_THAT(run_names(files_),
              UnorderedElementsAre("checkpoint-10", "checkpoint-100", "checkpoint-11",
                                   "checkpoint-12", "checkpoint-5", "notes.txt"));
  EXPECT_EQ(files_.removed().size(), 2u);
  prune_checkpoints(files_, kRun, 3);  // only two are complete
  EXPECT_EQ(files_.removed().size(), 2u);
  prune_checkpoints(files_, kRun, 1);
  EXPECT_THAT(run_names(files_),
              UnorderedElementsAre("checkpoint-100", "checkpoint-12", "checkpoint-5", "notes.txt"));
  EXPECT_EQ(newest(), 12);
  prune_checkpoints(files_, "/runs/none", 1);  // nothing there, nothing done
}

TEST_F(ManifestTest, ClearRemovesOnlyLeftovers) {
  save(files_, 20);
  const std::vector<std::string> others = {
      ".trash",       ".trash-",           ".trash-xyz",          "a.tmp-12",      "best",
      "checkpoint-x", "checkpoint-3.tmp-", "checkpoint-3.tmp-xy", ".trash-ab.txt", "checkpoint-4"};
  for (const std::string& name : others) files_.make_folders(kRun + "/" + name);
  for (const std::string name : {"checkpoint-30.tmp-0123456789abcdef", ".trash-0f"})
    files_.put(kRun + "/" + name + "/model.safetensors", "half");
  clear_stale_checkpoints(files_, kRun);
  std::vector<std::string> expected = others;
  expected.push_back("checkpoint-20");
  EXPECT_THAT(files_.names(kRun), testing::UnorderedElementsAreArray(expected));
  EXPECT_EQ(files_.removed().size(), 2u);
  clear_stale_checkpoints(files_, "/runs/none");
}

// ---- faults at every call ----

/// One save and one prune, after two earlier saves; `saved` is set in between.
constexpr int64_t kKeep = 2;
void save_and_prune(FileSystem& files, bool& saved) {
  save(files, 30);
  saved = true;
  prune_checkpoints(files, kRun, kKeep);
}
void prepare(FaultFileSystem& files) {
  save(files, 10);
  save(files, 20);
  files.settle();
}
int64_t count_calls(void (*prepare_files)(FaultFileSystem&)) {
  FaultFileSystem files;
  prepare_files(files);
  const int64_t start = files.calls();
  bool saved = false;
  save_and_prune(files, saved);
  return files.calls() - start;
}

TEST_F(ManifestTest, EveryFailedCallLeavesEarlierCheckpoints) {
  const int64_t calls = count_calls(prepare);
  ASSERT_GE(calls, 40);
  for (const Fault fault : {Fault::error, Fault::errors_after}) {
    for (int64_t call = 0; call < calls; ++call) {
      SCOPED_TRACE("call " + std::to_string(call) +
                   (fault == Fault::error ? "" : " and all later ones"));
      FaultFileSystem files;
      files.free = 123456789;
      prepare(files);
      const auto before = files.snapshot(folder_of(20));
      files.arm(fault, call);
      bool saved = false;
      std::string error = "none";
      try {
        save_and_prune(files, saved);
      } catch (const Error& caught) {
        error = caught.what();
        EXPECT_EQ(static_cast<int>(caught.kind()), static_cast<int>(ErrorKind::io)) << error;
      }
      files.disarm();
      if (!saved) {
        EXPECT_THAT(error, AllOf(HasSubstr("/runs/dpo"), HasSubstr("No space left on device"),
                                 HasSubstr("needs 1000 bytes"),
                                 AnyOf(HasSubstr("123456789 are free"),
                                       HasSubstr("unknown number are free"))));
        EXPECT_TRUE(files.has(folder_of(10)));
        if (fault == Fault::error) {
          EXPECT_THAT(run_names(files), Not(Contains("temporary")));
        }
      }
      EXPECT_EQ(files.snapshot(folder_of(20)), before);
      const auto found = find_newest_checkpoint(files, kRun);
      ASSERT_TRUE(found.has_value());
      EXPECT_TRUE(found->step == 30 || (found->step == 20 && !saved)) << found->step;
      expect_saved(files, *found);
      // The next attempt needs no help from anyone.
      clear_stale_checkpoints(files, kRun);
      if (found->step == 20) save(files, 30);
      prune_checkpoints(files, kRun, kKeep);
      EXPECT_THAT(run_names(files), ElementsAre("checkpoint-20", "checkpoint-30"));
    }
  }
}

/// Crashes at every call, with unsynced changes lost in many ways; then what a new process does.
void crash_everywhere(void (*prepare_files)(FaultFileSystem&), int64_t* states) {
  const int64_t calls = count_calls(prepare_files);
  ASSERT_GE(calls, 40);
  const uint64_t seed = 20260;
  std::mt19937_64 random(seed);
  for (const Fault fault : {Fault::crash_before, Fault::crash_after}) {
    for (int64_t call = 0; call < calls; ++call) {
      for (int subset = 0; subset < 12; ++subset, ++*states) {
        SCOPED_TRACE(testing::Message()
                     << (fault == Fault::crash_before ? "before" : "after") << " call " << call
                     << " subset " << subset << " seed " << seed);
        FaultFileSystem files;
        prepare_files(files);
        files.arm(fault, call);
        bool saved = false;
        EXPECT_THROW(save_and_prune(files, saved), Crash);
        // 0: all that is unsynced is lost; 1: nothing is (the process was killed, the machine was
        // not).
        files.restart([&](uint64_t n) -> uint64_t {
          return subset == 0 ? 0 : subset == 1 ? 1 : random() % n;
        });
        const auto found = find_newest_checkpoint(files, kRun);
        ASSERT_TRUE(found.has_value());
        EXPECT_TRUE(found->step == 30 || (found->step == 20 && !saved)) << found->step;
        expect_saved(files, *found);
        clear_stale_checkpoints(files, kRun);
        if (found->step == 20) save(files, 30);
        prune_checkpoints(files, kRun, kKeep);
        EXPECT_THAT(files.names(kRun), ElementsAre("checkpoint-20", "checkpoint-30"));
        for (const int64_t step : {20, 30})
          expect_saved(files, open_checkpoint(files, folder_of(step)));
      }
    }
  }
}

TEST_F(ManifestTest, EveryCrashLeavesACompleteCheckpoint) {
  int64_t states = 0;
  crash_everywhere(prepare, &states);
  EXPECT_GE(states, 1000);
}

TEST_F(ManifestTest, EveryCrashWhileReplacingADamagedStep) {
  int64_t states = 0;
  crash_everywhere(
      [](FaultFileSystem& files) {
        prepare(files);
        save(files, 30);
        files.bytes(folder_of(30) + "/model.safetensors").back() ^= 1;
        files.settle();
      },
      &states);
  EXPECT_GE(states, 1000);
}

/// A save whose last sync failed leaves a name that is not durable: pruning must not delete what
/// may be the only one.
TEST_F(ManifestTest, PruneAfterAFailedSync) {
  FaultFileSystem counting;
  save(counting, 20);
  const int64_t start = counting.calls();
  save(counting, 30);
  const int64_t save_calls = counting.calls() - start;
  prune_checkpoints(counting, kRun, 1);
  const int64_t prune_calls = counting.calls() - start - save_calls;
  ASSERT_GE(prune_calls, 10);
  const uint64_t seed = 77;
  std::mt19937_64 random(seed);
  for (const Fault fault : {Fault::crash_before, Fault::crash_after}) {
    for (int64_t call = 0; call < prune_calls; ++call) {
      for (int subset = 0; subset < 12; ++subset) {
        SCOPED_TRACE(testing::Message()
                     << "call " << call << " subset " << subset << " seed " << seed);
        FaultFileSystem files;
        save(files, 20);
        files.settle();
        files.arm(Fault::error, save_calls - 1);
        EXPECT_THAT(error_of(ErrorKind::io, [&] { save(files, 30); }),
                    HasSubstr("fsync of the folder"));
        files.arm(fault, call);
        EXPECT_THROW(prune_checkpoints(files, kRun, 1), Crash);
        files.restart([&](uint64_t n) { return random() % n; });
        const auto found = find_newest_checkpoint(files, kRun);
        ASSERT_TRUE(found.has_value());
        expect_saved(files, *found);
      }
    }
  }
}

TEST_F(ManifestTest, FirstSaveMakesTheRunFolderDurable) {
  CheckpointWriter writer(files_, "/runs/a/dpo", 1, 10);
  writer.add_file("a", "x");
  writer.commit({});
  files_.restart();
  const auto found = find_newest_checkpoint(files_, "/runs/a/dpo");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->step, 1);
}

/// The saved tensors are durable before the manifest, also when nothing but the last sync was
/// reached.
TEST_F(ManifestTest, WrittenFilesAreDurable) {
  files_.make_folders("/f");
  Tensors tensors(1);
  write_checkpoint_tensors(files_, "/f", "t.safetensors", Tensors::entries(), tensors);
  write_checkpoint_file(files_, "/f", "a", "abc");
  const auto before = files_.snapshot();
  for (const std::string folder : {"/f", "/"}) files_.sync_directory(folder);
  files_.restart();
  EXPECT_EQ(files_.snapshot(), before);
}

TEST_F(ManifestTest, RejectsWriteErrorsOfOtherRanks) {
  files_.make_folders("/f");
  files_.free = 77;
  Tensors tensors(1);
  for (int64_t call = 0; call < 4; ++call) {
    const std::string number = std::to_string(call);
    files_.arm(Fault::error, call);
    EXPECT_THAT(
        error_of(ErrorKind::io, [&] { write_checkpoint_file(files_, "/f", "a" + number, "abc"); }),
        AllOf(HasSubstr("/f/a"), HasSubstr("No space left"),
              HasSubstr("needs 3 bytes; 77 are free")));
    files_.arm(Fault::error, call);
    EXPECT_THAT(error_of(ErrorKind::io,
                         [&] {
                           write_checkpoint_tensors(files_, "/f", "t" + number, Tensors::entries(),
                                                    tensors);
                         }),
                AllOf(HasSubstr("/f/t"), HasSubstr("No space left"),
                      HasSubstr("needs 30 bytes; 77 are free")));
  }
}

}  // namespace
}  // namespace pref
