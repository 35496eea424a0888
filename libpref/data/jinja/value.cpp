// SPDX-License-Identifier: Apache-2.0
// See value.h; printing stands in value_text.cpp.
#include "libpref/data/jinja/value.h"

#include <algorithm>

#include "libpref/data/jinja/unicode.h"

namespace pref::jinja {

void Budget::text(size_t bytes) {
  if (bytes > limits_.output)
    refuse("a text of ", bytes, " bytes; the cap is ", limits_.output, " (TemplateLimits::output)");
  step(bytes / 256);
}

void Budget::out_of_steps() const {
  refuse("more than ", limits_.steps,
         " steps, the cap for one rendering (TemplateLimits::steps). Does a loop not end?");
}

// A level is one node of the syntax tree, and a block or a call takes several of them.
constexpr int kLevelsPerDepth = 5;

Deeper::Deeper(Budget& budget, int levels) : budget_(budget), levels_(levels) {
  if (budget_.depth + levels_ > budget_.limits().depth * kLevelsPerDepth)
    refuse("nested deeper than ", budget_.limits().depth,
           " levels, the cap (TemplateLimits::depth). Does a macro call itself without end?");
  budget_.depth += levels_;
}

String::String(std::string value, bool is_markup)
    : text(std::move(value)), markup(is_markup), ascii(jinja::is_ascii(text)) {
  depth = 0;
}

Value Value::undefined(std::string why) {
  return object(Kind::undefined, std::make_shared<String>(std::move(why), false));
}
Value Value::boolean(bool value) {
  Value out(Kind::boolean);
  out.boolean_ = value;
  return out;
}
Value Value::integer(int64_t value) {
  Value out(Kind::integer);
  out.integer_ = value;
  return out;
}
Value Value::real(double value) {
  Value out(Kind::real);
  out.real_ = value;
  return out;
}
Value Value::string(std::string text, bool markup) {
  return object(Kind::string, std::make_shared<String>(std::move(text), markup));
}
const std::string& Value::text() const { return static_cast<const String&>(*object_).text; }
bool Value::is_markup() const {
  return is(Kind::string) && static_cast<const String&>(*object_).markup;
}
bool Value::is_ascii() const { return static_cast<const String&>(*object_).ascii; }
const Sequence& Value::sequence() const { return static_cast<const Sequence&>(*object_); }
const Dict& Value::dict() const { return static_cast<const Dict&>(*object_); }
Namespace& Value::name_space() const { return static_cast<Namespace&>(*object_); }
Iterator& Value::iterator() const { return static_cast<Iterator&>(*object_); }
Callable& Value::callable() const { return static_cast<Callable&>(*object_); }
std::string Value::why_undefined() const {
  return object_ ? static_cast<const String&>(*object_).text : "the value is undefined";
}

namespace {

constexpr size_t kNowhere = static_cast<size_t>(-1);

bool is_hashable(Budget& budget, const Value& value) {
  if (value.is(Kind::dict)) return false;
  if (!value.is(Kind::sequence)) return true;
  const Sequence& sequence = value.sequence();
  if (sequence.flavor == Sequence::Flavor::range) return true;
  if (sequence.flavor != Sequence::Flavor::tuple) return false;
  budget.step(1 + sequence.items.size());
  return std::all_of(sequence.items.begin(), sequence.items.end(),
                     [&](const Value& item) { return is_hashable(budget, item); });
}

}  // namespace

size_t Dict::position(std::string_view key) const {
  if (!index_.empty()) {
    const auto found = index_.find(std::string(key));
    return found == index_.end() ? kNowhere : found->second;
  }
  for (size_t i = 0; i < items.size(); ++i)
    if (items[i].first.is(Kind::string) && items[i].first.text() == key) return i;
  return kNowhere;
}

size_t Dict::position(Budget& budget, const Value& key) const {
  if (key.is(Kind::string)) return position(key.text());
  budget.elements(items.size());
  for (size_t i = 0; i < items.size(); ++i)
    if (!items[i].first.is(Kind::string) && equal(budget, items[i].first, key)) return i;
  return kNowhere;
}

const Value* Dict::find(std::string_view key) const {
  const size_t at = position(key);
  return at == kNowhere ? nullptr : &items[at].second;
}

const Value* Dict::find(Budget& budget, const Value& key) const {
  if (!is_hashable(budget, key)) return nullptr;
  const size_t at = position(budget, key);
  return at == kNowhere ? nullptr : &items[at].second;
}

bool Dict::set(Budget& budget, Value key, Value value) {
  if (!is_hashable(budget, key)) refuse("a ", type_name(key), " cannot be the key of a dict");
  const size_t at = position(budget, key);
  if (at != kNowhere) {
    items[at].second = std::move(value);
    return false;
  }
  constexpr size_t kFew = 8;
  items.emplace_back(std::move(key), std::move(value));
  if (items.size() < kFew) return true;
  if (index_.empty()) {
    for (size_t i = 0; i < items.size(); ++i)
      if (items[i].first.is(Kind::string)) index_.emplace(items[i].first.text(), i);
  } else if (items.back().first.is(Kind::string)) {
    index_.emplace(items.back().first.text(), items.size() - 1);
  }
  return true;
}

namespace {

int checked_depth(Budget& budget, int below) {
  if (below >= budget.limits().depth)
    refuse("a value nested deeper than ", budget.limits().depth,
           " levels, the cap (TemplateLimits::depth)");
  return below + 1;
}

}  // namespace

Value make_sequence(Budget& budget, std::vector<Value> items, Sequence::Flavor flavor) {
  budget.elements(items.size());
  auto out = std::make_shared<Sequence>();
  int below = 0;
  for (const Value& item : items) below = std::max(below, item.depth());
  out->depth = checked_depth(budget, below);
  out->flavor = flavor;
  out->items = std::move(items);
  return Value::object(Kind::sequence, std::move(out));
}

Value make_dict(Budget& budget, std::shared_ptr<Dict> dict) {
  budget.elements(dict->items.size());
  int below = 0;
  for (const auto& [key, value] : dict->items)
    below = std::max({below, key.depth(), value.depth()});
  dict->depth = checked_depth(budget, below);
  return Value::object(Kind::dict, std::move(dict));
}

Value make_pair(Budget& budget, Value first, Value second) {
  std::vector<Value> items;
  items.reserve(2);
  items.push_back(std::move(first));
  items.push_back(std::move(second));
  return make_sequence(budget, std::move(items), Sequence::Flavor::tuple);
}

Value make_range(Budget& budget, int64_t start, int64_t stop, int64_t step) {
  if (step == 0) refuse("range() with a step of zero");
  const __int128 span =
      step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 stride = step > 0 ? static_cast<__int128>(step) : -static_cast<__int128>(step);
  const __int128 count = span <= 0 ? 0 : (span + stride - 1) / stride;
  if (count > budget.limits().range)
    refuse("a range() of more than ", budget.limits().range,
           " elements, the cap (TemplateLimits::range)");
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < static_cast<int64_t>(count); ++i)
    items.push_back(Value::integer(start + i * step));
  Value out = make_sequence(budget, std::move(items), Sequence::Flavor::range);
  auto& sequence = const_cast<Sequence&>(out.sequence());
  sequence.start = start;
  sequence.stop = stop;
  sequence.step = step;
  return out;
}

