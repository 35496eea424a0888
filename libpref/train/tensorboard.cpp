// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

namespace pref {
namespace {

static_assert(std::endian::native == std::endian::little, "frames and floats are little-endian");

template <class T>
std::string bytes_of(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

// The protocol buffers' wire format: a field's number and wire type, then its value.
enum WireType { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  return out + static_cast<char>(value);
}
std::string key(int field, WireType type) {
  return varint(static_cast<uint64_t>(field) << 3 | type);
}
std::string message(int field, const std::string& bytes) {
  return key(field, kLengthDelimited) + varint(bytes.size()) + bytes;
}

// event.proto: Event{1 wall_time, 2 step, 3 file_version, 5 summary, 7 session_log},
// SessionLog{1 status, START = 1}; summary.proto: Summary{1 value}, Value{1 tag, 2 simple_value}.
std::string event(int64_t step, const std::string& content) {
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return key(1, kFixed64) + bytes_of(now) + key(2, kVarint) + varint(static_cast<uint64_t>(step)) +
         content;
}

std::string tag_of(const MetricLine& line, const std::string& name) {
  constexpr std::string_view kEval = "eval_";
  if (line.kind == "eval" && name.starts_with(kEval)) return "eval/" + name.substr(kEval.size());
  return line.kind + "/" + name;
}

// A checksum of bytes that hold checksums themselves is weak, so TFRecord rotates and adds.
uint32_t masked(uint32_t crc) { return std::rotr(crc, 15) + 0xa282ead8u; }

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> out{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
      out[i] = crc;
    }
    return out;
  }();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

TensorBoardWriter::TensorBoardWriter(FileSystem& files, std::string directory,
                                     std::optional<int64_t> restart_at)
    : files_(files), directory_(std::move(directory)), restart_at_(restart_at) {}

void TensorBoardWriter::write(const MetricLine& line) {
  if (!file_) {
    char host[256] = "host";
    ::gethostname(host, sizeof host - 1);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    file_ = files_.append(join_path(
        directory_,
        "events.out.tfevents." +
            std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now).count()) + "." +
            host + "." + std::to_string(::getpid()) + ".libpref"));
    frame(event(0, message(3, "brain.Event:2")));
    if (restart_at_) frame(event(*restart_at_, message(7, key(1, kVarint) + varint(1))));
  }
  std::string summary;
  for (const auto& [name, value] : line.values)
    summary += message(
        1, message(1, tag_of(line, name)) + key(2, kFixed32) + bytes_of(static_cast<float>(value)));
  frame(event(line.step, message(5, summary)));
}

void TensorBoardWriter::frame(std::string_view event) {
  const std::string length = bytes_of(static_cast<uint64_t>(event.size()));
  file_->write(length + bytes_of(masked(crc32c(length))) + std::string(event) +
               bytes_of(masked(crc32c(event))));
}

}  // namespace pref
