// SPDX-License-Identifier: Apache-2.0
// Filters that make text or numbers.
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

#include "libpref/data/jinja/builtins.h"
#include "libpref/data/jinja/json.h"
#include "libpref/data/jinja/text.h"
#include "libpref/data/jinja/unicode.h"
#include "libpref/data/whitespace.h"

namespace pref::jinja {
namespace {

/// The value as text; what is marked as safe stays so.
Value soft_text(Runtime& runtime, const Value& value) {
  return value.is(Kind::string) ? value : Value::string(to_text(runtime.budget, value));
}

/// A method of texts as a filter.
template <std::string (*kChange)(std::string_view)>
Value change(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "the filter", {});
  const Value text = soft_text(runtime, value);
  std::string out = kChange(text.text());
  runtime.budget.text(out.size());
  return Value::string(std::move(out), text.is_markup());
}

/// jinja2's own title: words begin behind white space, hyphens and opening brackets.
std::string title(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto separates = [&](size_t offset) {
      return whitespace_bytes(text, offset) != 0 ||
             std::string_view("-({[<").find(text[offset]) != std::string_view::npos;
    };
    if (separates(at)) {
      const size_t begin = at;
      next_code_point(text, &at);
      out += text.substr(begin, at - begin);
      continue;
    }
    size_t second = at;
    next_code_point(text, &second);
    size_t end = second;
    while (end < text.size() && !separates(end)) next_code_point(text, &end);
    out += to_upper(text.substr(at, second - at)) + to_lower(text.substr(second, end - second));
    at = end;
  }
  return out;
}

Value trim(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "trim", {"chars"});
  const bool has_set = given[0] && !given[0]->is(Kind::none);
  const std::string* set = has_set ? &text_argument(*given[0], "trim") : nullptr;
  const Value text = soft_text(runtime, value);
  runtime.budget.step(text.text().size() / 256);
  return Value::string(strip_text(text.text(), set, true, true), text.is_markup());
}

Value string(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "string", {});
  return soft_text(runtime, value);
}

Value safe(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "safe", {});
  return Value::string(to_text(runtime.budget, value), true);
}

Value escape(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "escape", {});
  if (value.is_markup()) return value;
  std::string out = escape_html(to_text(runtime.budget, value));
  runtime.budget.text(out.size());
  return Value::string(std::move(out), true);
}

Value forceescape(Runtime& runtime, const Value& value, Arguments& arguments) {
  bind(arguments, "forceescape", {});
  std::string out = escape_html(to_text(runtime.budget, value));
  runtime.budget.text(out.size());
  return Value::string(std::move(out), true);
}

Value replace(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "replace", {"old", "new", "count"}, 2);
  const bool limited = given[2] && !given[2]->is(Kind::none);
  const int64_t most = limited ? integer_argument(given[2], -1, "replace") : -1;
  Budget& budget = runtime.budget;
  return Value::string(replace_text(budget, to_text(budget, value), to_text(budget, *given[0]),
                                    to_text(budget, *given[1]), most));
}

Value indent(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "indent", {"width", "first", "blank"});
  Budget& budget = runtime.budget;
  const bool by_text = given[0] && given[0]->is(Kind::string);
  const int64_t width = by_text ? 0 : integer_argument(given[0], 4, "indent");
  if (width > static_cast<int64_t>(budget.limits().output)) budget.text(budget.limits().output + 1);
  const std::string space =
      by_text ? given[0]->text()
              : std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  const bool first = truth_argument(given[1], false), blank = truth_argument(given[2], false);
  if (!value.is(Kind::string)) refuse("indent needs a text, not a ", type_name(value));
  const std::string text = value.text() + "\n";
  std::string out;
  bool at_first = true;
  for (const std::string_view line : split_lines(text, false)) {
    const bool goes_in = at_first ? first : blank || !line.empty();
    if (!at_first) out += '\n';
    at_first = false;
    if (goes_in) out += space;
    out += line;
    if (out.size() > budget.limits().output) break;
  }
  budget.text(out.size());
  return Value::string(std::move(out), value.is_markup());
}

