// SPDX-License-Identifier: Apache-2.0
// Renders chat templates for tests/python: one JSON object {"template", "messages", "variables",
// "now"} per line of stdin, one JSON string or {"error": "..."} per line of stdout.
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "libpref/base/error.h"
#include "libpref/base/json_text.h"
#include "libpref/data/jinja/chat.h"

namespace {

std::string answer(const std::string& line) {
  static std::map<std::string, pref::ChatTemplate> templates;
  const auto request = nlohmann::ordered_json::parse(line);
  const std::string text = request.at("template").get<std::string>();
  auto found = templates.find(text);
  if (found == templates.end()) found = templates.emplace(text, pref::ChatTemplate(text)).first;
  std::optional<int64_t> now;
  if (request.contains("now")) now = request["now"].get<int64_t>();
  return found->second.render(request.at("messages").dump(),
                              request.contains("variables") ? request["variables"].dump() : "",
                              now);
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << pref::json_value(answer(line)) << std::endl;
    } catch (const std::exception& error) {
      std::cout << pref::JsonObject().add("error", error.what()).str() << std::endl;
    }
  }
}
