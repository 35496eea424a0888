// SPDX-License-Identifier: Apache-2.0
// Arithmetic, concatenation and slices as Python has them. Integers have 64 bits: what would grow
// beyond is an error, where Python goes on.
#include <algorithm>
#include <cmath>
#include <limits>

#include "libpref/data/jinja/builtins.h"
#include "libpref/data/jinja/unicode.h"

namespace pref::jinja {
namespace {

constexpr const char* sign_of(Op op) {
  switch (op) {
    case Op::add:
      return "+";
    case Op::subtract:
      return "-";
    case Op::multiply:
      return "*";
    case Op::divide:
      return "/";
    case Op::floor_divide:
      return "//";
    case Op::modulo:
      return "%";
    default:
      return "**";
  }
}

[[noreturn]] void refuse_overflow(Op op) {
  refuse("the result of ", sign_of(op), " is an integer beyond 64 bits");
}

Value floor_divide(int64_t left, int64_t right) {
  if (left == std::numeric_limits<int64_t>::min() && right == -1) refuse_overflow(Op::floor_divide);
  const int64_t quotient = left / right;
  return Value::integer(quotient - ((left % right != 0) && ((left < 0) != (right < 0)) ? 1 : 0));
}

Value modulo(int64_t left, int64_t right) {
  if (right == -1) return Value::integer(0);
  const int64_t rest = left % right;
  return Value::integer(rest != 0 && ((rest < 0) != (right < 0)) ? rest + right : rest);
}

double modulo(double left, double right) {
  const double rest = std::fmod(left, right);
  if (rest == 0) return std::copysign(0.0, right);
  return (rest < 0) != (right < 0) ? rest + right : rest;
}

double floor_divide(double left, double right) {
  const double rest = std::fmod(left, right);
  double quotient = (left - rest) / right;
  if (rest != 0 && (rest < 0) != (right < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, left / right);
  const double whole = std::floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

Value power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) refuse("zero to a negative power");
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t out = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(out, base, &out)) refuse_overflow(Op::power);
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) refuse_overflow(Op::power);
  }
  return Value::integer(out);
}

Value integers(Op op, int64_t left, int64_t right) {
  int64_t out = 0;
  switch (op) {
    case Op::add:
      if (__builtin_add_overflow(left, right, &out)) refuse_overflow(op);
      return Value::integer(out);
    case Op::subtract:
      if (__builtin_sub_overflow(left, right, &out)) refuse_overflow(op);
      return Value::integer(out);
    case Op::multiply:
      if (__builtin_mul_overflow(left, right, &out)) refuse_overflow(op);
      return Value::integer(out);
    case Op::power:
      return power(left, right);
    default:
      break;
  }
  if (right == 0) refuse("division by zero");
  if (op == Op::floor_divide) return floor_divide(left, right);
  if (op == Op::modulo) return modulo(left, right);
  return Value::real(static_cast<double>(static_cast<long double>(left) / right));
}

Value reals(Op op, double left, double right) {
  switch (op) {
    case Op::add:
      return Value::real(left + right);
    case Op::subtract:
      return Value::real(left - right);
    case Op::multiply:
      return Value::real(left * right);
    case Op::power: {
      if (left == 0 && right < 0) refuse("zero to a negative power");
      if (left < 0 && std::floor(right) != right && std::isfinite(right))
        refuse("a root of a negative number");
      const double out = std::pow(left, right);
      if (std::isinf(out) && std::isfinite(left) && std::isfinite(right))
        refuse("the result of ** is beyond double precision");
      return Value::real(out);
    }
    default:
      break;
  }
  if (right == 0) refuse("division by zero");
  if (op == Op::floor_divide) return Value::real(floor_divide(left, right));
  if (op == Op::modulo) return Value::real(modulo(left, right));
  return Value::real(left / right);
}

bool is_list_like(const Value& value) {
  return value.is(Kind::sequence) && value.sequence().flavor <= Sequence::Flavor::tuple;
}

Value add_texts(Budget& budget, const Value& left, const Value& right) {
  budget.text(left.text().size() + right.text().size());
  if (left.is_markup() == right.is_markup())
    return Value::string(left.text() + right.text(), left.is_markup());
  // jinja2 escapes what is joined to a text marked as safe, even where templates do not escape.
  return left.is_markup() ? Value::string(left.text() + escape_html(right.text()), true)
                          : Value::string(escape_html(left.text()) + right.text(), true);
}

Value repeat(Budget& budget, const Value& value, int64_t times) {
  const size_t size = value.is(Kind::string) ? value.text().size() : value.sequence().items.size();
  const auto count = static_cast<size_t>(std::max<int64_t>(times, 0));
  if (value.is(Kind::string)) {
    if (size != 0 && count > budget.limits().output / size) budget.text(budget.limits().output + 1);
    budget.text(size * count);
    std::string out;
    out.reserve(size * count);
    for (size_t i = 0; i < (size == 0 ? 0 : count); ++i) out += value.text();
    return Value::string(std::move(out), value.is_markup());
  }
  const auto most = static_cast<size_t>(budget.limits().range);
  if (size != 0 && count > most / size)
    refuse("a list of more than ", most, " elements, the cap (TemplateLimits::range)");
  std::vector<Value> items;
  for (size_t i = 0; i < (size == 0 ? 0 : count); ++i)
    items.insert(items.end(), value.sequence().items.begin(), value.sequence().items.end());
  return make_sequence(budget, std::move(items), value.sequence().flavor);
}

}  // namespace

