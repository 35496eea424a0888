// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/run_metrics.h"

#include <nlohmann/json.hpp>

#include <sstream>

#include "libpref/base/error.h"
#include "libpref/base/file_system.h"

namespace pref {

std::vector<std::pair<double, double>> RunMetrics::series(std::string_view kind,
                                                          std::string_view name) const {
  std::vector<std::pair<double, double>> points;
  for (const Line& line : lines) {
    if (line.kind != kind) continue;
    const auto found = line.values.find(std::string(name));
    if (found != line.values.end()) points.emplace_back(line.step, found->second);
  }
  return points;
}

RunMetrics read_run_metrics(const std::string& path) {
  constexpr uint64_t kMaxBytes = uint64_t{1} << 30;
  std::istringstream text(posix_file_system().read(path, kMaxBytes));
  RunMetrics metrics;
  for (std::string line; std::getline(text, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    require(json.is_object(), ErrorKind::data, "metrics", path, ":", metrics.lines.size() + 1,
            ": not a JSON object.");
    RunMetrics::Line entry{.kind = json.value("kind", ""),
                           .step = json.value("step", 0.0),
                           .values = {},
                           .message = json.value("message", "")};
    for (const auto& [name, value] : json.items())
      if (value.is_number()) entry.values[name] = value.get<double>();
    metrics.lines.push_back(std::move(entry));
  }
  return metrics;
}

}  // namespace pref
