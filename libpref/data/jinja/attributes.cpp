// SPDX-License-Identifier: Apache-2.0
// value.name and value[key]. jinja2 looks for a Python attribute first with the dot and for an
// entry first with brackets; both try the other afterwards.
#include "libpref/data/jinja/builtins.h"
#include "libpref/data/jinja/loop.h"
#include "libpref/data/jinja/unicode.h"

namespace pref::jinja {
namespace {

Value missing(const Value& value, std::string_view name) {
  return Value::undefined("a " + type_name(value) + " has no attribute " + in_quotes(name));
}

/// What Python's getattr finds, but for entries of a dict.
std::optional<Value> find_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (name.starts_with("__")) return std::nullopt;
  switch (value.kind()) {
    case Kind::name_space: {
      const Value* found = value.name_space().attributes.find(name);
      return found == nullptr ? std::nullopt : std::optional<Value>(*found);
    }
    case Kind::loop:
      if (name == "cycle" || name == "changed") return loop_method(value, name);
      return value.loop().attribute(name);
    case Kind::callable: {
      Value found = value.callable().attribute(name);
      return found.is_undefined() ? std::nullopt : std::optional<Value>(found);
    }
    default:
      return find_method(runtime, value, name);
  }
}

/// Index as Python has it: negative ones count from the end.
std::optional<size_t> position(int64_t index, size_t size) {
  if (index < 0) index += static_cast<int64_t>(size);
  if (index < 0 || index >= static_cast<int64_t>(size)) return std::nullopt;
  return static_cast<size_t>(index);
}

std::optional<Value> find_entry(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is(Kind::dict)) {
    const Value* found = value.dict().find(runtime.budget, key);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (!key.is_integral()) return std::nullopt;
  if (value.is(Kind::sequence) && value.sequence().has_positions()) {
    const auto at = position(key.integral(), value.sequence().items.size());
    return at ? std::optional<Value>(value.sequence().items[*at]) : std::nullopt;
  }
  if (value.is(Kind::string)) {
    const std::string& text = value.text();
    if (!value.is_ascii()) runtime.budget.step(text.size() / 256);
    const auto at = position(key.integral(), length(value));
    if (!at) return std::nullopt;
    const size_t begin = value.is_ascii() ? *at : code_point_offset(text, *at);
    size_t end = begin;
    next_code_point(text, &end);
    return Value::string(text.substr(begin, end - begin), value.is_markup());
  }
  return std::nullopt;
}

}  // namespace

Value get_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (value.is_undefined()) refuse(value.why_undefined());
  if (auto found = find_attribute(runtime, value, name)) return *found;
  if (value.is(Kind::dict))
    if (const Value* found = value.dict().find(name)) return *found;
  return missing(value, name);
}

Value get_item(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is_undefined()) refuse(value.why_undefined());
  if (auto found = find_entry(runtime, value, key)) return *found;
  if (key.is(Kind::string)) {
    if (auto found = find_attribute(runtime, value, key.text())) return *found;
    return missing(value, key.text());
  }
  return Value::undefined("a " + type_name(value) + " has no such element");
}

}  // namespace pref::jinja
