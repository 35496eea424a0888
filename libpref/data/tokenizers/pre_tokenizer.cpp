// SPDX-License-Identifier: Apache-2.0
// See pre_tokenizer.h. How runs of matches merge with their neighbours follows the tokenizers
// package: a match merges only with a neighbour that is no match itself.
#include "libpref/data/tokenizers/pre_tokenizer.h"

#include <algorithm>

#include "libpref/data/tokenizers/byte_level.h"
#include "libpref/data/tokenizers/unicode.h"

namespace pref {
namespace {

using Range = PreTokenizerScratch::Range;
using Kind = PreTokenizerStep::Kind;

void add(std::vector<Range>& ranges, size_t& previous, size_t begin, size_t end) {
  if (begin > previous) ranges.push_back({previous, begin, false});
  ranges.push_back({begin, end, true});
  previous = end;
}

template <class Predicate>
void match_characters(std::string_view text, std::vector<Range>& ranges, const Predicate& is) {
  size_t previous = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (is(next_character(text, at))) add(ranges, previous, begin, at);
  }
  if (previous < text.size()) ranges.push_back({previous, text.size(), false});
}

void match_text(std::string_view text, std::string_view what, std::vector<Range>& ranges) {
  size_t previous = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, previous))
    add(ranges, previous, at, at + what.size());
  if (previous < text.size()) ranges.push_back({previous, text.size(), false});
}

}  // namespace

size_t PreTokenizer::behind(std::string_view text, size_t at) {
  if (at >= text.size()) return text.size() + 1;
  next_character(text, at);
  return at;
}

void apply_behavior(SplitBehavior behavior, std::vector<Range>& ranges) {
  std::vector<Range> out;
  out.reserve(ranges.size());
  bool previous_match = false;
  switch (behavior) {
    case SplitBehavior::removed:
      return;
    case SplitBehavior::isolated:
      for (Range& range : ranges) range.match = false;
      return;
    case SplitBehavior::contiguous:
      for (const Range& range : ranges) {
        if (range.match == previous_match && !out.empty())
          out.back().end = range.end;
        else
          out.push_back({range.begin, range.end, false});
        previous_match = range.match;
      }
      break;
    case SplitBehavior::merged_with_previous:
      for (const Range& range : ranges) {
        if (range.match && !previous_match && !out.empty())
          out.back().end = range.end;
        else
          out.push_back({range.begin, range.end, false});
        previous_match = range.match;
      }
      break;
    case SplitBehavior::merged_with_next:
      for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
        if (range->match && !previous_match && !out.empty())
          out.back().begin = range->begin;
        else
          out.push_back({range->begin, range->end, false});
        previous_match = range->match;
      }
      std::reverse(out.begin(), out.end());
      break;
  }
  ranges = std::move(out);
}

std::string_view PreTokenizer::prepare(const PreTokenizerStep& step, std::string_view piece,
                                       bool at_start, bool prefix, PreTokenizerScratch::Step& own) {
  std::vector<Range>& ranges = own.ranges;
  ranges.clear();
  switch (step.kind) {
    case Kind::prefix_space:
      if (!prefix || piece.starts_with(' ')) return piece;
      return own.text.assign(1, ' ').append(piece);
    case Kind::byte_map:
      own.text.clear();
      append_byte_characters(piece, own.text);
      return own.text;
    case Kind::metaspace: {
      own.text.clear();
      size_t previous = 0;
      const bool wanted = prefix && (step.prefix == PrefixScheme::always ||
                                     (step.prefix == PrefixScheme::first && at_start));
      if (wanted && !piece.starts_with(' ') && !piece.starts_with(step.text)) own.text += step.text;
      for (size_t at = piece.find(' '); at != std::string_view::npos;
           at = piece.find(' ', previous)) {
        own.text.append(piece.substr(previous, at - previous)).append(step.text);
        previous = at + 1;
      }
      own.text.append(piece.substr(previous));
      if (!step.split) return own.text;
      match_text(own.text, step.text, ranges);
      apply_behavior(SplitBehavior::merged_with_next, ranges);
      return own.text;
    }
    case Kind::split_text:
      match_text(piece, step.text, ranges);
      break;
    case Kind::white_space:
      match_characters(piece, ranges, is_white_space);
      break;
    case Kind::punctuation:
      match_characters(piece, ranges, is_punctuation_mark);
      break;
    case Kind::digits:
      match_characters(piece, ranges, is_numeric);
      break;
    case Kind::split_regex: {
      const std::string_view subject = Regex::subject(piece, own.subject);
      size_t previous = 0, begin = 0, end = 0;
      for (size_t from = 0; from <= piece.size() && step.regex->find(subject, from, begin, end);) {
        add(ranges, previous, begin, end);
        from = end > begin ? end : behind(piece, end);
      }
      if (previous < piece.size()) ranges.push_back({previous, piece.size(), false});
      break;
    }
  }
  if (step.invert)
    for (Range& range : ranges) range.match = !range.match;
  apply_behavior(step.behavior, ranges);
  // Nothing left (all removed) differs from nothing cut.
  if (ranges.empty()) ranges.push_back({0, 0, true});
  return piece;
}

bool PreTokenizer::prefixes_always() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const PreTokenizerStep& step) {
    return step.prefix == PrefixScheme::always || step.kind == Kind::prefix_space;
  });
}

bool PreTokenizer::prefixes() const {
  return prefixes_always() ||
         std::any_of(steps_.begin(), steps_.end(), [](const PreTokenizerStep& step) {
           return step.prefix == PrefixScheme::first;
         });
}

}  // namespace pref
