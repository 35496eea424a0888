// SPDX-License-Identifier: Apache-2.0
// See loop.h.
#include "libpref/data/jinja/loop.h"

#include <algorithm>

namespace pref::jinja {

Loop& Value::loop() const { return static_cast<Loop&>(*object_); }

bool Loop::advance() {
  if (!peek()) return false;
  ++index0;
  before = std::move(current);
  current = std::move(ahead.back());
  ahead.pop_back();
  return true;
}

bool Loop::peek() {
  if (!ahead.empty()) return true;
  Value value;
  if (!source(&value)) return false;
  ahead.push_back(std::move(value));
  return true;
}

int64_t Loop::length() {
  if (!known_length) {
    std::reverse(ahead.begin(), ahead.end());
    for (Value value; source(&value);) ahead.push_back(value);
    std::reverse(ahead.begin(), ahead.end());
    known_length = static_cast<size_t>(index0 + 1) + ahead.size();
  }
  return static_cast<int64_t>(*known_length);
}

namespace {

/// loop.cycle(...) and loop.changed(...).
struct LoopMethod : Callable {
  std::shared_ptr<Loop> loop;
  Value call(Arguments& arguments) override {
    if (!arguments.named.empty()) refuse("loop.", name, " takes no named arguments");
    auto& values = arguments.positional;
    if (name == "cycle") {
      if (values.empty()) refuse("loop.cycle needs something to cycle through");
      return values[static_cast<size_t>(loop->index0) % values.size()];
    }
    Value now = make_sequence(*loop->budget, values, Sequence::Flavor::tuple);
    const bool same = loop->has_changed && equal(*loop->budget, loop->last_changed, now);
    loop->has_changed = true;
    loop->last_changed = std::move(now);
    return Value::boolean(!same);
  }
};

}  // namespace

std::optional<Value> Loop::attribute(std::string_view name) {
  if (name == "index") return Value::integer(index0 + 1);
  if (name == "index0") return Value::integer(index0);
  if (name == "first") return Value::boolean(index0 == 0);
  if (name == "last") return Value::boolean(!peek());
  if (name == "length") return Value::integer(length());
  if (name == "revindex") return Value::integer(length() - index0);
  if (name == "revindex0") return Value::integer(length() - index0 - 1);
  if (name == "depth") return Value::integer(1);
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem")
    return index0 == 0 ? Value::undefined("there is no previous item") : *before;
  if (name == "nextitem") return peek() ? ahead.back() : Value::undefined("there is no next item");
  return std::nullopt;
}

std::string Loop::repr() {
  return "<LoopContext " + std::to_string(index0 + 1) + "/" + std::to_string(length()) + ">";
}

Value loop_method(const Value& loop, std::string_view name) {
  auto method = std::make_shared<LoopMethod>();
  method->name = name;
  method->loop = std::static_pointer_cast<Loop>(loop.shared());
  return Value::object(Kind::callable, std::move(method));
}

}  // namespace pref::jinja