Value binary(Budget& budget, Op op, const Value& left, const Value& right) {
  if (op == Op::modulo && left.is(Kind::string)) {
    return Value::string(format_percent(budget, left.text(), right, left.is_markup()),
                         left.is_markup());
  }
  if (left.is_undefined()) refuse(left.why_undefined());
  if (right.is_undefined()) refuse(right.why_undefined());
  if (left.is_integral() && right.is_integral())
    return integers(op, left.integral(), right.integral());
  if (left.is_number() && right.is_number()) return reals(op, left.number(), right.number());
  if (op == Op::add && left.is(Kind::string) && right.is(Kind::string))
    return add_texts(budget, left, right);
  if (op == Op::add && is_list_like(left) && is_list_like(right) &&
      left.sequence().flavor == right.sequence().flavor) {
    std::vector<Value> items = left.sequence().items;
    items.insert(items.end(), right.sequence().items.begin(), right.sequence().items.end());
    return make_sequence(budget, std::move(items), left.sequence().flavor);
  }
  if (op == Op::multiply) {
    const auto repeats = [](const Value& value) {
      return value.is(Kind::string) || is_list_like(value);
    };
    if (repeats(left) && right.is_integral()) return repeat(budget, left, right.integral());
    if (repeats(right) && left.is_integral()) return repeat(budget, right, left.integral());
  }
  refuse("no ", sign_of(op), " between a ", type_name(left), " and a ", type_name(right));
}

Value positive(const Value& value) {
  if (value.is_undefined()) refuse(value.why_undefined());
  if (value.is_integral()) return Value::integer(value.integral());
  if (!value.is(Kind::real)) refuse("a sign before a ", type_name(value));
  return value;
}

Value negative(const Value& value) {
  const Value number = positive(value);
  if (number.is(Kind::real)) return Value::real(-number.number());
  if (number.integral() == std::numeric_limits<int64_t>::min()) refuse_overflow(Op::subtract);
  return Value::integer(-number.integral());
}

namespace {

/// Which elements container[start:stop:step] takes of `size`: first, how many, and the stride.
struct Selection {
  int64_t first = 0, count = 0, step = 1;
};

Selection select_elements(int64_t size, const Value* start, const Value* stop, const Value* step) {
  const auto bound = [](const Value* value, int64_t otherwise) {
    if (value == nullptr || value->is(Kind::none)) return otherwise;
    if (!value->is_integral())
      refuse("the bounds of a slice are integers, not a ", type_name(*value));
    return value->integral();
  };
  Selection out;
  out.step = bound(step, 1);
  if (out.step == 0) refuse("a slice with a step of zero");
  const bool back = out.step < 0;
  const auto clip = [&](int64_t at) {
    if (at < 0) at = at < -size ? -1 : at + size;
    return std::clamp<int64_t>(at, back ? -1 : 0, back ? size - 1 : size);
  };
  const bool has_start = start != nullptr && !start->is(Kind::none);
  const bool has_stop = stop != nullptr && !stop->is(Kind::none);
  out.first = has_start ? clip(bound(start, 0)) : back ? size - 1 : 0;
  const int64_t end = has_stop ? clip(bound(stop, 0)) : back ? -1 : size;
  const uint64_t stride =
      back ? 0 - static_cast<uint64_t>(out.step) : static_cast<uint64_t>(out.step);
  const int64_t span = back ? out.first - end : end - out.first;
  if (span > 0) out.count = static_cast<int64_t>((static_cast<uint64_t>(span) - 1) / stride + 1);
  return out;
}

}  // namespace

Value slice(Budget& budget, const Value& container, const Value* start, const Value* stop,
            const Value* step) {
  if (container.is_undefined()) refuse(container.why_undefined());
  if (container.is(Kind::string)) {
    const std::string& text = container.text();
    budget.text(std::min(text.size(), budget.limits().output));
    const Selection of =
        select_elements(static_cast<int64_t>(length(container)), start, stop, step);
    std::string out;
    if (of.step == 1) {
      const size_t first = static_cast<size_t>(of.first), count = static_cast<size_t>(of.count);
      const size_t begin = container.is_ascii() ? first : code_point_offset(text, first);
      out =
          container.is_ascii()
              ? text.substr(begin, count)
              : text.substr(begin, code_point_offset(std::string_view(text).substr(begin), count));
    } else {
      std::vector<size_t> offsets;
      for (size_t at = 0; at < text.size(); next_code_point(text, &at)) offsets.push_back(at);
      offsets.push_back(text.size());
      for (int64_t i = 0; i < of.count; ++i) {
        const auto at = static_cast<size_t>(of.first + i * of.step);
        out.append(text, offsets[at], offsets[at + 1] - offsets[at]);
      }
    }
    return Value::string(std::move(out), container.is_markup());
  }
  if (!container.is(Kind::sequence) || !container.sequence().has_positions())
    refuse("a ", type_name(container), " has no slices");
  const Sequence& from = container.sequence();
  const Selection of = select_elements(static_cast<int64_t>(from.items.size()), start, stop, step);
  if (from.flavor == Sequence::Flavor::range) {
    int64_t stride = 0, first = 0, end = 0;
    if (__builtin_mul_overflow(from.step, of.step, &stride) ||
        __builtin_mul_overflow(of.first, from.step, &first) ||
        __builtin_add_overflow(from.start, first, &first) ||
        __builtin_mul_overflow(of.count, stride, &end) || __builtin_add_overflow(first, end, &end))
      refuse_overflow(Op::multiply);
    return make_range(budget, first, end, stride);
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(of.count));
  for (int64_t i = 0; i < of.count; ++i)
    items.push_back(from.items[static_cast<size_t>(of.first + i * of.step)]);
  return make_sequence(budget, std::move(items), from.flavor);
}

}  // namespace pref::jinja
