// SPDX-License-Identifier: Apache-2.0
// What templates can use without defining it: operators, attributes, methods, filters, tests and
// functions, with jinja2's meaning in its immutable sandbox.
#pragma once
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libpref/data/jinja/ast.h"
#include "libpref/data/jinja/value.h"

namespace pref::jinja {

/// What one rendering shares. It outlives every value of the rendering but the result.
struct Runtime {
  Budget budget;
  std::optional<int64_t> now;  ///< seconds since 1970 that strftime_now shows; absent: the clock's
  std::vector<std::shared_ptr<Namespace>> namespaces;  ///< emptied at the end: they may form rings

  explicit Runtime(const TemplateLimits& limits) : budget(limits) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
};

// operators.cpp
Value binary(Budget& budget, Op op, const Value& left, const Value& right);
Value negative(const Value& value);
Value positive(const Value& value);
/// container[start:stop:step]; a null pointer is a bound left out.
Value slice(Budget& budget, const Value& container, const Value* start, const Value* stop,
            const Value* step);

// attributes.cpp
/// value.name and value[key]; what is not there is undefined.
Value get_attribute(Runtime& runtime, const Value& value, std::string_view name);
Value get_item(Runtime& runtime, const Value& value, const Value& key);

// methods.cpp, methods_text.cpp
/// The method of that name, bound to `self`; nullopt: Python's type has no such attribute.
std::optional<Value> find_method(Runtime& runtime, const Value& self, std::string_view name);
using Method = Value (*)(Runtime&, const Value& self, Arguments&);
Method find_text_method(std::string_view name);

// format.cpp
/// The % operator of texts and str.format. `escape`: what is put in is escaped for HTML.
std::string format_percent(Budget& budget, const std::string& format, const Value& values,
                           bool escape);
std::string format_braces(Runtime& runtime, const std::string& format, const Arguments& arguments,
                          bool escape);
std::string escape_html(std::string_view text);

// filters.cpp, filters_text.cpp
using Filter = Value (*)(Runtime&, const Value&, Arguments&);
Filter find_filter(std::string_view name);
Filter find_text_filter(std::string_view name);
std::string unknown_filter(std::string_view name);

// tests.cpp
using Test = bool (*)(Runtime&, const Value&, Arguments&);
Test find_test(std::string_view name);
std::string unknown_test(std::string_view name);

// functions.cpp
/// range, dict, namespace, raise_exception, strftime_now; nullopt for other names.
std::optional<Value> find_function(Runtime& runtime, std::string_view name);

// arguments.cpp
/// Arguments by parameter: positional ones in order, then by name. Throws Failure for missing,
/// unknown, repeated and surplus ones.
std::vector<std::optional<Value>> bind(const Arguments& arguments, std::string_view who,
                                       std::initializer_list<std::string_view> names,
                                       size_t required = 0);
int64_t integer_argument(const std::optional<Value>& value, int64_t otherwise,
                         std::string_view who);
bool truth_argument(const std::optional<Value>& value, bool otherwise);
/// A text, required as Python's str methods do.
const std::string& text_argument(const Value& value, std::string_view who);
Value bound_method(Runtime& runtime, const Value& self, std::string_view name, Method method);

}  // namespace pref::jinja
