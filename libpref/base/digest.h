// SPDX-License-Identifier: Apache-2.0
// SHA-256 (OpenSSL's, with the processor's instructions) for what must be proven unaltered, XXH3
// for cache keys.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pref {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  void update(const void* data, size_t size);
  void update(std::string_view text) { update(text.data(), text.size()); }
  std::string hex();  ///< 64 lower-case digits; call once, last

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);
/// XXH3 128 of the bytes as 32 hex digits: fast, not cryptographic.
std::string fast_digest(const void* data, size_t size);
/// XXH3 64 of the bytes, for tables in memory; not the same on every machine.
uint64_t fast_hash(const void* data, size_t size);

}  // namespace pref
