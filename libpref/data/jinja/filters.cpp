// SPDX-License-Identifier: Apache-2.0
// Filters over lists and dicts, and the table of all. Where jinja2 gives a generator, so does this:
// it is always true, has no length and can be read once.
#include <algorithm>
#include <functional>

#include "libpref/data/jinja/builtins.h"
#include "libpref/data/jinja/unicode.h"

namespace pref::jinja {
namespace {

struct Generator : Iterator {
  std::function<bool(Value*)> source;
  bool next(Value* value) override { return source(value); }
};

Value generator(Runtime& runtime, const Value& from, std::function<bool(Value*)> source,
                std::string name = "generator") {
  if (from.depth() >= runtime.budget.limits().depth)
    refuse("filters nested deeper than ", runtime.budget.limits().depth,
           " levels, the cap (TemplateLimits::depth)");
  auto out = std::make_shared<Generator>();
  out->depth = from.depth() + 1;
  out->name = std::move(name);
  out->source = std::move(source);
  return Value::object(Kind::iterator, std::move(out));
}

/// Attributes by a path such as "function.name" or "0.role", which goes by entries as brackets do.
class Getter {
 public:
  Getter(Runtime& runtime, const std::optional<Value>& path, bool lower)
      : runtime_(runtime), lower_(lower) {
    if (!path || path->is(Kind::none)) return;
    if (!path->is(Kind::string)) {
      parts_.push_back(*path);
      return;
    }
    std::string_view rest = path->text();
    while (true) {
      const size_t dot = rest.find('.');
      const std::string part(rest.substr(0, dot));
      const bool number = !part.empty() && part.size() < 18 &&
                          part.find_first_not_of("0123456789") == std::string::npos;
      parts_.push_back(number ? Value::integer(std::stoll(part)) : Value::string(part));
      if (dot == std::string_view::npos) break;
      rest.remove_prefix(dot + 1);
    }
  }

  Value operator()(Value item, const std::optional<Value>& otherwise = std::nullopt) const {
    for (const Value& part : parts_) {
      runtime_.budget.step();
      item = get_item(runtime_, item, part);
      if (otherwise && item.is_undefined()) item = *otherwise;
    }
    if (lower_ && item.is(Kind::string)) return Value::string(to_lower(item.text()));
    return item;
  }

 private:
  Runtime& runtime_;
  bool lower_;
  std::vector<Value> parts_;
};

Value length_of(Runtime&, const Value& value, Arguments& arguments) {
  bind(arguments, "length", {});
  return Value::integer(static_cast<int64_t>(length(value)));
}

Value default_to(Runtime&, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "default", {"default_value", "boolean"});
  if (value.is_undefined() || (truth_argument(given[1], false) && !is_true(value)))
    return given[0].value_or(Value::string(""));
  return value;
}

Value join(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "join", {"d", "attribute"});
  Budget& budget = runtime.budget;
  const std::string mark = given[0] ? to_text(budget, *given[0]) : "";
  const Getter get(runtime, given[1], false);
  std::string out;
  bool first = true;
  Values values(budget, value);
  for (Value item; values.next(&item);) {
    if (!std::exchange(first, false)) out += mark;
    append_text(budget, out, get(item));
    if (out.size() > budget.limits().output) break;  // an undefined item appends nothing
  }
  budget.text(out.size());
  return Value::string(std::move(out));
}

Value first(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "first", {});
  Values values(runtime.budget, value);
  Value out;
  return values.next(&out) ? out : Value::undefined("there is no first item, the list is empty");
}

Value last(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "last", {});
  if (!has_length(value)) refuse("a ", type_name(value), " cannot be read from its end");
  const std::vector<Value> values = all_values(runtime.budget, value);
  return values.empty() ? Value::undefined("there is no last item, the list is empty")
                        : values.back();
}

Value list(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "list", {});
  return make_sequence(runtime.budget, all_values(runtime.budget, value));
}

Value reverse(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "reverse", {});
  std::vector<Value> values = all_values(runtime.budget, value);
  std::reverse(values.begin(), values.end());
  if (value.is(Kind::string)) {
    std::string out;
    for (const Value& character : values) out += character.text();
    return Value::string(std::move(out), value.is_markup());
  }
  Value all = make_sequence(runtime.budget, std::move(values));
  if (value.is(Kind::iterator)) return all;  // a list, where Python could not read from the end
  auto rest = std::make_shared<Values>(runtime.budget, all);
  return generator(
      runtime, all, [rest](Value* out) { return rest->next(out); }, "list_reverseiterator");
}

