// SPDX-License-Identifier: Apache-2.0
// SHA-256 through OpenSSL's EVP, which picks the processor's SHA instructions; XXH3 through xxHash.
#include "libpref/base/digest.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include "libpref/base/error.h"

namespace pref {
namespace {

std::string to_hex(const unsigned char* bytes, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) out.append({kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]});
  return out;
}

void require_openssl(bool done) {
  require(done, ErrorKind::internal, "digest", "OpenSSL's SHA-256 failed.");
}

}  // namespace

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                  &EVP_MD_CTX_free};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  require_openssl(state_->context &&
                  EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;

void Sha256::update(const void* data, size_t size) {
  require(state_ != nullptr, ErrorKind::internal, "digest",
          "Sha256::update() after hex() or a move.");
  require_openssl(EVP_DigestUpdate(state_->context.get(), data, size) == 1);
}

std::string Sha256::hex() {
  require(state_ != nullptr, ErrorKind::internal, "digest", "Sha256::hex() twice or after a move.");
  unsigned char bytes[32];
  require_openssl(EVP_DigestFinal_ex(state_->context.get(), bytes, nullptr) == 1);
  state_.reset();
  return to_hex(bytes, sizeof bytes);
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.hex();
}

std::string fast_digest(const void* data, size_t size) {
  XXH128_canonical_t canonical;  // big-endian: the same text on every machine
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, size));
  return to_hex(canonical.digest, sizeof canonical.digest);
}

uint64_t fast_hash(const void* data, size_t size) { return XXH3_64bits(data, size); }

}  // namespace pref