Value center(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "center", {"width"});
  const Value text = soft_text(runtime, value);
  return Value::string(pad_text(runtime.budget, text.text(),
                                integer_argument(given[0], 80, "center"), " ", Padding::both),
                       text.is_markup());
}

Value format(Runtime& runtime, const Value& value, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty())
    refuse("format takes values by position or by name, not both");
  const Value text = soft_text(runtime, value);
  Value values;
  if (arguments.named.empty()) {
    values = make_sequence(runtime.budget, arguments.positional, Sequence::Flavor::tuple);
  } else {
    auto dict = std::make_shared<Dict>();
    for (const auto& [name, named] : arguments.named)
      dict->set(runtime.budget, Value::string(name), named);
    values = make_dict(runtime.budget, std::move(dict));
  }
  return binary(runtime.budget, Op::modulo, text, values);
}

Value tojson(Runtime& runtime, const Value& value, Arguments& arguments) {
  const auto given =
      bind(arguments, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = truth_argument(given[0], false);
  style.sort_keys = truth_argument(given[3], false);
  if (given[1] && !given[1]->is(Kind::none)) {
    const int64_t width = given[1]->is(Kind::string) ? 0 : integer_argument(given[1], 0, "tojson");
    if (width > 1000) refuse("tojson indents by at most 1000 characters");
    style.indent = given[1]->is(Kind::string)
                       ? given[1]->text()
                       : std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    style.item_separator = ",";
  }
  if (given[2] && !given[2]->is(Kind::none)) {
    const std::vector<Value> parts = all_values(runtime.budget, *given[2]);
    if (parts.size() != 2) refuse("tojson takes two separators");
    style.item_separator = text_argument(parts[0], "tojson");
    style.key_separator = text_argument(parts[1], "tojson");
  }
  return Value::string(to_json(runtime.budget, value, style));
}

/// A number as Python reads it: white space around it and single underscores inside are dropped;
/// nullopt where the text is none.
std::optional<std::string> number_text(std::string_view text) {
  text = strip(text);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto is_digit = [&](size_t at) {
      return at < text.size() && std::isxdigit(static_cast<unsigned char>(text[at])) != 0;
    };
    if (text[i] != '_')
      out += text[i];
    else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1))
      return std::nullopt;
  }
  if (out.starts_with("+")) out.erase(0, 1);
  if (out.starts_with("+")) return std::nullopt;
  return out;
}

