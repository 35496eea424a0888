// SPDX-License-Identifier: Apache-2.0
// What became of every row that was read. rows_read + rows_repeated = rows_used + sum of skipped,
// always.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pref {

struct TruncationCounts {
  int64_t prompts = 0,
          responses = 0;  ///< rows with a shortened prompt, with at least one shortened response
  int64_t prompt_tokens = 0;  ///< tokens cut from the left of prompts, each prompt counted once
  int64_t reference_prompt_tokens = 0;  ///< cut from the left of the reference's own prompts
  int64_t response_tokens_left = 0, response_tokens_right = 0;
};

struct DataReport {
  std::vector<std::string> files;
  int64_t rows_read = 0, rows_used = 0;
  int64_t rows_repeated = 0;  ///< uses beyond a row's first, by a mixture's fraction above 1
  struct MixtureCount {
    std::string name;
    double fraction = 1;
    int64_t rows_read = 0, rows_used = 0;
  };
  std::vector<MixtureCount> mixture;       ///< entries with a fraction
  std::map<std::string, int64_t> skipped;  ///< by code
  std::map<std::string, int64_t>
      notes;  ///< by code: rows, or lines for bom, crlf, blank, no_final_newline
  std::map<std::string, int64_t> dialects;  ///< used rows by layout
  std::map<std::string, int64_t>
      extra_keys;  ///< keys that nothing reads, with the rows that have them
  TruncationCounts truncation;
  int64_t seam_tokens_moved = 0;  ///< by seam: move_back, from prompts to responses
  int64_t prompt_tokens = 0,
          response_tokens = 0;       ///< of used rows, after truncation; a prompt counts once
  int64_t longest_sequence = 0;      ///< prompt + longest branch, tokens
  std::vector<std::string> dropped;  ///< places of rows that the truncation mode drop left out
  std::string tokenizer, chat_format;
  std::string rejects_path;  ///< "" when nothing was rejected

  int64_t rows_skipped() const;
  /// Throws ErrorKind::internal when a row is unaccounted for.
  void check() const;
  /// Some lines of text, without a final newline.
  std::string summary() const;
};

}  // namespace pref