std::string type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "None";
    case Kind::boolean:
      return "bool object";
    case Kind::integer:
      return "int object";
    case Kind::real:
      return "float object";
    case Kind::string:
      return "str object";
    case Kind::dict:
      return "dict object";
    case Kind::name_space:
      return "namespace object";
    case Kind::iterator:
      return "generator object";
    case Kind::callable:
      return "function";
    case Kind::loop:
      return "loop object";
    case Kind::sequence:
      break;
  }
  constexpr const char* kNames[] = {"list",      "tuple",       "range",
                                    "dict_keys", "dict_values", "dict_items"};
  return std::string(kNames[static_cast<size_t>(value.sequence().flavor)]) + " object";
}

bool has_length(const Value& value) {
  return value.is_undefined() || value.is(Kind::string) || value.is(Kind::sequence) ||
         value.is(Kind::dict);
}

size_t length(const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is(Kind::string))
    return value.is_ascii() ? value.text().size() : count_code_points(value.text());
  if (value.is(Kind::sequence)) return value.sequence().items.size();
  if (value.is(Kind::dict)) return value.dict().items.size();
  refuse("a ", type_name(value), " has no length");
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.integral() != 0;
    case Kind::real:
      return value.number() != 0;
    case Kind::string:
      return !value.text().empty();
    case Kind::sequence:
      return !value.sequence().items.empty();
    case Kind::dict:
      return !value.dict().items.empty();
    default:
      return true;
  }
}

