// SPDX-License-Identifier: Apache-2.0
// Pieces of the audit's text that its HTML page shows as well: a table is made once.
#pragma once
#include <string>
#include <vector>

#include "libpref/data/audit/audit.h"

namespace pref::audit {

struct Table {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

Table length_table(const AuditReport& report);
Table truncation_table(const AuditReport& report);
/// Name and value, a line each: lengths against labels, steps, tokens, memory.
Table figure_table(const AuditReport& report);

/// "2 errors, 1 warning, 3 notes; 14 checks found nothing".
std::string verdict(const AuditReport& report);

/// Columns aligned, the first to the left, the others to the right; `indent` spaces before each
/// line.
std::string aligned(const Table& table, size_t indent);

}  // namespace pref::audit
