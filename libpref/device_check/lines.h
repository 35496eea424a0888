// SPDX-License-Identifier: Apache-2.0
// Results of a device check as JSON lines and as the lines of a table.
#pragma once
#include <string>

#include "kernels/cuda/runtime.h"
#include "libpref/device_check/device_check.h"

namespace pref::device_check {

/// One JSON object, without the line's end.
std::string json_line(const Result& result);
std::string json_line(const kernels::cuda::Devices& devices,
                      const kernels::cuda::DeviceFacts& facts);

/// "NVIDIA H200, 141 GB of 4.8 TB/s, 132 processors at 1.98 GHz, capability 9.0".
std::string text_line(const kernels::cuda::DeviceFacts& facts);
std::string table_head();
std::string text_line(const Result& result);
/// "all 143 checks passed" or how many did not; with goals missed and cases left out, if any, in
/// lines before it.
std::string table_end(const Summary& summary);

}  // namespace pref::device_check