std::optional<double> read_real(std::string_view text) {
  const auto digits = number_text(text);
  if (!digits) return std::nullopt;
  const std::string plain = to_lower(*digits);
  const bool minus = plain.starts_with("-");
  const std::string word = plain.substr(minus ? 1 : 0);
  if (word == "inf" || word == "infinity")
    return minus ? -std::numeric_limits<double>::infinity()
                 : std::numeric_limits<double>::infinity();
  if (word == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (word.find_first_not_of("0123456789.e+-") != std::string::npos) return std::nullopt;
  double out = 0;
  const char* end = plain.data() + plain.size();
  const auto read = std::from_chars(plain.data(), end, out);
  if (read.ptr != end || read.ec == std::errc::invalid_argument) return std::nullopt;
  if (read.ec != std::errc()) refuse("a number beyond double precision");
  return out;
}

Value whole(double value) {
  const double out = std::trunc(value);
  if (!(std::abs(out) < 9.2e18)) refuse("int of a number beyond 64 bits");
  return Value::integer(static_cast<int64_t>(out));
}

std::optional<Value> read_integer(std::string_view text, int64_t base) {
  auto digits = number_text(text);
  if (!digits) return std::nullopt;
  const bool minus = digits->starts_with("-");
  std::string plain = to_lower(digits->substr(minus ? 1 : 0));
  const auto prefixed = [&](const char* prefix, int64_t of) {
    return (base == of || base == 0) && plain.starts_with(prefix);
  };
  const int64_t marked = prefixed("0x", 16)  ? 16
                         : prefixed("0o", 8) ? 8
                         : prefixed("0b", 2) ? 2
                                             : 0;
  if (marked != 0) plain.erase(0, 2);
  const auto radix = static_cast<int>(marked != 0 ? marked : base == 0 ? 10 : base);
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  if (plain.empty() || plain[0] == '-') return std::nullopt;
  plain.insert(0, minus ? "-" : "");
  int64_t out = 0;
  const char* end = plain.data() + plain.size();
  const auto read = std::from_chars(plain.data(), end, out, radix);
  if (read.ptr != end || read.ec == std::errc::invalid_argument) return std::nullopt;
  if (read.ec != std::errc()) refuse("int of a number beyond 64 bits");
  return Value::integer(out);
}

Value to_integer(Runtime&, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "int", {"default", "base"});
  const Value otherwise = given[0].value_or(Value::integer(0));
  if (value.is_undefined()) refuse(value.why_undefined());
  if (value.is_integral()) return Value::integer(value.integral());
  if (value.is(Kind::real)) return std::isnan(value.number()) ? otherwise : whole(value.number());
  if (!value.is(Kind::string)) return otherwise;
  if (const auto out = read_integer(value.text(), integer_argument(given[1], 10, "int")))
    return *out;
  const auto real = read_real(value.text());
  return real && std::isfinite(*real) ? whole(*real) : otherwise;
}

Value to_real(Runtime&, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "float", {"default"});
  if (value.is_undefined()) refuse(value.why_undefined());
  if (value.is_number()) return Value::real(value.number());
  const auto out = value.is(Kind::string) ? read_real(value.text()) : std::nullopt;
  return out ? Value::real(*out) : given[0].value_or(Value::real(0));
}

Value absolute(Runtime&, const Value& value, Arguments& arguments) {
  bind(arguments, "abs", {});
  if (value.is(Kind::real)) return Value::real(std::fabs(value.number()));
  if (!value.is_integral()) refuse("abs of a ", type_name(value));
  return value.integral() < 0 ? negative(value) : positive(value);
}

Value round(Runtime&, const Value& value, Arguments& arguments) {
  const auto given = bind(arguments, "round", {"precision", "method"});
  const int64_t places = integer_argument(given[0], 0, "round");
  const std::string method = given[1] ? text_argument(*given[1], "round") : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    refuse("round goes by common, ceil or floor");
  if (!value.is_number()) refuse("round of a ", type_name(value));
  if (places < 0 || places > 100) refuse("round to ", places, " places is not supported");
  if (method != "common") {
    const double scale = std::pow(10.0, static_cast<double>(places));
    const double scaled = value.number() * scale;
    return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
  }
  if (value.is_integral()) return Value::integer(value.integral());
  char buffer[512];  // the exact decimal value, rounded half to even
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(places), value.number());
  double out = value.number();
  if (std::isfinite(out))
    std::from_chars(buffer, buffer + std::char_traits<char>::length(buffer), out);
  return Value::real(out);
}

}  // namespace

Filter find_text_filter(std::string_view name) {
  constexpr std::pair<std::string_view, Filter> kFilters[] = {
      {"abs", absolute},
      {"capitalize", change<to_capitalized>},
      {"center", center},
      {"e", escape},
      {"escape", escape},
      {"float", to_real},
      {"forceescape", forceescape},
      {"format", format},
      {"indent", indent},
      {"int", to_integer},
      {"lower", change<to_lower>},
      {"replace", replace},
      {"round", round},
      {"safe", safe},
      {"string", string},
      {"title", change<title>},
      {"tojson", tojson},
      {"trim", trim},
      {"upper", change<to_upper>}};
  for (const auto& [known, filter] : kFilters)
    if (known == name) return filter;
  return nullptr;
}

}  // namespace pref::jinja
