// SPDX-License-Identifier: Apache-2.0
// Escaping and number text of the JSON writer.
#include "libpref/base/json_text.h"

#include <cmath>

#include "libpref/base/option_text.h"
#include "libpref/base/utf8.h"

namespace pref {

std::string json_value(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);
    const char c = text[at];
    if (length == 0)
      out.append("\xef\xbf\xbd");
    else if (length > 1)
      out.append(text.substr(at, length));
    else if (c == '"' || c == '\\')
      out.append({'\\', c});
    else if (c == '\n')
      out.append("\\n");
    else if (c == '\r')
      out.append("\\r");
    else if (c == '\t')
      out.append("\\t");
    else if (static_cast<unsigned char>(c) < 0x20)
      out.append({'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]});
    else
      out.push_back(c);
    at += length == 0 ? 1 : length;
  }
  return out.append("\"");
}

std::string json_value(double value) {
  return std::isfinite(value) ? option_detail::format_number(value) : "null";
}

JsonObject& JsonObject::add_raw(std::string_view name, std::string_view json) {
  if (!members_.empty()) members_.push_back(',');
  members_.append(json_value(name)).append(":").append(json);
  return *this;
}

JsonArray& JsonArray::add_raw(std::string_view json) {
  if (!elements_.empty()) elements_.push_back(',');
  elements_.append(json);
  return *this;
}

}  // namespace pref
