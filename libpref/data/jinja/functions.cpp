// SPDX-License-Identifier: Apache-2.0
// The functions that templates may call: jinja2's range, dict and namespace, and transformers'
// raise_exception and strftime_now.
#include <ctime>

#include "libpref/data/jinja/builtins.h"

namespace pref::jinja {
namespace {

Value call_range(Runtime& runtime, Arguments& arguments) {
  if (!arguments.named.empty()) refuse("range() takes no named arguments");
  const auto& given = arguments.positional;
  if (given.empty() || given.size() > 3) refuse("range() takes one to three integers");
  int64_t numbers[3] = {0, 0, 1};
  for (size_t i = 0; i < given.size(); ++i) numbers[i] = integer_argument(given[i], 0, "range()");
  if (given.size() == 1) return make_range(runtime.budget, 0, numbers[0], 1);
  return make_range(runtime.budget, numbers[0], numbers[1], numbers[2]);
}

std::shared_ptr<Dict> dict_of(Runtime& runtime, Arguments& arguments, std::string_view who) {
  auto out = std::make_shared<Dict>();
  if (arguments.positional.size() > 1) refuse(who, " takes at most one argument without a name");
  if (arguments.positional.size() == 1) {
    const Value& from = arguments.positional[0];
    if (from.is(Kind::dict)) {
      for (const auto& [key, value] : from.dict().items) out->set(runtime.budget, key, value);
    } else {
      Values pairs(runtime.budget, from);
      for (Value pair; pairs.next(&pair);) {
        const std::vector<Value> parts = all_values(runtime.budget, pair);
        if (parts.size() != 2) refuse(who, " takes pairs, not ", parts.size(), " values");
        out->set(runtime.budget, parts[0], parts[1]);
      }
    }
  }
  for (auto& [name, value] : arguments.named) out->set(runtime.budget, Value::string(name), value);
  return out;
}

Value call_dict(Runtime& runtime, Arguments& arguments) {
  return make_dict(runtime.budget, dict_of(runtime, arguments, "dict()"));
}

Value call_namespace(Runtime& runtime, Arguments& arguments) {
  auto out = std::make_shared<Namespace>();
  out->attributes = std::move(*dict_of(runtime, arguments, "namespace()"));
  for (const auto& [key, value] : out->attributes.items)
    if (key.is(Kind::string) && key.text().starts_with("_"))
      refuse("a namespace takes no names that begin with an underscore");
  runtime.namespaces.push_back(out);
  return Value::object(Kind::name_space, std::move(out));
}

Value call_raise(Runtime& runtime, Arguments& arguments) {
  const auto given = bind(arguments, "raise_exception()", {"message"}, 1);
  const std::string text = in_quotes(to_text(runtime.budget, *given[0]), 1000);
  refuse("the template refuses the conversation: ", text.substr(1, text.size() - 2));
}

/// datetime.now().strftime(format): no time zone, and microseconds as %f.
Value call_strftime(Runtime& runtime, Arguments& arguments) {
  const auto given = bind(arguments, "strftime_now()", {"format"}, 1);
  const std::string& format = text_argument(*given[0], "strftime_now()");
  const auto seconds = static_cast<std::time_t>(runtime.now.value_or(std::time(nullptr)));
  std::tm parts{};
  localtime_r(&seconds, &parts);
  std::string out;
  for (size_t at = 0; at < format.size(); ++at) {
    runtime.budget.step();
    if (format[at] != '%' || at + 1 == format.size()) {
      out += format[at];
      continue;
    }
    const char letter = format[++at];
    if (letter == 'f') {
      out += "000000";
    } else if (letter != 'z' && letter != 'Z') {
      // A character in front, since an empty result and a failure look the same.
      const char directive[] = {'.', '%', letter, '\0'};
      char buffer[256];
      const size_t size = std::strftime(buffer, sizeof buffer, directive, &parts);
      if (size != 0) out.append(buffer + 1, size - 1);
    }
  }
  runtime.budget.text(out.size());
  return Value::string(std::move(out));
}

using Function = Value (*)(Runtime&, Arguments&);
struct BuiltinFunction : Callable {
  Runtime* runtime = nullptr;
  Function function = nullptr;
  Value call(Arguments& arguments) override { return function(*runtime, arguments); }
};

}  // namespace

std::optional<Value> find_function(Runtime& runtime, std::string_view name) {
  constexpr std::pair<std::string_view, Function> kFunctions[] = {{"range", call_range},
                                                                  {"dict", call_dict},
                                                                  {"namespace", call_namespace},
                                                                  {"raise_exception", call_raise},
                                                                  {"strftime_now", call_strftime}};
  for (const auto& [known, function] : kFunctions)
    if (known == name) {
      auto out = std::make_shared<BuiltinFunction>();
      out->name = name;
      out->runtime = &runtime;
      out->function = function;
      return Value::object(Kind::callable, std::move(out));
    }
  return std::nullopt;
}

}  // namespace pref::jinja