Value items(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "items", {});
  return generator(runtime, value, [&runtime, value, at = size_t{0}](Value* out) mutable {
    if (value.is_undefined()) return false;
    if (!value.is(Kind::dict)) refuse("items of a ", type_name(value), ", not of a dict");
    if (at >= value.dict().items.size()) return false;
    const auto& [key, item] = value.dict().items[at++];
    *out = make_pair(runtime.budget, key, item);
    return true;
  });
}

/// Stable, by keys made once.
std::vector<Value> sorted(Runtime& runtime, std::vector<Value> values,
                          const std::function<Value(const Value&)>& key, bool descending) {
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& value : values) keyed.emplace_back(key(value), std::move(value));
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    runtime.budget.step();
    return compare(runtime.budget, a.first, b.first) == (descending ? Order::greater : Order::less);
  });
  for (size_t i = 0; i < keyed.size(); ++i) values[i] = std::move(keyed[i].second);
  return values;
}

Value sort(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "sort", {"reverse", "case_sensitive", "attribute"});
  const bool lower = !truth_argument(given[1], false);
  std::vector<Getter> getters;
  if (given[2] && given[2]->is(Kind::string)) {
    std::string_view rest = given[2]->text();
    for (size_t comma = 0; comma != std::string_view::npos;) {
      comma = rest.find(',');
      getters.emplace_back(runtime, Value::string(std::string(rest.substr(0, comma))), lower);
      if (comma != std::string_view::npos) rest.remove_prefix(comma + 1);
    }
  } else {
    getters.emplace_back(runtime, given[2], lower);
  }
  // Keys are lists, so that equal undefined values are no error, as in jinja2.
  const auto key = [&](const Value& item) {
    std::vector<Value> keys;
    for (const Getter& get : getters) keys.push_back(get(item));
    return make_sequence(runtime.budget, std::move(keys));
  };
  return make_sequence(runtime.budget, sorted(runtime, all_values(runtime.budget, value), key,
                                              truth_argument(given[0], false)));
}

Value dictsort(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "dictsort", {"case_sensitive", "by", "reverse"});
  const bool lower = !truth_argument(given[0], false);
  const std::string by = given[1] ? to_text(runtime.budget, *given[1]) : "key";
  if (by != "key" && by != "value") refuse("dictsort goes by key or value");
  if (value.is_undefined()) refuse(value.why_undefined());
  if (!value.is(Kind::dict)) refuse("dictsort of a ", type_name(value));
  std::vector<Value> pairs;
  for (const auto& [key, item] : value.dict().items)
    pairs.push_back(make_pair(runtime.budget, key, item));
  const Getter plain(runtime, std::nullopt, lower);
  const auto key = [&](const Value& pair) {
    return plain(pair.sequence().items[by == "key" ? 0 : 1]);
  };
  return make_sequence(runtime.budget,
                       sorted(runtime, std::move(pairs), key, truth_argument(given[2], false)));
}

Value unique(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "unique", {"case_sensitive", "attribute"});
  auto seen = std::make_shared<Dict>();
  auto values = std::make_shared<Values>(runtime.budget, value);
  const Getter get(runtime, given[1], !truth_argument(given[0], false));
  return generator(runtime, value, [&runtime, seen, values, get](Value* out) {
    while (values->next(out))
      if (seen->set(runtime.budget, get(*out), Value())) return true;
    return false;
  });
}

template <Order kWanted>
Value extreme(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "min and max", {"case_sensitive", "attribute"});
  const Getter get(runtime, given[1], !truth_argument(given[0], false));
  Values values(runtime.budget, value);
  Value best;
  if (!values.next(&best)) return Value::undefined("there is no such item, the list is empty");
  Value key = get(best);
  for (Value item; values.next(&item);) {
    Value other = get(item);
    if (compare(runtime.budget, other, key) != kWanted) continue;
    best = item;
    key = std::move(other);
  }
  return best;
}

Value sum(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "sum", {"attribute", "start"});
  const Getter get(runtime, given[0], false);
  Value out = given[1].value_or(Value::integer(0));
  if (out.is(Kind::string)) refuse("sum of texts; use join");
  Values values(runtime.budget, value);
  for (Value item; values.next(&item);) out = binary(runtime.budget, Op::add, out, get(item));
  return out;
}

