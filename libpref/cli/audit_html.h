// SPDX-License-Identifier: Apache-2.0
// The audit as one HTML page, by the writer of run reports. Sees no torch.
#pragma once
#include "libpref/data/audit/audit.h"
#include "libpref/train/report.h"

namespace pref::cli {

/// The page's content; `title` names the data.
ReportData audit_page(const audit::AuditReport& report, const std::string& title);

}  // namespace pref::cli
