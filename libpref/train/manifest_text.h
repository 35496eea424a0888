// SPDX-License-Identifier: Apache-2.0
// The text of a checkpoint's manifest.json, and the names of folders and files beside it. The first
// line of a manifest holds the SHA-256 of all that follows, so that a reader trusts nothing unread.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "libpref/train/manifest.h"

namespace pref::manifest {

/// Keeps the order of members, so that equal state gives equal bytes.
using Json = nlohmann::ordered_json;

inline constexpr std::string_view kManifest = "manifest.json";
inline constexpr std::string_view kFormat = "pref-checkpoint";
inline constexpr int64_t kVersion = 1;
inline constexpr uint64_t kMaxManifestBytes = 64 << 20;
inline constexpr int kMaxDepth = 64;  // nlohmann's dump() is recursive
inline constexpr std::string_view kDigestOpens = "{\"sha256\":\"", kDigestCloses = "\",\n";
inline constexpr size_t kDigestDigits = 64;
inline constexpr size_t kFirstLine = kDigestOpens.size() + kDigestDigits + kDigestCloses.size();
inline constexpr std::string_view kPrefix = "checkpoint-", kTemporary = ".tmp-", kTrash = ".trash-";

bool is_hex(std::string_view text);
/// The step of "checkpoint-<step>" as checkpoint_name() writes it; none for any other name.
std::optional<int64_t> step_of(std::string_view name);
/// "checkpoint-<step>.tmp-<hex>": being written. ".trash-<hex>": being deleted.
bool is_temporary(std::string_view name);
bool is_trash(std::string_view name);
/// Sixteen random digits for such a name.
std::string random_hex();
/// Printable ASCII without slashes and leading dots.
bool is_plain_name(std::string_view name);

/// Throws nlohmann's errors, and ErrorKind::digest for deep nesting.
Json parse_json(std::string_view text);
/// The whole file, digest line included. `state` is an object.
std::string manifest_text(const Checkpoint& checkpoint, const Json& state);
/// Reads a manifest whose digest is right, so faults are of a writer, not of a disk. Throws
/// nlohmann's errors and ErrorKind::digest; `folder` stays empty.
Checkpoint parse_manifest(std::string_view text);

}  // namespace pref::manifest