Value map(Runtime& runtime, const Value& value, Arguments& arguments) {
  auto own = std::make_shared<Arguments>(arguments);
  std::shared_ptr<Values> values;
  const bool by_attribute = own->positional.empty() &&
                            std::any_of(own->named.begin(), own->named.end(),
                                        [](const auto& pair) { return pair.first == "attribute"; });
  if (by_attribute) {
    const auto given = bind(*own, "map", {"attribute", "default"});
    const Getter get(runtime, given[0], false);
    const auto otherwise =
        given[1] && !given[1]->is(Kind::none) ? given[1] : std::optional<Value>();
    return generator(runtime, value, [&runtime, value, values, get, otherwise](Value* out) mutable {
      if (!is_true(value)) return false;
      if (!values) values = std::make_shared<Values>(runtime.budget, value);
      if (!values->next(out)) return false;
      *out = get(*out, otherwise);
      return true;
    });
  }
  return generator(runtime, value, [&runtime, value, values, own](Value* out) mutable {
    if (!is_true(value)) return false;
    if (own->positional.empty()) refuse("map needs the name of a filter");
    if (!values) values = std::make_shared<Values>(runtime.budget, value);
    if (!values->next(out)) return false;
    const Value& name = own->positional[0];
    const Filter filter = name.is(Kind::string) ? find_filter(name.text()) : nullptr;
    if (filter == nullptr) refuse(unknown_filter(to_text(runtime.budget, name)));
    Arguments rest{{own->positional.begin() + 1, own->positional.end()}, own->named};
    *out = filter(runtime, Value(*out), rest);
    return true;
  });
}

/// select, reject, selectattr and rejectattr.
template <bool kWanted, bool kByAttribute>
Value choose(Runtime& runtime, const Value& value, Arguments& arguments) {
  auto own = std::make_shared<Arguments>(arguments);
  std::shared_ptr<Values> values;
  return generator(runtime, value, [&runtime, value, values, own](Value* out) mutable {
    if (!is_true(value)) return false;
    const auto& given = own->positional;
    constexpr size_t kTest = kByAttribute ? 1 : 0;
    if (kByAttribute && given.empty()) refuse("selectattr and rejectattr need an attribute");
    if (!values) values = std::make_shared<Values>(runtime.budget, value);
    const Getter get(runtime, kByAttribute ? std::optional<Value>(given[0]) : std::nullopt, false);
    while (values->next(out)) {
      const Value tested = get(*out);
      bool holds = false;
      if (given.size() <= kTest) {
        holds = is_true(tested);
      } else {
        const Value& name = given[kTest];
        const Test test = name.is(Kind::string) ? find_test(name.text()) : nullptr;
        if (test == nullptr) refuse(unknown_test(to_text(runtime.budget, name)));
        Arguments rest{{given.begin() + kTest + 1, given.end()}, own->named};
        holds = test(runtime, tested, rest);
      }
      if (holds == kWanted) return true;
    }
    return false;
  });
}

}  // namespace

Filter find_filter(std::string_view name) {
  constexpr std::pair<std::string_view, Filter> kFilters[] = {{"count", length_of},
                                                              {"d", default_to},
                                                              {"default", default_to},
                                                              {"dictsort", dictsort},
                                                              {"first", first},
                                                              {"items", items},
                                                              {"join", join},
                                                              {"last", last},
                                                              {"length", length_of},
                                                              {"list", list},
                                                              {"map", map},
                                                              {"max", extreme<Order::greater>},
                                                              {"min", extreme<Order::less>},
                                                              {"reject", choose<false, false>},
                                                              {"rejectattr", choose<false, true>},
                                                              {"reverse", reverse},
                                                              {"select", choose<true, false>},
                                                              {"selectattr", choose<true, true>},
                                                              {"sort", sort},
                                                              {"sum", sum},
                                                              {"unique", unique}};
  for (const auto& [known, filter] : kFilters)
    if (known == name) return filter;
  return find_text_filter(name);
}

std::string unknown_filter(std::string_view name) {
  constexpr std::string_view kOfJinja[] = {
      "attr",      "batch",    "filesizeformat", "groupby", "pprint",    "random",   "slice",
      "striptags", "truncate", "urlencode",      "urlize",  "wordcount", "wordwrap", "xmlattr"};
  const bool known =
      std::find(std::begin(kOfJinja), std::end(kOfJinja), name) != std::end(kOfJinja);
  return (known ? "a filter that is not supported: " : "no filter of the name ") + in_quotes(name);
}

}  // namespace pref::jinja
