// SPDX-License-Identifier: Apache-2.0
// The line protocol of commands that read stdin: one JSON value in, one JSON value out; a line that
// cannot be used gives
// {"error": "..."} and exit code 65 at the end, and the lines after it are still answered.
#pragma once
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"

namespace pref::cli {

/// answer(value) returns the JSON text of the answer. Returns 0 or 65.
/// Json: nlohmann::ordered_json where the order of members matters.
template <class Json = nlohmann::json, class Answer>
int answer_json_lines(std::istream& in, std::ostream& out, const Answer& answer) {
  int code = 0;
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      out << answer(Json::parse(line)) << "\n";
    } catch (const nlohmann::json::exception& error) {
      code = static_cast<int>(ErrorKind::data);
      out << JsonObject()
                 .add("error", "stdin:" + std::to_string(number) + ": " + error.what())
                 .str()
          << "\n";
    } catch (const Error& error) {
      code = static_cast<int>(ErrorKind::data);
      out << JsonObject()
                 .add("error", "stdin:" + std::to_string(number) + ": " + error.what())
                 .str()
          << "\n";
    }
    out.flush();
  }
  return code;
}

}  // namespace pref::cli
