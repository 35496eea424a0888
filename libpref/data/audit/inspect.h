// SPDX-License-Identifier: Apache-2.0
// One row as training sees it: its tokens by part, which of them are cut and which are trained on,
// and the seam between prompt and answers.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "libpref/data/load_preferences.h"

namespace pref::audit {

struct InspectedToken {
  int32_t id = 0;
  std::string text;  ///< as it reads behind the token before it; the piece where that is nothing
  bool special = false;
  bool kept = true;      ///< not cut by a limit
  bool trained = false;  ///< its log-prob counts
  bool operator==(const InspectedToken&) const = default;
};

struct InspectedPart {
  std::string name;  ///< prompt, chosen, rejected, answer 3, ...; answer where it is the only one
  std::vector<InspectedToken> tokens;
  int64_t kept() const;
};

/// The place where the prompt ends and an answer begins.
struct InspectedSeam {
  std::string part;
  std::vector<int32_t> before, after;  ///< the ids on either side, at most kSeamIds
  bool merges = false;                 ///< tokenized together, a token would span it
  /// Where it does: the ids of the same stretch of text tokenized together, from the first that
  /// differs, at most kSeamIds.
  std::vector<int32_t> together;
};
constexpr size_t kSeamIds = 4;

struct InspectedRow {
  int64_t row = 0;  ///< from 1, as read
  std::string place, id, layout;
  std::string code, problem;  ///< why the row cannot be used; "" when it can
  std::vector<std::string> notes;
  std::vector<InspectedPart> parts;  ///< empty for a row that has no tokens; the prompt first
  std::vector<InspectedSeam> seams;  ///< one for each answer
  bool usable() const { return code.empty(); }
};

/// The row-th row (from 1) that `paths` give, counting those that cannot be used. Throws
/// ErrorKind::option when there are fewer, for options.max_rows, and as load_preferences.
InspectedRow inspect_row(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                         const DataOptions& options, int64_t row);

std::string inspect_json(const InspectedRow& row);

/// Lines of text. With `color` parts are told apart by ANSI colours; without, tokens stand between
/// bars, special ones in [[ ]], cut ones in ~ ~.
std::string inspect_text(const InspectedRow& row, bool color = false);

}  // namespace pref::audit
