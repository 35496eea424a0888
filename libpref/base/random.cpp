// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon et al. 2011, section 3.3) and the stream over it.
#include "libpref/base/random.h"

#include <xxhash.h>

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "libpref/base/error.h"

namespace pref {
namespace {

/// A bijection of 64 bits (the finalizer of SplitMix64, Steele et al. 2014): for one purpose,
/// distinct seeds have distinct keys.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr uint64_t kMultiplier0 = 0xd2511f53, kMultiplier1 = 0xcd9e8d57;
  constexpr uint32_t kWeyl0 = 0x9e3779b9,
                     kWeyl1 = 0xbb67ae85;  // golden ratio and sqrt(3) - 1, as fractions of 2^32
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0], product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

RandomStream::RandomStream(uint64_t seed, std::string_view purpose, uint64_t index)
    : index_(index) {
  const uint64_t key = mix(seed ^ XXH3_64bits(purpose.data(), purpose.size()));
  key_ = {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
}

uint32_t RandomStream::next_u32() {
  const uint64_t word = position_ % 4;
  if (word == 0) seek(position_);
  ++position_;
  return block_[word];
}

void RandomStream::seek(uint64_t position) {
  position_ = position;
  const uint64_t block = position / 4;
  block_ = philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                       static_cast<uint32_t>(index_), static_cast<uint32_t>(index_ >> 32)},
                      key_);
}

uint64_t RandomStream::next_u64() {
  const uint64_t low = next_u32();
  return low | static_cast<uint64_t>(next_u32()) << 32;
}

double RandomStream::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

double RandomStream::normal() {
  const double radius =
      std::sqrt(-2 * std::log(1 - uniform()));  // 1 - u is in (0, 1]: the logarithm is finite
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

uint64_t RandomStream::below(uint64_t n) {
  require(n >= 1, ErrorKind::internal, "random", "below(n) needs n >= 1, got 0.");
  // Lemire 2019, "Fast random integer generation in an interval": the high half of a product, low
  // halves below 2^64 mod n refused.
  const uint64_t threshold = (0 - n) % n;
  while (true) {
    const unsigned __int128 product = static_cast<unsigned __int128>(next_u64()) * n;
    if (static_cast<uint64_t>(product) >= threshold) return static_cast<uint64_t>(product >> 64);
  }
}

std::vector<int64_t> RandomStream::permutation(int64_t n) {
  require(n >= 0, ErrorKind::internal, "random", "permutation(n) needs n >= 0, got ", n, ".");
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = n - 1; i > 0; --i)
    std::swap(order[i], order[below(static_cast<uint64_t>(i) + 1)]);
  return order;
}

}  // namespace pref
