// SPDX-License-Identifier: Apache-2.0
// The layouts of pairs.cpp, for the table in dialect.cpp, and the pair that other families share.
#pragma once
#include "libpref/data/dialects/row_reader.h"

namespace pref::dialects {

/// Reads the two keys (the second may hold a list of responses) and joins them to the prompt;
/// returns the layout that their forms make.
Dialect join_pair(RowReader& row, const Field& prompt, std::string_view chosen_key,
                  std::string_view rejected_key);

void parse_pair(RowReader& row);
void parse_responses(RowReader& row);
void parse_unpaired(RowReader& row);
void parse_completion(RowReader& row);
void parse_messages(RowReader& row);
void parse_prompt(RowReader& row);
void parse_stepwise(RowReader& row);

}  // namespace pref::dialects
