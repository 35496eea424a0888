// SPDX-License-Identifier: Apache-2.0
// Token strings back to text: the steps of tokenizer.json's "decoder" over the tokens of one
// stretch between added tokens.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace pref {

struct DecoderStep {
  enum class Kind {
    byte_level,
    byte_fallback,
    fuse,
    join,  ///< with spaces: what a file without decoder asks for
    metaspace,
    replace,
    strip
  };
  Kind kind = Kind::fuse;
  std::string text;            ///< replace: what; metaspace: the replacement; strip: the character
  std::string content;         ///< replace: by what
  size_t start = 0, stop = 0;  ///< strip: at most so many at each end of a token
  bool strips_first = false;   ///< metaspace: the first token loses its marks
};

class Decoder {
 public:
  Decoder() = default;
  explicit Decoder(std::vector<DecoderStep> steps) : steps_(std::move(steps)) {}
  bool empty() const { return steps_.empty(); }
  /// `strip_prefix`: this stretch was encoded with a prefix, which is to be taken away.
  std::string decode(std::vector<std::string> tokens, bool strip_prefix) const;

 private:
  std::vector<DecoderStep> steps_;
};

}  // namespace pref
