// SPDX-License-Identifier: Apache-2.0
// The % operator of texts and str.format, for the conversions that texts and numbers need.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "libpref/data/jinja/builtins.h"
#include "libpref/data/jinja/text.h"
#include "libpref/data/jinja/unicode.h"

namespace pref::jinja {
namespace {

struct Spec {
  std::string fill = " ", align;  ///< align: <, >, ^, = or the type's own
  std::string sign;
  bool alternate = false, commas = false;
  int width = 0, precision = -1;
  char type = '\0';
};
constexpr int kMost = 1000;  // width and precision

std::string digits_of(int64_t value, char type) {
  auto rest = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  const char* letters = type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  for (; out.empty() || rest != 0; rest /= base) out.insert(out.begin(), letters[rest % base]);
  return out;
}

/// The digits of a number without its sign.
std::string magnitude(const Value& value, const Spec& spec) {
  const char type = spec.type;
  if (type == '\0' || std::string_view("dixXob").find(type) != std::string_view::npos) {
    if (value.is(Kind::real) && type == '\0' && spec.precision < 0)
      return repr_real(std::fabs(value.number()));
    if (value.is_integral()) {
      std::string out = digits_of(value.integral(), type);
      if (spec.precision > static_cast<int>(out.size()))
        out.insert(0, static_cast<size_t>(spec.precision) - out.size(), '0');
      if (spec.alternate && type != '\0' && type != 'd') out = std::string("0") + type + out;
      return out;
    }
  }
  if (type == '\0') refuse("a precision needs a type in str.format");
  const char letter = type == '%' ? 'f' : type;
  if (std::string_view("eEfFgG").find(letter) == std::string_view::npos)
    refuse("the format ", in_quotes(std::string(1, type)), " of a ", type_name(value));
  const std::string pattern = std::string(spec.alternate ? "%#.*" : "%.*") + letter;
  std::string out(400 + static_cast<size_t>(kMost), '\0');
  const double number = std::fabs(value.number()) * (type == '%' ? 100 : 1);
  out.resize(static_cast<size_t>(std::snprintf(out.data(), out.size(), pattern.c_str(),
                                               spec.precision < 0 ? 6 : spec.precision, number)));
  return type == '%' ? out + "%" : out;
}

std::string format_number(Budget& budget, const Value& value, const Spec& spec) {
  const bool minus = value.is(Kind::real)
                         ? std::signbit(value.number()) && !std::isnan(value.number())
                         : value.integral() < 0;
  std::string digits = magnitude(value, spec);
  if (spec.commas) {
    const size_t whole = digits.find_first_not_of("0123456789");
    for (size_t at = whole == std::string::npos ? digits.size() : whole; at > 3;)
      digits.insert(at -= 3, ",");
  }
  const std::string sign = minus ? "-" : spec.sign == "-" ? "" : spec.sign;
  if (spec.align == "=")
    return sign + pad_text(budget, digits, spec.width - static_cast<int>(sign.size()), spec.fill,
                           Padding::left);
  const Padding padding = spec.align == "<"   ? Padding::right
                          : spec.align == "^" ? Padding::both
                                              : Padding::left;
  return pad_text(budget, sign + digits, spec.width, spec.fill, padding);
}

std::string format_text(Budget& budget, std::string text, const Spec& spec) {
  if (spec.precision >= 0)
    text.resize(code_point_offset(text, static_cast<size_t>(spec.precision)));
  const auto size = static_cast<int>(std::min<size_t>(count_code_points(text), kMost));
  const int room = std::max(spec.width - size, 0);
  // format() puts the odd space to the right of a centred text, unlike str.center.
  const int left = spec.align == ">" ? room : spec.align == "^" ? room / 2 : 0;
  text = pad_text(budget, text, size + left, spec.fill, Padding::left);
  return pad_text(budget, text, size + room, spec.fill, Padding::right);
}

int read_width(std::string_view text, size_t* at) {
  int out = 0;
  for (; *at < text.size() && text[*at] >= '0' && text[*at] <= '9'; ++*at) {
    out = out * 10 + (text[*at] - '0');
    if (out > kMost) refuse("a width or precision above ", kMost, " in a format");
  }
  return out;
}

/// One conversion of a % format, at format[*at] behind the sign and the name.
std::string convert(Budget& budget, std::string_view format, size_t* at,
                    const std::function<Value()>& take, bool escape) {
  Spec spec{.align = ">"};
  bool zero = false, left = false;
  for (; *at < format.size(); ++*at) {
    const char flag = format[*at];
    if (flag == '-')
      left = true;
    else if (flag == '0')
      zero = true;
    else if (flag == '+')
      spec.sign = "+";
    else if (flag == ' ')
      spec.sign = spec.sign.empty() ? " " : spec.sign;
    else if (flag == '#')
      spec.alternate = true;
    else
      break;
  }
  spec.width = read_width(format, at);
  if (*at < format.size() && format[*at] == '.') {
    ++*at;
    spec.precision = read_width(format, at);
  }
  if (*at >= format.size()) refuse("an incomplete % format");
  const char type = format[(*at)++];
  if (type == '%') return "%";
  if (left) spec.align = "<";
  const Value value = take();
  if (type == 's' || type == 'r') {
    std::string text;
    if (type == 's')
      append_text(budget, text, value);
    else
      append_repr(budget, text, value);
    if (escape && !value.is_markup()) text = escape_html(text);
    return format_text(budget, std::move(text), spec);
  }
  if (std::string_view("diuxXoeEfFgG").find(type) == std::string_view::npos)
    refuse("the conversion %", in_quotes(std::string(1, type)), " is not supported");
  if (!value.is_number()) refuse("%", std::string(1, type), " of a ", type_name(value));
  spec.type = type == 'i' || type == 'u' ? 'd' : type;
  if (zero && !left) {
    spec.align = "=";
    spec.fill = "0";
  }
  if (spec.type == 'd' && value.is(Kind::real)) {
    if (!(std::fabs(value.number()) < 9.2e18)) refuse("%d of a number beyond 64 bits");
    return format_number(budget, Value::integer(static_cast<int64_t>(value.number())), spec);
  }
  if (value.is(Kind::real) && std::string_view("xXo").find(spec.type) != std::string_view::npos)
    refuse("%", std::string(1, type), " of a float");
  return format_number(budget, value, spec);
}

Spec read_spec(std::string_view text) {
  Spec spec;
  size_t at = 0;
  const auto is_align = [&](size_t offset) {
    return offset < text.size() &&
           std::string_view("<>^=").find(text[offset]) != std::string_view::npos;
  };
  size_t second = 0;
  if (!text.empty()) next_code_point(text, &second);
  if (second != 0 && is_align(second)) {
    spec.fill = text.substr(0, second);
    spec.align = text.substr(second, 1);
    at = second + 1;
  } else if (is_align(0)) {
    spec.align = text.substr(at++, 1);
  }
  const auto take = [&](char c) { return at < text.size() && text[at] == c && ++at != 0; };
  if (take('+'))
    spec.sign = "+";
  else if (take(' '))
    spec.sign = " ";
  else
    take('-');
  spec.alternate = take('#');
  if (at < text.size() && text[at] == '0' && spec.align.empty()) {
    spec.fill = "0";
    spec.align = "=";
  }
  spec.width = read_width(text, &at);
  spec.commas = take(',');
  if (take('.')) spec.precision = read_width(text, &at);
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) refuse("the format ", in_quotes(text), " is not supported");
  return spec;
}

std::string format_field(Budget& budget, const Value& value, std::string_view spec_text,
                         bool escape) {
  const auto text = [&] {
    std::string out = to_text(budget, value);
    return escape && !value.is_markup() ? escape_html(out) : out;
  };
  if (spec_text.empty()) return text();
  Spec spec = read_spec(spec_text);
  if (value.is(Kind::string) && (spec.type == '\0' || spec.type == 's') && spec.align != "=")
    return format_text(budget, text(), spec);
  if (!value.is_number() || spec.type == 's')
    refuse("the format ", in_quotes(spec_text), " of a ", type_name(value));
  if (value.is_integral() && spec.precision >= 0 && (spec.type == '\0' || spec.type == 'd'))
    refuse("a precision for an integer");
  return format_number(budget, value.is(Kind::boolean) ? Value::integer(value.integral()) : value,
                       spec);
}

/// name, name.attribute, name[key]: the value that a replacement field of str.format names.
Value field_value(Runtime& runtime, std::string_view field, const Arguments& arguments,
                  int64_t* next) {
  const size_t end = std::min(field.find_first_of(".["), field.size());
  const std::string name(field.substr(0, end));
  Value value;
  const bool number = name.find_first_not_of("0123456789") == std::string::npos && name.size() < 9;
  if (number) {
    const auto at = static_cast<size_t>(name.empty() ? (*next)++ : std::stoll(name));
    if (at >= arguments.positional.size()) refuse("str.format has no argument number ", at);
    value = arguments.positional[at];
  } else {
    const auto found = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& pair) { return pair.first == name; });
    if (found == arguments.named.end()) refuse("str.format has no argument ", in_quotes(name));
    value = found->second;
  }
  for (std::string_view rest = field.substr(end); !rest.empty();) {
    const bool item = rest[0] == '[';
    const size_t stop = item ? rest.find(']') : std::min(rest.find_first_of(".[", 1), rest.size());
    if (stop == std::string_view::npos || stop < 2) refuse("an empty attribute in str.format");
    const std::string part(rest.substr(1, stop - 1));
    const bool index =
        item && part.find_first_not_of("0123456789") == std::string::npos && part.size() < 9;
    value = item ? get_item(runtime, value,
                            index ? Value::integer(std::stoll(part)) : Value::string(part))
                 : get_attribute(runtime, value, part);
    rest.remove_prefix(item ? stop + 1 : stop);
  }
  return value;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string format_percent(Budget& budget, const std::string& format, const Value& values,
                           bool escape) {
  const bool tuple =
      values.is(Kind::sequence) && values.sequence().flavor == Sequence::Flavor::tuple;
  size_t taken = 0;
  const auto take = [&]() -> Value {
    if (!tuple && taken++ == 0) return values;
    if (!tuple || taken >= values.sequence().items.size()) refuse("too few values for a % format");
    return values.sequence().items[taken++];
  };
  std::string out;
  for (size_t at = 0; at < format.size();) {
    budget.step();
    const size_t sign = std::min(format.find('%', at), format.size());
    out.append(format, at, sign - at);
    at = sign + 1;
    if (sign == format.size()) break;
    if (at < format.size() && format[at] == '(') {
      const size_t end = format.find(')', at);
      if (end == std::string::npos || !values.is(Kind::dict)) refuse("a % format asks for a dict");
      const Value* found =
          values.dict().find(std::string_view(format).substr(at + 1, end - at - 1));
      if (found == nullptr) refuse("a % format names what the dict lacks");
      at = end + 1;
      out += convert(
          budget, format, &at, [&] { return *found; }, escape);
    } else {
      out += convert(budget, format, &at, take, escape);
    }
    if (out.size() > budget.limits().output) break;
  }
  const bool lenient = values.is(Kind::dict) || values.is_undefined() ||
                       (values.is(Kind::sequence) && !tuple && values.sequence().has_positions());
  if (tuple ? taken < values.sequence().items.size() : taken == 0 && !lenient)
    refuse("too many values for a % format");
  budget.text(out.size());
  return out;
}

