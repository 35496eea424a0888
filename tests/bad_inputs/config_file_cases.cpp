// SPDX-License-Identifier: Apache-2.0
// Bad run files, option values and checkpoint manifests.
#include "libpref/base/digest.h"
#include "tests/bad_inputs/bad_input.h"

namespace pref::testing {
namespace {

/// A manifest with that text behind its first line, whose digest is right.
std::string sealed(const std::string& rest) {
  return "{\"sha256\":\"" + sha256_hex(rest) + "\",\n" + rest;
}
std::string manifest(const std::string& patch) {
  nlohmann::ordered_json json{{"format", "pref-checkpoint"},
                              {"version", 1},
                              {"step", 3},
                              {"state", nlohmann::ordered_json::object()},
                              {"files", nlohmann::ordered_json::array()}};
  return sealed(patched(json, patch).substr(1) + "\n");
}

Table yaml_cases() {
  const auto kind = Parser::yaml;
  const auto option = ErrorKind::option;
  constexpr const char* kThere = "Correct it there";
  constexpr const char* kWrite = "write the value out";
  Table out{
      {"not UTF-8", kind, "max_length: \xff", "run.yaml:1:13", "must be UTF-8 text", "byte 12"},
      {"a NUL", kind, std::string("a: 1\n\0", 6), "run.yaml:2:1", "must be UTF-8 text", "a NUL"},
      {"above a megabyte", kind, std::string(1'000'001, '#'), "run.yaml", "has 1000001",
       "at most 1000000"},
      {"a list", kind, "- a\n- b", "run.yaml:1:1", "got a list", "option: value"},
      {"a scalar", kind, "hello", "run.yaml:1:1", "got \"hello\"", "option: value"},
      {"two documents", kind, "max_length: 9\n---\nmax_length: 8", "run.yaml:", "one YAML document",
       "Remove it"},
      {"an alias of nothing", kind, "max_rows: *a", "run.yaml:1:11",
       "the referenced anchor is not defined", "Correct it there"},
      {"an anchor", kind, "max_rows: &a 5", "run.yaml:1:", "anchors (&name) are not allowed",
       kWrite},
      {"an anchor and its alias", kind, "max_rows: &a 5\nmax_length: *a", "run.yaml:1:", "anchors",
       kWrite},
      {"a tag", kind, "max_rows: !!int 5", "run.yaml:1:", "tags are not allowed",
       "its option's type"},
      {"a tag of Python", kind, "max_rows: !!python/object:os.system 5",
       "run.yaml:1:", "tags are not allowed", "its option's type"},
      {"nested mapping", kind, "data:\n  max_rows: 5", "run.yaml:", "got a nested mapping",
       "write each on its own line"},
      {"a list in a list", kind, "dataset_name: [[a]]", "run.yaml:1:", "got a list in a list",
       "must be a flat list"},
      {"a mapping in a list", kind, "dataset_name: [{a: b}]", "run.yaml:1:", "got a mapping in it",
       "must be a flat list"},
      {"a mapping for a name", kind, "{a: b}: c", "run.yaml:1:", "got a mapping", "an option name"},
      {"a list for a name", kind, "[a]: c", "run.yaml:1:", "got a list", "an option name"},
      {"null for a name", kind, "~: c", "run.yaml:1:", "got null", "an option name"},
      {"deep brackets", kind, "dataset_name: " + repeated("[", 5000), "run.yaml:1:16",
       "got a mapping in it", "must be a flat list"},
      {"deep braces", kind, repeated("{a: ", 5000), "run.yaml:1:1", "got a mapping",
       "an option name is required"},
      {"an open quote", kind, "dialect: \"auto", "run.yaml:1:", "not readable as YAML", kThere},
      {"an open bracket", kind, "dataset_name: [a", "run.yaml:", "not readable as YAML", kThere},
      {"a tab as indentation", kind, "dataset_name:\n\t- a", "run.yaml:2:", "not readable as YAML",
       kThere},
      {"a bad escape", kind, "dialect: \"\\q\"", "run.yaml:1:", "not readable as YAML", "escape"},
      {"a bad escape of a control byte", kind, "dialect: \"\\\x02\"",
       "run.yaml:1:", "unknown escape character: \\x02", kThere},
      {"a bad escape of a longer character", kind, "dialect: \"\\é\"",
       "run.yaml:1:", "unknown escape character: \\xc3", kThere},
      {"a line without a colon", kind, "max_length: 9\nmax_rows",
       "run.yaml:", "not readable as YAML", kThere},
      {"a name twice", kind, "max_rows: 5\nmax_rows: 6", "run.yaml:2:1", "is given twice",
       "Keep one"},
      {"an unknown name", kind, "max_lenght: 5", "run.yaml:1:1", "unknown option \"max_lenght\"",
       "did you mean \"max_length\"?"},
      {"an unknown name that is like none", kind, "zzz: 5", "run.yaml:1:1",
       "unknown option \"zzz\"", "the options are dataset_name"},
      {"a name of 100 kB", kind, "? " + std::string(100'000, 'x') + "\n: 1",
       "run.yaml:1:", "unknown option \"xxx", "the options are"},
      {"a name with control bytes", kind, "\"\\x1b[31m\": 1", "run.yaml:1:1", "\"\\x1b[31m\"",
       "the options are"},
      {"a number with letters", kind, "max_length: 12a", "run.yaml:1:1", "got \"12a\"",
       "must be an integer"},
      {"a number with a fraction", kind, "max_length: 12.5", "run.yaml:1:1", "got \"12.5\"",
       "must be an integer"},
      {"a number beyond 64 bits", kind, "max_length: 99999999999999999999", "run.yaml:1:1",
       "option \"max_length\"", "must be an integer"},
      {"a number out of range", kind, "max_length: 1", "run.yaml:1:1", "must be at least 2, got 1",
       "must be at least 2"},
      {"NaN", kind, "max_rows: .nan", "run.yaml:1:1", "got \".nan\"", "must be"},
      {"a word for true", kind, "strict_turns: maybe", "run.yaml:1:1", "got \"maybe\"",
       "must be true or false"},
      {"null for a number that must be", kind, "preprocessing_num_workers: null", "run.yaml:1:1",
       "option \"preprocessing_num_workers\"", "must be an integer"},
      {"a list for a number", kind, "max_length: [1, 2]", "run.yaml:1:1", "got \"[1, 2]\"",
       "must be"},
      {"an enum's value unknown", kind, "dialect: alpaka", "run.yaml:1:1", "got \"alpaka\"",
       "must be one of auto, preference"},
      {"an enum in capitals", kind, "eos_policy: NEVER", "run.yaml:1:1", "got \"NEVER\"",
       "must be one of append_if_absent"},
      {"a value of 100 kB", kind, "max_length: " + std::string(100'000, '7'), "run.yaml:1:1",
       "option \"max_length\"", "must be an integer"},
      {"a value with control bytes", kind, "max_length: \"\\e[2J\"", "run.yaml:1:1", "\\x1b[2J",
       "must be an integer"},

      {"no equals sign", Parser::option, "max_length", "command line", "name=value is required",
       "got \"max_length\""},
      {"no name", Parser::option, "=5", "command line", "name=value is required", "got \"=5\""},
      {"an unknown name", Parser::option, "max_lenght=5", "command line", "unknown option",
       "did you mean \"max_length\"?"},
      {"an empty value", Parser::option, "max_length=", "command line", "got \"\"",
       "must be an integer"},
      {"a value out of range", Parser::option, "preprocessing_num_workers=-1", "command line",
       "must be at least 0, got -1", "must be at least 0"},
      {"a list not closed", Parser::option, "dataset_name=[a, b", "command line", "got \"[a, b\"",
       "must be a list"},
      {"a quote not closed", Parser::option, "dataset_name=[\"a]", "command line", "dataset_name",
       "must be a list"},
  };
  for (BadInput& input : out) input.kind = option;
  return out;
}

Table manifest_cases() {
  const auto kind = Parser::manifest;
  const std::string file = "checkpoint-3/manifest.json: ";
  constexpr const char* kOlder = "Use an older checkpoint";
  const auto listed = [](const std::string& entries) {
    return manifest(R"({"files":[)" + entries + "]}");
  };
  const std::string digest(64, 'a');
  const auto entry = [&](const std::string& name) {
    return R"({"name":")" + name + R"(","size":0,"sha256":")" + digest + "\"}";
  };
  std::string altered = manifest("{}");
  altered[altered.size() - 3] ^= 1;
  Table out{
      {"empty", kind, "", file, "it has 0 bytes", kOlder},
      {"a single byte", kind, "{", file, "it has 1 bytes", kOlder},
      {"not a manifest", kind, std::string(200, 'x'), file, "line 1 must be", kOlder},
      {"one bit turned", kind, altered, file, "SHA-256 of what follows line 1 is", kOlder},
      {"the end cut", kind, manifest("{}").substr(0, 140), file, "the file was altered or cut",
       kOlder},
      {"sealed text", kind, sealed("hello"), file, "not JSON: syntax error", kOlder},
      {"no format", kind, manifest(R"({"format":null})"), file, "\"format\" is missing", kOlder},
      {"another format", kind, manifest(R"({"format":"other"})"), file,
       "the format must be \"pref-checkpoint\", is \"other\"", kOlder},
      {"a newer version", kind, manifest(R"({"version":2})"), file, "format version 2 is unknown",
       kOlder},
      {"a version a string", kind, manifest(R"({"version":"1"})"), file,
       "\"version\" must be a whole number >= 0, is \"1\"", kOlder},
      {"no step", kind, manifest(R"({"step":null})"), file, "\"step\" is missing", kOlder},
      {"a negative step", kind, manifest(R"({"step":-3})"), file, "\"step\" must be a whole number",
       kOlder},
      {"a step of 2^63", kind, manifest(R"({"step":9223372036854775808})"), file, "is too large",
       kOlder},
      {"another step than the folder's", kind, manifest(R"({"step":4})"), file,
       "it is of step 4, in a folder named checkpoint-3", kOlder},
      {"no state", kind, manifest(R"({"state":null})"), file, "\"state\" is missing", kOlder},
      {"state a list", kind, manifest(R"({"state":[]})"), file, "\"state\" must be an object",
       kOlder},
      {"files an object", kind, manifest(R"({"files":{}})"), file, "\"files\" must be an array",
       kOlder},
      {"a file a string", kind, listed("\"model\""), file, "\"name\" is missing", kOlder},
      {"a file without a size", kind, listed(R"({"name":"m","sha256":")" + digest + "\"}"), file,
       "\"size\" is missing", kOlder},
      {"a size a fraction", kind, listed(R"({"name":"m","size":0.5,"sha256":")" + digest + "\"}"),
       file, "\"size\" must be a whole number >= 0, is 0.5", kOlder},
      {"a digest a number", kind, listed(R"({"name":"m","size":0,"sha256":1})"), file,
       "\"sha256\" must be a string, is 1", kOlder},
      {"a short digest", kind, listed(R"({"name":"m","size":0,"sha256":"abc"})"), file,
       "the SHA-256 must have 64 hex digits", kOlder},
      {"a digest in capitals", kind,
       listed(R"({"name":"m","size":0,"sha256":")" + std::string(64, 'A') + "\"}"), file,
       "the SHA-256 must have 64 hex digits", kOlder},
      {"a file that climbs out", kind, listed(entry("../m")), file, "\"../m\" is not a plain one",
       kOlder},
      {"a file that is hidden", kind, listed(entry(".m")), file, "is not a plain one", kOlder},
      {"a file with control bytes", kind, listed(entry("m\\u001b[31m")), file,
       "\"m\\u001b[31m\" is not a plain one", kOlder},
      {"the manifest in its own list", kind, listed(entry("manifest.json")), file,
       "is not a plain one", kOlder},
      {"a file twice", kind, listed(entry("m") + "," + entry("m")), file,
       "must be listed once each and by name", kOlder},
      {"files out of order", kind, listed(entry("n") + "," + entry("m")), file, "\"m\" is not",
       kOlder},
      {"a file that is not there", kind, listed(entry("m")), "checkpoint-3", "m", kOlder},
      {"nested beyond the cap", kind,
       sealed("\"x\":" + repeated("[", 70) + repeated("]", 70) + "}"), file,
       "JSON is nested deeper than 64", kOlder},
  };
  for (BadInput& input : out) input.kind = ErrorKind::digest;
  return out;
}

}  // namespace

Table config_file_cases() {
  Table out = yaml_cases();
  for (BadInput& input : manifest_cases()) out.push_back(std::move(input));
  return out;
}

}  // namespace pref::testing
