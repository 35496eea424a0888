// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/manifest_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <random>
#include <utility>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"
#include "libpref/data/model_folder/strict_json.h"

namespace pref::manifest {
namespace {

/// A value in a message, short.
std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= 80 ? text : text.substr(0, 80) + "...";
}

const Json& member(const Json& object, const char* name) {
  require(object.is_object() && object.contains(name), ErrorKind::digest, "checkpoint", "\"", name,
          "\" is missing.");
  return object.at(name);
}
std::string text_member(const Json& object, const char* name) {
  const Json& value = member(object, name);
  require(value.is_string(), ErrorKind::digest, "checkpoint", "\"", name,
          "\" must be a string, is ", shown(value), ".");
  return value.get<std::string>();
}
uint64_t unsigned_member(const Json& object, const char* name) {
  const Json& value = member(object, name);
  require(value.is_number_unsigned(), ErrorKind::digest, "checkpoint", "\"", name,
          "\" must be a whole number >= 0, is ", shown(value), ".");
  return value.get<uint64_t>();
}

}  // namespace

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size());
  int64_t step = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || end != digits.data() + digits.size() || step < 0) return std::nullopt;
  if (digits != std::to_string(step)) return std::nullopt;  // "checkpoint-007" is not ours
  return step;
}

bool is_temporary(std::string_view name) {
  const size_t at = name.find(kTemporary);
  return at != std::string_view::npos && step_of(name.substr(0, at)) &&
         is_hex(name.substr(at + kTemporary.size()));
}

bool is_trash(std::string_view name) {
  return name.starts_with(kTrash) && is_hex(name.substr(kTrash.size()));
}

std::string random_hex() {
  std::random_device device;
  std::string out;
  for (int i = 0; i < 4; ++i) {
    std::array<char, 8> digits;
    const uint32_t word = device() & 0xffffu;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), word, 16).ptr;
    const std::string_view text(digits.data(), static_cast<size_t>(end - digits.data()));
    out.append(4 - text.size(), '0').append(text);
  }
  return out;
}

bool is_plain_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != '/' && c != '\\'; });
}

Json parse_json(std::string_view text) {
  return Json::parse(text, [](int depth, Json::parse_event_t, Json&) {
    require(depth <= kMaxDepth, ErrorKind::digest, "checkpoint", "JSON is nested deeper than ",
            kMaxDepth, ".");
    return true;
  });
}

std::string manifest_text(const Checkpoint& checkpoint, const Json& state) {
  Json files = Json::array();
  for (const CheckpointFile& file : checkpoint.files)
    files.push_back(Json{{"name", file.name}, {"size", file.size}, {"sha256", file.sha256}});
  Json manifest;
  manifest["format"] = kFormat;
  manifest["version"] = kVersion;
  manifest["step"] = checkpoint.step;
  manifest["state"] = state;
  manifest["files"] = std::move(files);
  const std::string body = manifest.dump().substr(1) + "\n";  // the first line opens the object
  return std::string(kDigestOpens).append(sha256_hex(body)).append(kDigestCloses).append(body);
}

Checkpoint parse_manifest(std::string_view text) {
  Json manifest;
  try {
    manifest = parse_json(text);
  } catch (const Json::exception& error) {
    fail(ErrorKind::digest, "checkpoint", "not JSON: ", json_syntax_message(error), ".");
  }
  const Json& format = member(manifest, "format");
  require(format == kFormat, ErrorKind::digest, "checkpoint", "the format must be \"", kFormat,
          "\", is ", shown(format), ".");
  const uint64_t version = unsigned_member(manifest, "version");
  require(version == static_cast<uint64_t>(kVersion), ErrorKind::digest, "checkpoint",
          "format version ", version, " is unknown; this build reads version ", kVersion, ".");
  Checkpoint checkpoint;
  const uint64_t step = unsigned_member(manifest, "step");
  require(step <= static_cast<uint64_t>(INT64_MAX), ErrorKind::digest, "checkpoint", "step ", step,
          " is too large.");
  checkpoint.step = static_cast<int64_t>(step);
  require(member(manifest, "state").is_object(), ErrorKind::digest, "checkpoint",
          "\"state\" must be an object.");
  for (const auto& [name, value] : manifest.at("state").items())
    checkpoint.state.emplace(name, value.dump());
  require(member(manifest, "files").is_array(), ErrorKind::digest, "checkpoint",
          "\"files\" must be an array.");
  for (const Json& entry : manifest.at("files")) {
    CheckpointFile file{.name = text_member(entry, "name"),
                        .size = unsigned_member(entry, "size"),
                        .sha256 = text_member(entry, "sha256")};
    require(is_plain_name(file.name) && file.name != kManifest, ErrorKind::digest, "checkpoint",
            "the file name ", shown(file.name), " is not a plain one.");
    require(file.sha256.size() == kDigestDigits && is_hex(file.sha256), ErrorKind::digest,
            "checkpoint", file.name, ": the SHA-256 must have 64 hex digits.");
    require(checkpoint.files.empty() || checkpoint.files.back().name < file.name, ErrorKind::digest,
            "checkpoint", "the files must be listed once each and by name; ", shown(file.name),
            " is not.");
    checkpoint.files.push_back(std::move(file));
  }
  return checkpoint;
}

}  // namespace pref::manifest