std::string format_braces(Runtime& runtime, const std::string& format, const Arguments& arguments,
                          bool escape) {
  std::string out;
  int64_t next = 0;
  for (size_t at = 0; at < format.size();) {
    runtime.budget.step();
    const char c = format[at];
    if (c != '{' && c != '}') {
      out += c;
      ++at;
      continue;
    }
    if (at + 1 < format.size() && format[at + 1] == c) {
      out += c;
      at += 2;
      continue;
    }
    const size_t end = format.find('}', at);
    if (c == '}' || end == std::string::npos) refuse("a single brace in str.format");
    std::string_view field = std::string_view(format).substr(at + 1, end - at - 1), spec;
    if (field.find('{') != std::string_view::npos)
      refuse("nested fields in str.format are not supported");
    if (const size_t colon = field.find(':'); colon != std::string_view::npos) {
      spec = field.substr(colon + 1);
      field = field.substr(0, colon);
    }
    char conversion = '\0';
    if (field.size() >= 2 && field[field.size() - 2] == '!') {
      conversion = field.back();
      field.remove_suffix(2);
    }
    Value value = field_value(runtime, field, arguments, &next);
    if (conversion == 's') {
      value = Value::string(to_text(runtime.budget, value));
    } else if (conversion == 'r') {
      std::string text;
      append_repr(runtime.budget, text, value);
      value = Value::string(std::move(text));
    } else if (conversion != '\0') {
      refuse("the conversion !", in_quotes(std::string(1, conversion)), " is not supported");
    }
    out += format_field(runtime.budget, value, spec, escape);
    if (out.size() > runtime.budget.limits().output) break;
    at = end + 1;
  }
  runtime.budget.text(out.size());
  return out;
}

}  // namespace pref::jinja
