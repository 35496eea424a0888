// SPDX-License-Identifier: Apache-2.0
// One logged moment of a run: the values of one kind at one step, in the order they are written.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pref {

struct MetricLine {
  std::string kind;  ///< train, eval or event
  int64_t step = 0;  ///< updates done
  std::vector<std::pair<std::string, double>> values;
  std::string message = {};  ///< of an event

  MetricLine& add(std::string name, double value) {
    values.emplace_back(std::move(name), value);
    return *this;
  }
};

}  // namespace pref
