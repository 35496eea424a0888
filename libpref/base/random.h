// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3"). A stream is (seed, purpose, index); its n-th number depends on nothing else,
// so results do not change with threads, ranks or a resume. The whole state is two integers.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pref {

/// The Philox4x32-10 block function: 4 random words of a 128-bit counter under a 64-bit key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

class RandomStream {
 public:
  /// `purpose` separates uses of one seed ("data order", "dropout"); `index` separates epochs,
  /// rows, samples.
  RandomStream(uint64_t seed, std::string_view purpose, uint64_t index = 0);
  uint64_t next_u64();
  uint32_t next_u32();
  double uniform();            ///< [0, 1), 53 bits
  double normal();             ///< mean 0, variance 1 (Box-Muller; consumes two numbers a call)
  uint64_t below(uint64_t n);  ///< uniform in [0, n), without modulo bias; n >= 1
  bool bernoulli(double p) { return uniform() < p; }
  /// A permutation of 0..n-1 (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t n);

  /// Saved in checkpoints: the number of 32-bit words drawn so far.
  uint64_t position() const { return position_; }
  void seek(uint64_t position);

 private:
  std::array<uint32_t, 2> key_;
  uint64_t index_ = 0, position_ = 0;
  std::array<uint32_t, 4> block_{};
};

}  // namespace pref
