// SPDX-License-Identifier: Apache-2.0
// The checks of the audit as a table: from which share on something is a note, a warning or an
// error, what it means in plain words, and what to do about it. Numbers come from audit.cpp.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/audit/audit.h"

namespace pref::audit {

/// How often something was met, with the first places, each once.
struct Tally {
  int64_t count = 0;
  std::vector<std::string> examples;
  void add(const std::string& place) {
    ++count;
    if (examples.size() < kExamples && (examples.empty() || examples.back() != place))
      examples.push_back(place);
  }
};

/// The finding of the check `code`, judged by its share.
Finding judge(std::string_view code, const Tally& tally, int64_t total);

/// Rows that cannot be used, by the loader's code. `strict`: a run would stop at the first.
Finding judge_unusable(std::string_view code, const Tally& tally, int64_t total, bool strict,
                       const std::string& first_problem);

/// A note of the loader that no check covers.
Finding other_note(std::string_view code, const Tally& tally, int64_t total);
/// Is there a check, or a reason not to have one, for this note?
bool covered_note(std::string_view code);

/// Answers' lengths against their labels.
Finding judge_length_bias(const LengthBias& bias);

/// A text of one line: "12 of 4000 rows (0.3 %)".
std::string count_text(const Finding& finding);
std::string percent(double share);
/// "name 3, other 4".
std::string counts_text(const std::map<std::string, int64_t>& counts);
/// "a.jsonl:3, :17, b.jsonl:1, ...": a path is written where it changes.
std::string places_text(const Finding& finding);

}  // namespace pref::audit
