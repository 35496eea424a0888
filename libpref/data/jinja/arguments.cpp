// SPDX-License-Identifier: Apache-2.0
// Arguments of builtin functions, filters and methods; see builtins.h.
#include "libpref/data/jinja/builtins.h"

namespace pref::jinja {

Runtime::~Runtime() {
  for (const auto& space : namespaces) space->attributes = {};
}

std::vector<std::optional<Value>> bind(const Arguments& arguments, std::string_view who,
                                       std::initializer_list<std::string_view> names,
                                       size_t required) {
  std::vector<std::optional<Value>> out(names.size());
  if (arguments.positional.size() > names.size())
    refuse(who, " takes at most ", names.size(), " arguments, not ", arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) out[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    size_t at = 0;
    while (at < names.size() && names.begin()[at] != name) ++at;
    if (at == names.size()) refuse(who, " has no parameter of the name ", in_quotes(name));
    if (out[at]) refuse(who, " is given ", name, " twice");
    out[at] = value;
  }
  for (size_t i = 0; i < required; ++i)
    if (!out[i]) refuse(who, " needs the argument ", names.begin()[i]);
  return out;
}

int64_t integer_argument(const std::optional<Value>& value, int64_t otherwise,
                         std::string_view who) {
  if (!value) return otherwise;
  if (!value->is_integral()) refuse(who, " needs an integer, not a ", type_name(*value));
  return value->integral();
}

bool truth_argument(const std::optional<Value>& value, bool otherwise) {
  return value ? is_true(*value) : otherwise;
}

const std::string& text_argument(const Value& value, std::string_view who) {
  if (!value.is(Kind::string)) refuse(who, " needs a text, not a ", type_name(value));
  return value.text();
}

namespace {

struct BoundMethod : Callable {
  Runtime* runtime = nullptr;
  Value self;
  Method method = nullptr;
  Value call(Arguments& arguments) override { return method(*runtime, self, arguments); }
  std::string repr() const override { return "<built-in method " + name + ">"; }
};

}  // namespace

Value bound_method(Runtime& runtime, const Value& self, std::string_view name, Method method) {
  auto out = std::make_shared<BoundMethod>();
  out->name = name;
  out->depth = self.depth() + 1;
  out->runtime = &runtime;
  out->self = self;
  out->method = method;
  return Value::object(Kind::callable, std::move(out));
}

}  // namespace pref::jinja
