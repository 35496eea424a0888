// SPDX-License-Identifier: Apache-2.0
// What may stand behind "is".
#include "libpref/data/jinja/builtins.h"
#include "libpref/data/jinja/text.h"
#include "libpref/data/jinja/unicode.h"

namespace pref::jinja {
namespace {

void check(const Arguments& arguments, size_t count) {
  if (!arguments.named.empty() || arguments.positional.size() != count)
    refuse("the test takes ", count, " arguments, not ",
           arguments.positional.size() + arguments.named.size());
}

bool has_rest(Runtime& runtime, const Value& value, int64_t divisor, int64_t rest) {
  const Value out = binary(runtime.budget, Op::modulo, value, Value::integer(divisor));
  return equal(runtime.budget, out, Value::integer(rest));
}

bool in_order(Runtime& runtime, const Value& left, Arguments& arguments, bool less, bool same,
              bool more) {
  check(arguments, 1);
  switch (compare(runtime.budget, left, arguments.positional[0])) {
    case Order::less:
      return less;
    case Order::equal:
      return same;
    case Order::greater:
      return more;
    case Order::unordered:
      break;
  }
  return false;
}

bool same_as(Runtime& runtime, const Value& value, Arguments& arguments) {
  check(arguments, 1);
  const Value& other = arguments.positional[0];
  if (value.kind() != other.kind()) return false;
  const bool plain =
      value.is_number() || value.is(Kind::none) || value.is_undefined() || value.is(Kind::string);
  return plain ? equal(runtime.budget, value, other) : value.identity() == other.identity();
}

template <auto kTest>
bool plain(Runtime&, const Value& value, Arguments& arguments) {
  check(arguments, 0);
  return kTest(value);
}

bool is_sequence(const Value& value) {
  return value.is_undefined() || value.is(Kind::string) || value.is(Kind::dict) ||
         (value.is(Kind::sequence) && value.sequence().has_positions());
}

}  // namespace

Test find_test(std::string_view name) {
  using R = Runtime&;
  using V = const Value&;
  using A = Arguments&;
  static constexpr auto equals = [](R runtime, V value, A arguments) {
    check(arguments, 1);
    return equal(runtime.budget, value, arguments.positional[0]);
  };
  static constexpr auto differs = [](R r, V v, A a) { return !equals(r, v, a); };
  static constexpr auto less = [](R r, V v, A a) { return in_order(r, v, a, true, false, false); };
  static constexpr auto less_or_equal = [](R r, V v, A a) {
    return in_order(r, v, a, true, true, false);
  };
  static constexpr auto greater = [](R r, V v, A a) {
    return in_order(r, v, a, false, false, true);
  };
  static constexpr auto greater_or_equal = [](R r, V v, A a) {
    return in_order(r, v, a, false, true, true);
  };
  constexpr std::pair<std::string_view, Test> kTests[] = {
      {"defined", plain<[](V v) { return !v.is_undefined(); }>},
      {"undefined", plain<[](V v) { return v.is_undefined(); }>},
      {"none", plain<[](V v) { return v.is(Kind::none); }>},
      {"boolean", plain<[](V v) { return v.is(Kind::boolean); }>},
      {"true", plain<[](V v) { return v.is(Kind::boolean) && v.integral() == 1; }>},
      {"false", plain<[](V v) { return v.is(Kind::boolean) && v.integral() == 0; }>},
      {"integer", plain<[](V v) { return v.is(Kind::integer); }>},
      {"float", plain<[](V v) { return v.is(Kind::real); }>},
      {"number", plain<[](V v) { return v.is_number(); }>},
      {"string", plain<[](V v) { return v.is(Kind::string); }>},
      {"mapping", plain<[](V v) { return v.is(Kind::dict); }>},
      {"iterable", plain<[](V v) { return is_iterable(v); }>},
      {"sequence", plain<[](V v) { return is_sequence(v); }>},
      {"callable", plain<[](V v) {
         return v.is(Kind::callable) || v.is(Kind::loop) || v.is_undefined();
       }>},
      {"escaped", plain<[](V v) { return v.is_markup(); }>},
      {"sameas", same_as},
      {"odd", [](R r, V v, A a) { return check(a, 0), has_rest(r, v, 2, 1); }},
      {"even", [](R r, V v, A a) { return check(a, 0), has_rest(r, v, 2, 0); }},
      {"divisibleby",
       [](R r, V v, A a) {
         const auto given = bind(a, "divisibleby", {"num"}, 1);
         return equal(r.budget, binary(r.budget, Op::modulo, v, *given[0]), Value::integer(0));
       }},
      {"lower",
       [](R r, V v, A a) {
         return check(a, 0), is_cased_as(to_text(r.budget, v), is_upper);
       }},
      {"upper",
       [](R r, V v, A a) {
         return check(a, 0), is_cased_as(to_text(r.budget, v), is_lower);
       }},
      {"in",
       [](R r, V v, A a) { return check(a, 1), contains(r.budget, a.positional[0], v); }},
      {"filter",
       [](R, V v, A a) {
         return check(a, 0), v.is(Kind::string) && find_filter(v.text()) != nullptr;
       }},
      {"test",
       [](R, V v, A a) {
         return check(a, 0), v.is(Kind::string) && find_test(v.text()) != nullptr;
       }},
      {"eq", equals},
      {"equalto", equals},
      {"==", equals},
      {"ne", differs},
      {"!=", differs},
      {"lt", less},
      {"lessthan", less},
      {"<", less},
      {"le", less_or_equal},
      {"<=", less_or_equal},
      {"gt", greater},
      {"greaterthan", greater},
      {">", greater},
      {"ge", greater_or_equal},
      {">=", greater_or_equal}};
  for (const auto& [known, test] : kTests)
    if (known == name) return test;
  return nullptr;
}

std::string unknown_test(std::string_view name) { return "no test of the name " + in_quotes(name); }

}  // namespace pref::jinja
