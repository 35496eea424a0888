// SPDX-License-Identifier: Apache-2.0
// JSON to template values and back: messages and variables come in, `tojson` writes what Python's
// json.dumps does.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "libpref/data/jinja/value.h"

namespace pref::jinja {

/// Throws Failure with line and column: not JSON, a repeated key, an integer beyond 64 bits, nested
/// deeper or longer than the caps. `what` names the text in messages.
Value parse_json_value(Budget& budget, std::string_view text, std::string_view what);

struct JsonStyle {
  bool ascii = false;                 ///< ensure_ascii
  std::optional<std::string> indent;  ///< what one level is indented by
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false;
};
/// Throws Failure for values that JSON does not have.
std::string to_json(Budget& budget, const Value& value, const JsonStyle& style);

}  // namespace pref::jinja