bool equal(Budget& budget, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    if (left.is(Kind::real) || right.is(Kind::real))
      return compare(budget, left, right) == Order::equal;
    return left.integral() == right.integral();
  }
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      return left.text() == right.text();
    case Kind::sequence: {
      if (left.identity() == right.identity()) return true;
      const Sequence &a = left.sequence(), &b = right.sequence();
      if (a.flavor != b.flavor || a.items.size() != b.items.size()) return false;
      const Deeper deeper(budget);
      for (size_t i = 0; i < a.items.size(); ++i) {
        budget.step();
        if (!equal(budget, a.items[i], b.items[i])) return false;
      }
      return true;
    }
    case Kind::dict: {
      if (left.identity() == right.identity()) return true;
      const Dict &a = left.dict(), &b = right.dict();
      if (a.items.size() != b.items.size()) return false;
      const Deeper deeper(budget);
      for (const auto& [key, value] : a.items) {
        budget.step();
        const Value* other = b.find(budget, key);
        if (other == nullptr || !equal(budget, value, *other)) return false;
      }
      return true;
    }
    default:
      return left.identity() == right.identity();
  }
}

Order compare(Budget& budget, const Value& left, const Value& right) {
  const auto order = [](const auto& a, const auto& b) {
    return a < b ? Order::less : b < a ? Order::greater : a == b ? Order::equal : Order::unordered;
  };
  if (left.is_number() && right.is_number()) {
    if (!left.is(Kind::real) && !right.is(Kind::real))
      return order(left.integral(), right.integral());
    const auto wide = [](const Value& value) {  // 64 bits of precision: integers stay exact
      return value.is(Kind::real) ? static_cast<long double>(value.number())
                                  : static_cast<long double>(value.integral());
    };
    return order(wide(left), wide(right));
  }
  if (left.is_undefined()) refuse(left.why_undefined());
  if (right.is_undefined()) refuse(right.why_undefined());
  if (left.is(Kind::string) && right.is(Kind::string)) return order(left.text(), right.text());
  if (left.is(Kind::sequence) && right.is(Kind::sequence) &&
      left.sequence().flavor == right.sequence().flavor &&
      left.sequence().flavor <= Sequence::Flavor::tuple) {
    const auto &a = left.sequence().items, &b = right.sequence().items;
    const Deeper deeper(budget);
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      budget.step();
      if (!equal(budget, a[i], b[i])) return compare(budget, a[i], b[i]);
    }
    return order(a.size(), b.size());
  }
  refuse("no order between a ", type_name(left), " and a ", type_name(right));
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  if (container.is(Kind::string)) {
    if (!item.is(Kind::string))
      refuse("\"in\" a text looks for a text, and the left side is a ", type_name(item));
    budget.text(container.text().size());
    return container.text().find(item.text()) != std::string::npos;
  }
  if (container.is(Kind::dict)) {
    if (!is_hashable(budget, item)) refuse("a ", type_name(item), " cannot be the key of a dict");
    return container.dict().find(budget, item) != nullptr;
  }
  Values values(budget, container);
  for (Value value; values.next(&value);)
    if (equal(budget, value, item)) return true;
  return false;
}

bool is_iterable(const Value& value) {
  return has_length(value) || value.is(Kind::iterator) || value.is(Kind::loop);
}

Values::Values(Budget& budget, const Value& value) : budget_(budget), source_(value) {
  if (!has_length(value) && !value.is(Kind::iterator))
    refuse("a ", type_name(value), " cannot be iterated over");
}

bool Values::next(Value* value) {
  budget_.step();
  switch (source_.kind()) {
    case Kind::undefined:
      return false;
    case Kind::string: {
      const std::string& text = source_.text();
      if (at_ >= text.size()) return false;
      const size_t begin = at_;
      next_code_point(text, &at_);
      *value = Value::string(text.substr(begin, at_ - begin));
      return true;
    }
    case Kind::sequence:
      if (at_ >= source_.sequence().items.size()) return false;
      *value = source_.sequence().items[at_++];
      return true;
    case Kind::dict:
      if (at_ >= source_.dict().items.size()) return false;
      *value = source_.dict().items[at_++].first;
      return true;
    default: {
      const Deeper deeper(budget_);
      return source_.iterator().next(value);
    }
  }
}

std::vector<Value> all_values(Budget& budget, const Value& value) {
  if (value.is(Kind::sequence)) {
    budget.elements(value.sequence().items.size());
    return value.sequence().items;
  }
  std::vector<Value> out;
  Values values(budget, value);
  for (Value item; values.next(&item);) out.push_back(item);
  return out;
}

}  // namespace pref::jinja
