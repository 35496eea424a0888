// SPDX-License-Identifier: Apache-2.0
// Methods of dicts and lists. What would change them is refused when it is called, as in jinja2's
// immutable sandbox; methods that Python has and this evaluator lacks are refused by name.
#include <algorithm>
#include <array>

#include "libpref/data/jinja/builtins.h"

namespace pref::jinja {
namespace {

void check_positional(const Arguments& arguments, std::string_view who, size_t least, size_t most) {
  if (!arguments.named.empty()) refuse(who, " takes no named arguments");
  if (arguments.positional.size() < least || arguments.positional.size() > most)
    refuse(who, " takes ", least, least == most ? "" : " or more", " arguments, not ",
           arguments.positional.size());
}

Value dict_get(Runtime& runtime, const Value& self, Arguments& arguments) {
  check_positional(arguments, "dict.get", 1, 2);
  const auto& given = arguments.positional;
  // contains() refuses keys that cannot be hashed.
  if (!contains(runtime.budget, self, given[0]))
    return given.size() == 2 ? given[1] : Value::none();
  return *self.dict().find(runtime.budget, given[0]);
}

Value dict_view(Runtime& runtime, const Value& self, Sequence::Flavor flavor) {
  std::vector<Value> items;
  items.reserve(self.dict().items.size());
  for (const auto& [key, value] : self.dict().items)
    items.push_back(flavor == Sequence::Flavor::keys     ? key
                    : flavor == Sequence::Flavor::values ? value
                                                         : make_pair(runtime.budget, key, value));
  return make_sequence(runtime.budget, std::move(items), flavor);
}
Value dict_items(Runtime& runtime, const Value& self, Arguments& arguments) {
  check_positional(arguments, "dict.items", 0, 0);
  return dict_view(runtime, self, Sequence::Flavor::items);
}
Value dict_keys(Runtime& runtime, const Value& self, Arguments& arguments) {
  check_positional(arguments, "dict.keys", 0, 0);
  return dict_view(runtime, self, Sequence::Flavor::keys);
}
Value dict_values(Runtime& runtime, const Value& self, Arguments& arguments) {
  check_positional(arguments, "dict.values", 0, 0);
  return dict_view(runtime, self, Sequence::Flavor::values);
}

Value copy(Runtime&, const Value& self, Arguments& arguments) {
  check_positional(arguments, "copy", 0, 0);
  return self;  // nothing can change it
}

Value list_count(Runtime& runtime, const Value& self, Arguments& arguments) {
  check_positional(arguments, "count", 1, 1);
  int64_t count = 0;
  for (const Value& item : self.sequence().items) {
    runtime.budget.step();
    count += equal(runtime.budget, item, arguments.positional[0]) ? 1 : 0;
  }
  return Value::integer(count);
}

Value list_index(Runtime& runtime, const Value& self, Arguments& arguments) {
  check_positional(arguments, "index", 1, 1);
  const auto& items = self.sequence().items;
  for (size_t i = 0; i < items.size(); ++i) {
    runtime.budget.step();
    if (equal(runtime.budget, items[i], arguments.positional[0]))
      return Value::integer(static_cast<int64_t>(i));
  }
  refuse("index: the list has no such element");
}

struct Named {
  std::string_view name;
  Method method;  ///< null: the method changes its object
};
constexpr std::array<Named, 11> kDict{{{"get", dict_get},
                                       {"items", dict_items},
                                       {"keys", dict_keys},
                                       {"values", dict_values},
                                       {"copy", copy},
                                       {"clear", nullptr},
                                       {"pop", nullptr},
                                       {"popitem", nullptr},
                                       {"setdefault", nullptr},
                                       {"update", nullptr},
                                       {"fromkeys", nullptr}}};
constexpr std::array<Named, 11> kList{{{"count", list_count},
                                       {"index", list_index},
                                       {"copy", copy},
                                       {"append", nullptr},
                                       {"clear", nullptr},
                                       {"pop", nullptr},
                                       {"reverse", nullptr},
                                       {"insert", nullptr},
                                       {"sort", nullptr},
                                       {"extend", nullptr},
                                       {"remove", nullptr}}};
constexpr std::array<Named, 2> kTuple{{{"count", list_count}, {"index", list_index}}};

template <size_t N>
std::optional<Value> find_in(const std::array<Named, N>& methods, Runtime& runtime,
                             const Value& self, std::string_view name) {
  for (const auto& [known, method] : methods) {
    if (known != name) continue;
    if (method != nullptr) return bound_method(runtime, self, name, method);
    return Value::undefined("a template may not call ." + std::string(name) + " on a " +
                            type_name(self) + ": it changes the object");
  }
  return std::nullopt;
}

}  // namespace

std::optional<Value> find_method(Runtime& runtime, const Value& self, std::string_view name) {
  if (self.is(Kind::dict)) return find_in(kDict, runtime, self, name);
  if (self.is(Kind::sequence)) {
    using Flavor = Sequence::Flavor;
    const Sequence& sequence = self.sequence();
    if (sequence.flavor == Flavor::list) return find_in(kList, runtime, self, name);
    if (sequence.flavor == Flavor::range) {
      if (name == "start") return Value::integer(sequence.start);
      if (name == "stop") return Value::integer(sequence.stop);
      if (name == "step") return Value::integer(sequence.step);
    }
    return sequence.has_positions() ? find_in(kTuple, runtime, self, name) : std::nullopt;
  }
  if (!self.is(Kind::string)) return std::nullopt;
  if (const Method method = find_text_method(name))
    return bound_method(runtime, self, name, method);
  constexpr std::string_view kMissing[] = {
      "casefold",    "encode",  "expandtabs", "format_map", "isidentifier",
      "isprintable", "istitle", "maketrans",  "swapcase",   "translate"};
  if (std::find(std::begin(kMissing), std::end(kMissing), name) != std::end(kMissing))
    refuse("the method str.", name, " is not supported");
  return std::nullopt;
}

}  // namespace pref::jinja
