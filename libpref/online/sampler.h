// SPDX-License-Identifier: Apache-2.0
// Replies sampled from a decoder, many prompts at once, with a key-value cache. A reply depends on
// its prompt, the seed and its index alone, not on the prompts beside it.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "libpref/base/options.h"
#include "libpref/nn/decoder.h"

namespace pref {

struct SampleOptions {
  int64_t max_new_tokens = 64;
  double temperature = 0.9;
  double top_p = 1;
  int64_t top_k = 0;
  int64_t seed = 42;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("max_new_tokens", self.max_new_tokens, at_least(1), "longest reply, tokens");
    visit("temperature", self.temperature, at_least(0),
          "of the softmax; 0 takes the most probable token");
    visit("top_p", self.top_p, between(0, 1),
          "smallest set of tokens with this probability; 1 = all");
    visit("top_k", self.top_k, at_least(0), "only the k most probable tokens; 0 = all");
    visit("seed", self.seed, at_least(0), "of the random streams");
  }
};

struct Reply {
  std::vector<int32_t> ids;  ///< EOS included when the reply ended by itself
  bool ended = false;        ///< false: cut at max_new_tokens
};

/// One reply per prompt (ids, at least one token each). `eos_id` ends a reply; a negative one never
/// does.
std::vector<Reply> sample_replies(Decoder& network, std::span<const std::vector<int32_t>> prompts,
                                  int32_t eos_id, const SampleOptions& options);

/// Draws an index from softmax(logits / temperature) restricted by top_k and top_p; uniform in [0,
/// 1).
int32_t sample_token(std::span<const float> logits, const SampleOptions& options, double uniform);

}  // namespace pref
