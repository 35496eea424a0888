// SPDX-License-Identifier: Apache-2.0
// The layouts of ranked.cpp and instructions.cpp, for the table in dialect.cpp.
#pragma once
#include "libpref/data/dialects/row_reader.h"

namespace pref::dialects {

// ranked.cpp: several responses with scores or ranks.
bool is_ultrafeedback_raw(const JsonValue& root);
void parse_ultrafeedback_raw(RowReader& row);
bool is_nemo(const JsonValue& root);
void parse_nemo(RowReader& row);
bool is_argilla(const JsonValue& root);
void parse_argilla(RowReader& row);
bool is_nectar(const JsonValue& root);
void parse_nectar(RowReader& row);

// instructions.cpp: an instruction under some name, with a system text and earlier turns.
bool is_alpaca(const JsonValue& root);
void parse_alpaca(RowReader& row);
bool is_sharegpt(const JsonValue& root);
void parse_sharegpt(RowReader& row);
bool is_axolotl(const JsonValue& root);
void parse_axolotl(RowReader& row);
bool is_openrlhf(const JsonValue& root);
void parse_openrlhf(RowReader& row);

}  // namespace pref::dialects
