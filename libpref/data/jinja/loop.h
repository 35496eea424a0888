// SPDX-License-Identifier: Apache-2.0
// The `loop` variable of a for loop. It reads its values one ahead only where a template asks for
// the last or the next one, since values may be made on the way (select, map, "for ... if").
#pragma once
#include <functional>
#include <optional>

#include "libpref/data/jinja/value.h"

namespace pref::jinja {

struct Loop : Object {
  Budget* budget = nullptr;
  std::function<bool(Value*)> source;
  std::optional<size_t> known_length;
  int64_t index0 = -1;
  std::optional<Value> before, current;
  std::vector<Value> ahead;  ///< read and not yet given out, the next one last
  Value last_changed;
  bool has_changed = false;

  /// Moves to the next value; false at the end.
  bool advance();
  /// loop.index and its like; nullopt: there is no such attribute.
  std::optional<Value> attribute(std::string_view name);
  std::string repr();

 private:
  bool peek();
  int64_t length();
};

/// loop.cycle or loop.changed of a loop.
Value loop_method(const Value& loop, std::string_view name);

}  // namespace pref::jinja
