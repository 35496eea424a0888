// SPDX-License-Identifier: Apache-2.0
// Digests against published values.
#include "libpref/base/digest.h"

#include <gtest/gtest.h>

#include "libpref/base/error.h"

namespace pref {
namespace {

TEST(Sha256, MatchesReference) {
  // FIPS 180-4 examples.
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 million;
  for (int i = 0; i < 1000; ++i) million.update(std::string(1000, 'a'));
  EXPECT_EQ(million.hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, InvariantOfPieces) {
  const std::string text("some bytes\0with a zero", 22);
  Sha256 digest;
  for (const char c : text) digest.update(&c, 1);
  Sha256 moved = std::move(digest);
  EXPECT_EQ(moved.hex(), sha256_hex(text));
}

TEST(Sha256, RejectsUseAfterHex) {
  Sha256 digest;
  digest.hex();
  EXPECT_THROW(digest.hex(), Error);
  EXPECT_THROW(digest.update("x"), Error);
}

TEST(FastHash, MatchesReference) {
  EXPECT_EQ(fast_hash("", 0), 0x2d06800538d394c2u);  // xxHash's value for XXH3 64 of no bytes
  EXPECT_NE(fast_hash("abc", 3), fast_hash("abd", 3));
}

TEST(FastDigest, MatchesReference) {
  // xxHash's sanity value for XXH3 128 of no bytes, seed 0: high 99aa06d3014798d8, low
  // 6001c324468d497f.
  EXPECT_EQ(fast_digest("", 0), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(fast_digest("abc", 3).size(), 32u);
  EXPECT_NE(fast_digest("abc", 3), fast_digest("abd", 3));
  EXPECT_NE(fast_digest("abc", 3), fast_digest("abc", 2));
}

}  // namespace
}  // namespace pref
