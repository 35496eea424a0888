// SPDX-License-Identifier: Apache-2.0
// What turns a piece of prepared text into ids. One model serves many threads; what encoding needs
// beside it (buffers, the cache of words) is in the scratch, one per running encode.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/tokenizers/vocabulary.h"
#include "libpref/data/tokenizers/word_cache.h"

namespace pref {

struct ModelScratch {
  WordCache cache;
  std::string buffer;
  std::vector<int32_t> left, right, ids;  ///< of the symbols of one word
  std::vector<uint32_t> ranks;
  struct Candidate {
    uint64_t order;  ///< rank << 32 | place
    int32_t id;
  };
  std::vector<Candidate> heap;
  struct Node {
    double score;
    int64_t start;
    int32_t id;
  };
  std::vector<Node> nodes;
  uint64_t operations = 0;  ///< pairs looked up or queued: the work done, for tests of its growth
};

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  /// Appends the ids of one piece. Byte-level models take bytes, others valid UTF-8.
  virtual void encode(std::string_view piece, ModelScratch& scratch,
                      std::vector<int32_t>& out) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  virtual std::string name() const = 0;  ///< "byte-level bpe", for the log
};

}  // namespace pref
