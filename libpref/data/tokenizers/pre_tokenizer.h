// SPDX-License-Identifier: Apache-2.0
// Cuts normalized text into the pieces that the model encodes one by one: the steps of
// tokenizer.json's "pre_tokenizer", each working on every piece of the one before.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/tokenizers/regex.h"

namespace pref {

/// What becomes of the places where a splitting pattern matches.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

enum class PrefixScheme { never, first, always };

struct PreTokenizerStep {
  enum class Kind {
    split_regex,  ///< Split with a regex, Whitespace, ByteLevel's own pattern
    split_text,   ///< Split with a string
    white_space,  ///< WhitespaceSplit
    punctuation,
    digits,
    metaspace,
    prefix_space,  ///< ByteLevel's add_prefix_space
    byte_map       ///< ByteLevel before other steps: bytes become characters of its alphabet
  };
  Kind kind = Kind::split_regex;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;
  std::shared_ptr<const Regex> regex;
  std::string text;  ///< split_text: the string; metaspace: the replacement
  PrefixScheme prefix = PrefixScheme::never;
  bool split = true;  ///< metaspace
};

struct PreTokenizerScratch {
  struct Range {
    size_t begin, end;
    bool match;  ///< in: the pattern matches here; out: drop it
  };
  struct Step {
    std::vector<Range> ranges;
    std::string text, subject;
  };
  std::vector<Step> steps;
};

class PreTokenizer {
 public:
  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  /// Calls emit(piece) for each piece. `at_start`: the text begins the whole input; `prefix`: it
  /// does not continue other text, so prefixes are allowed at its start.
  template <class Emit>
  void run(std::string_view text, bool at_start, bool prefix, PreTokenizerScratch& scratch,
           const Emit& emit) const {
    scratch.steps.resize(steps_.size());
    run_step(0, text, at_start, prefix, scratch, emit);
  }
  bool prefixes_always() const;
  bool prefixes() const;

 private:
  template <class Emit>
  void run_step(size_t index, std::string_view piece, bool at_start, bool prefix,
                PreTokenizerScratch& scratch, const Emit& emit) const {
    if (piece.empty()) return;
    if (index == steps_.size()) return emit(piece);
    const PreTokenizerStep& step = steps_[index];
    PreTokenizerScratch::Step& own = scratch.steps[index];
    const auto next = [&](std::string_view text, size_t begin, size_t end) {
      run_step(index + 1, text.substr(begin, end - begin), at_start && begin == 0,
               prefix || begin > 0, scratch, emit);
    };
    if (step.kind == PreTokenizerStep::Kind::split_regex && !step.invert &&
        step.behavior == SplitBehavior::isolated) {
      const std::string_view subject = Regex::subject(piece, own.subject);
      size_t previous = 0, begin = 0, end = 0;
      for (size_t from = 0; from < piece.size() && step.regex->find(subject, from, begin, end);) {
        if (begin > previous) next(piece, previous, begin);
        if (end > begin) next(piece, begin, end);
        from = previous = end;
        if (end == begin) from = behind(piece, end);
      }
      if (previous < piece.size()) next(piece, previous, piece.size());
      return;
    }
    const std::string_view text = prepare(step, piece, at_start, prefix, own);
    if (own.ranges.empty()) return next(text, 0, text.size());
    for (size_t i = 0; i < own.ranges.size(); ++i) {
      const PreTokenizerScratch::Range range = own.ranges[i];
      if (!range.match && range.end > range.begin) next(text, range.begin, range.end);
    }
  }
  /// The piece as changed by the step, and the ranges it is cut into; none: it stays whole.
  static std::string_view prepare(const PreTokenizerStep& step, std::string_view piece,
                                  bool at_start, bool prefix, PreTokenizerScratch::Step& own);
  static size_t behind(std::string_view text, size_t at);

  std::vector<PreTokenizerStep> steps_;
};

/// Turns matches and the text between them into pieces, as the behaviour says; `match` then means
/// that a range is dropped.
void apply_behavior(SplitBehavior behavior, std::vector<PreTokenizerScratch::Range>& ranges);

}  // namespace pref
