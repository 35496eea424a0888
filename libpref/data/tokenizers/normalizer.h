// SPDX-License-Identifier: Apache-2.0
// What happens to a stretch of text before it is cut into pieces: the steps of tokenizer.json's
// "normalizer", in order.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/tokenizers/regex.h"
#include "libpref/data/tokenizers/unicode.h"

namespace pref {

struct NormalizerStep {
  enum class Kind { form, lower_case, prepend, replace, replace_regex, strip, strip_accents };
  Kind kind = Kind::form;
  NormalForm form = NormalForm::nfc;
  std::string text;     ///< prepend: what; replace: what is replaced
  std::string content;  ///< replace: by what
  std::shared_ptr<const Regex> regex;
  bool left = true, right = true;  ///< strip
};

class Normalizer {
 public:
  Normalizer() = default;
  explicit Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}
  bool empty() const { return steps_.empty(); }
  bool prepends() const;
  /// The result, in one of the two buffers or `text` itself. Without `prefix`, Prepend does
  /// nothing: the text continues other text.
  std::string_view apply(std::string_view text, bool prefix, std::string (&buffers)[3]) const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace pref
